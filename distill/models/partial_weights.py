"""What fits of a weights file that was made for something else: a detector's, or a self-supervised trunk."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from torch import Tensor

from ...runtime.config import Config
from ...runtime.errors import CheckpointError

_log = logging.getLogger("edgedistill")
_LISTED = 12


class PretrainedFile(Config):
    """A weights file, and how much of it must fit.

    Attributes:
        path: a local .safetensors or .pth file; nothing in it is executed.
        partial: load what fits by name and shape, and tell what lacks; otherwise all but the classifier must fit.
        prefix: what stands in the file before the network's own names, such as "teacher.backbone."; None takes the one
            by which most fits. Read where `partial` is true.
    """

    path: str
    partial: bool = False
    prefix: str | None = None


def take_what_fits(
    own: Mapping[str, Tensor], held: Mapping[str, Tensor], file: PretrainedFile, classifier: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tensors of a file that a network can take, under the network's names; what lacks is told once.

    Args:
        own: the network's.
        held: the file's.
        file: for messages, and its prefix.
        classifier: prefixes of the names of the network's classifier, which never lacks, and is taken in any shape
            where nothing else lacks: on fresh layers it would say nothing.

    Raises:
        CheckpointError: nothing fits.
    """
    prefix, below = _alignment(own, held, file.prefix)
    renamed = {f"{below}{name.removeprefix(prefix)}": name for name in held if name.startswith(prefix)}
    taken = {
        key: held[renamed[key]]
        for key in own
        if key in renamed and (_fits(own[key], held[renamed[key]]) or key.startswith(classifier))
    }
    trunk = [key for key in own if not key.startswith(classifier) and not key.endswith("num_batches_tracked")]
    loaded = [key for key in trunk if key in taken]
    if len(loaded) < len(trunk):
        taken = {key: value for key, value in taken.items() if not key.startswith(classifier)}
    if not loaded:
        names = [name for name in held if not name.endswith("num_batches_tracked")]
        raise CheckpointError(
            f"{file.path}: none of its {len(held)} tensors fits: it has {', '.join(names[:3]) or 'nothing'}, and the "
            f"network {', '.join(trunk[:3])}. These are weights of another network."
        )
    lacking = _listed(key for key in trunk if key not in taken)
    unused = _listed(name for name in held if name not in {renamed[key] for key in taken if key in renamed})
    numbers = sum(own[key].numel() for key in loaded) / sum(own[key].numel() for key in trunk)
    where = f" below `{prefix}`" if prefix else f" for `{below}`" if below else ""
    _tell(
        f"{file.path}: partial: {len(loaded)} of {len(trunk)} tensors ({100 * numbers:.1f} % of the weights) are loaded"
        f"{where}; lacking, and fresh: {lacking}; of the file unused: {unused}."
    )
    return taken


def flattened(state: Mapping[str, object], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a checkpoint that holds several state dicts beside other things, by dotted names."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
    return found


def _alignment(own: Mapping[str, Tensor], held: Mapping[str, Tensor], prefix: str | None) -> tuple[str, str]:
    """What begins the file's names and the network's before they agree, so that most numbers fit; the first of equals.

    One of the two is empty: a file holds more than the network, or a part of it.
    """
    if prefix is not None:
        return prefix, ""
    fitting: Counter[tuple[str, str]] = Counter()
    for inner, outer, file_is_outer in ((own, held, True), (held, own, False)):
        for name, value in outer.items():
            for start in _beginnings(name):
                rest = name[len(start) :]
                if rest in inner and _fits(inner[rest], value):
                    fitting[(start, "") if file_is_outer else ("", start)] += value.numel()
    return max(fitting, key=lambda found: fitting[found]) if fitting else ("", "")


def _beginnings(name: str) -> list[str]:
    parts = name.split(".")
    return ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts))]


def _fits(own: Tensor, held: Tensor) -> bool:
    return own.shape == held.shape and own.is_floating_point() == held.is_floating_point()


def _listed(names: Iterable[str]) -> str:
    """How many tensors of which modules."""
    modules: dict[str, int] = defaultdict(int)
    for name in names:
        modules[name.rpartition(".")[0] or name] += 1
    if not modules:
        return "nothing"
    shown = ", ".join(f"{name} ({count})" for name, count in [*modules.items()][:_LISTED])
    more = f" and {len(modules) - _LISTED} more modules" if len(modules) > _LISTED else ""
    return f"{sum(modules.values())}, of {shown}{more}"


@lru_cache
def _tell(message: str) -> None:
    """Once: a run builds its networks several times."""
    _log.warning("%s", message)
