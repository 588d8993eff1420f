"""What a checkpoint says of itself, read without torch."""

from pathlib import Path

import msgspec

from edgedistill.runtime.errors import CheckpointError

_KEY = "edgedistill"


class _Card(msgspec.Struct):
    """Of a checkpoint's card, what is needed before the network is built."""

    classes: tuple[str, ...]


def checkpoint_classes(path: Path) -> tuple[str, ...]:
    """The classes that a checkpoint says it has; its weights are read later.

    Raises:
        CheckpointError: missing, damaged, or not written by edgedistill.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. `edgedistill distill` and `edgedistill train` write one.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}).") from None
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: bare weights without an edgedistill card; use them as a model's `pretrained:`.")
    try:
        return msgspec.json.decode(metadata[_KEY], type=_Card).classes
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: its card cannot be read ({error}): written by another version?") from None
