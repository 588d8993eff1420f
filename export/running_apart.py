"""Artifacts on many images, in a process that is not the export's: one that crashes has failed, the others go on."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..runtime.backends.base import Backend
from ..runtime.bundle import Artifact, Bundle, Manifest
from ..runtime.bundle.selection import try_artifact
from ..runtime.bundle.storage import FolderStorage
from ..runtime.parity.soundness import outputs_problem
from ..runtime.predictor import Predictor
from .child import run_in_child
from .errors import ExportError, one_line

_BATCH = 32


class Ran(NamedTuple):
    """What an artifact gave for N images.

    Attributes:
        logits: float32 (N, C).
        embeddings: float32 (N, D); None where the graph gives none.
    """

    logits: np.ndarray
    embeddings: np.ndarray | None


def run_each(
    bundle: Bundle, artifacts: Sequence[Artifact], images: Path, say: Callable[[str], None]
) -> tuple[dict[str, Ran], dict[str, str]]:
    """Run artifacts one after the other in one process; where it crashes, another goes on with those that are left.

    Args:
        bundle: a folder with the artifacts' files.
        artifacts: which.
        images: a .npy of decoded and resized images, uint8 (N, H, W, 3).
        say: told how far it is.

    Returns:
        The outputs of those that gave numbers for all images, by name; why the others did not.
    """
    found: dict[str, Ran] = {}
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
                outputs, reason = Path(folder, f"{place}.npz"), Path(folder, f"{place}.txt")
                waiting.remove(artifact)
                if outputs.exists():
                    with np.load(outputs) as stored:
                        found[artifact.name] = Ran(stored["logits"], stored.get("embeddings"))
                elif reason.exists():
                    failures[artifact.name] = reason.read_text(encoding="utf-8")
                else:  # at this one it ended
                    failures[artifact.name] = ended
                    break
    return found, failures


def run_all(root: str, manifest: dict[str, Any], images: str, out: str, say: Callable[[str], None]) -> None:
    """In the child: run all artifacts of a manifest; of each the folder `out` gets an .npz of outputs, or a .txt."""
    described = msgspec.convert(manifest, Manifest)
    bundle = Bundle(FolderStorage(Path(root)), described, b"")
    pixels = np.load(images, mmap_mode="r")
    for place, artifact in enumerate(described.artifacts):
        say(artifact.name)
        found = _outputs(bundle, artifact, pixels)
        path = Path(out, f"{place}.txt" if isinstance(found, str) else f"{place}.npz")
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            if isinstance(found, str):
                stream.write(found.encode())
            else:
                np.savez(stream, **{name: values for name, values in found._asdict().items() if values is not None})
        part.rename(path)


def _outputs(bundle: Bundle, artifact: Artifact, pixels: np.ndarray) -> Ran | str:
    """What it gives, or why there is nothing."""
    loaded = try_artifact(bundle, artifact)
    if not isinstance(loaded, Backend):
        return loaded.reason
    parts = []
    with Predictor(bundle.manifest, artifact, loaded) as predictor:
        for at in range(0, len(pixels), _BATCH):
            try:
                logits, probabilities, embeddings = predictor.infer_embedded(np.array(pixels[at : at + _BATCH]))
            except Exception as error:  # a backend raises its own types; the reason goes into the manifest
                return f"inference failed ({type(error).__name__}: {one_line(error)})"
            problem = outputs_problem(logits, probabilities)
            if not problem and embeddings is not None and not np.isfinite(embeddings).all():
                problem = "its embeddings hold NaN or infinity"
            if problem:
                return problem
            parts.append(Ran(logits, embeddings))
    logits, embeddings = zip(*parts, strict=True)
    return Ran(np.concatenate(logits), None if embeddings[0] is None else np.concatenate(embeddings))
