"""Which artifact a person means by a word: its name, or where and what it is, as in `onnx/fp32`."""

from ..errors import BundleError
from .opened import Bundle
from .records import Artifact


def named_artifact(bundle: Bundle, word: str) -> Artifact:
    """The one artifact that `word` says.

    Args:
        bundle: which holds it.
        word: an artifact's name, or `<kind>/<precision>`, whose kind is a backend, a file format or the folder of the
            artifact's main file: `onnxruntime/fp32`, `onnx/fp32`, `openvino/int8`.

    Raises:
        BundleError: it says none, or several; lists what the bundle holds.
    """
    held = [artifact for artifact in bundle.manifest.artifacts if artifact.files]
    exact = [artifact for artifact in held if artifact.name == word]
    kind, _, precision = word.partition("/")
    found = exact or [one for one in held if precision == one.precision and kind in _kinds(one)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(one.name for one in found or held) or "nothing with a file"
    what = f"{word!r} is any of" if found else f"holds no artifact {word!r}; it holds"
    raise BundleError(f"{bundle.root}: {what} {listed}: give one's name.")


def _kinds(artifact: Artifact) -> set[str]:
    return {artifact.backend, artifact.format, artifact.files[0].path.split("/")[0]} - {""}
