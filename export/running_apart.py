"""Artifacts on many images, in a process that is not the export's: one that crashes has failed, the others go on."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..runtime.backends.base import Backend
from ..runtime.batches import Batch
from ..runtime.bundle import Artifact, Bundle, Manifest
from ..runtime.bundle.selection import try_artifact
from ..runtime.bundle.storage import FolderStorage
from ..runtime.parity.collecting import infer_batch
from ..runtime.predictor import Predictor
from .child import run_in_child
from .errors import ExportError

_BATCH = 32


def run_each(
    bundle: Bundle, artifacts: Sequence[Artifact], images: Path, say: Callable[[str], None]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Run artifacts one after the other in one process; where it crashes, another goes on with those that are left.

    Args:
        bundle: a folder with the artifacts' files.
        artifacts: which.
        images: a .npy of decoded and resized images, uint8 (N, H, W, 3).
        say: told how far it is.

    Returns:
        The logits float32 (N, C) of those that gave numbers for all images, by name; why the others did not.
    """
    found: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    waiting = list(artifacts)
    while waiting:
        manifest = msgspec.structs.replace(bundle.manifest, artifacts=tuple(waiting))
        with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
            ended = ""
            try:
                run_in_child(run_all, bundle.root, manifest, images, folder, what="it cannot be run", say=say)
            except ExportError as error:
                ended = str(error).removesuffix(".")
            for place, artifact in enumerate(tuple(waiting)):
                logits, reason = Path(folder, f"{place}.npy"), Path(folder, f"{place}.txt")
                waiting.remove(artifact)
                if logits.exists():
                    found[artifact.name] = np.load(logits)
                elif reason.exists():
                    failures[artifact.name] = reason.read_text(encoding="utf-8")
                else:  # at this one it ended
                    failures[artifact.name] = ended
                    break
    return found, failures


def run_all(root: str, manifest: dict[str, Any], images: str, out: str, say: Callable[[str], None]) -> None:
    """In the child: run all artifacts of a manifest; of each the folder `out` gets a .npy of its logits, or a .txt."""
    described = msgspec.convert(manifest, Manifest)
    bundle = Bundle(FolderStorage(Path(root)), described, b"")
    pixels = np.load(images, mmap_mode="r")
    for place, artifact in enumerate(described.artifacts):
        say(artifact.name)
        found = _logits(bundle, artifact, pixels)
        path = Path(out, f"{place}.txt" if isinstance(found, str) else f"{place}.npy")
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            if isinstance(found, str):
                stream.write(found.encode())
            else:
                np.save(stream, found)
        part.rename(path)


def _logits(bundle: Bundle, artifact: Artifact, pixels: np.ndarray) -> np.ndarray | str:
    """Float32 (N, C), or why there are none."""
    loaded = try_artifact(bundle, artifact)
    if not isinstance(loaded, Backend):
        return loaded.reason
    logits, probabilities = np.zeros((2, len(pixels), len(bundle.manifest.classes)), np.float32)
    with Predictor(bundle.manifest, artifact, loaded) as predictor:
        for at in range(0, len(pixels), _BATCH):
            rows = np.arange(at, min(at + _BATCH, len(pixels)))
            reason = infer_batch(predictor, Batch(rows, pixels[rows]), logits, probabilities)
            if reason is not None:
                return reason
    return logits
