"""Everything that a manifest must satisfy beyond its types: one function, whoever opens the bundle."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from ..errors import printable
from ..preprocess import Preprocessing
from ..targets import target_problem
from ..tensors import EMBEDDING, SALIENCY, TensorSpec, fits
from .lineage import lineage_problems
from .observed import observed_problems
from .operating_point import operating_point_problems
from .records import MANIFEST, SIGNATURE, Artifact, FileEntry, Manifest

_LARGEST_SIDE = 16_384
_MOST_CLASSES = 1_000_000
_LARGEST_FILE = 64 << 30
_LONGEST_NAME = 255  # bytes of one part of a path, on most file systems
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's controls, format marks, half characters, separators of lines
_HASH = re.compile(r"[0-9a-f]{64}")
_OUTPUTS = ("logits", "probabilities")


def manifest_problem(manifest: Manifest) -> str:
    """The first thing that is wrong with a decoded manifest, in words that name the key; empty when nothing is.

    Ranges, the same number of classes everywhere, unique names, an input that fits the preprocessing, and paths that
    stay inside the bundle on every system.
    """
    return next(_problems(manifest), "")


def path_problem(path: str) -> str:
    """Why `path` cannot be a bundle's file on every system; empty when it can."""
    windows = PureWindowsPath(path)
    if not path or PurePosixPath(path).is_absolute() or windows.drive or windows.root or "\\" in path:
        return f"the file path {path!r} leaves the bundle: refused"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return f"the file path {path!r} leaves the bundle: refused"
    if not all(_is_possible(part) for part in parts):
        return f"the file path {path!r} is not possible on every system: refused"
    return ""


def _is_possible(part: str) -> bool:
    """Whether a file or folder can be called so on every system, and look as it is called."""
    return not (
        _WINDOWS_DEVICES.fullmatch(part)
        or part[-1] in " ."
        or set(part) & set('<>:"|?*')
        or any(unicodedata.category(character) in _INVISIBLE for character in part)
        or len(part.encode()) > _LONGEST_NAME
    )


def _problems(manifest: Manifest) -> Iterator[str]:
    yield from class_problems(manifest.classes)
    yield from _unprintable([manifest.name, *(artifact.name for artifact in manifest.artifacts)])
    yield from threshold_problems(manifest.classes, manifest.thresholds)
    yield from preprocessing_problems(manifest.preprocessing)
    yield from _graph(manifest)
    yield from _artifacts(manifest)
    yield from _proofs(manifest)
    yield from _files(manifest)


def class_problems(classes: Sequence[str]) -> Iterator[str]:
    """What is wrong with a list of class names."""
    if not 1 <= len(classes) <= _MOST_CLASSES:
        yield f"`classes` holds {len(classes)} names"
    if len(set(classes)) < len(classes):
        yield f"`classes` holds {Counter(classes).most_common(1)[0][0]!r} twice"
    if not all(name.strip() for name in classes):
        yield "`classes` holds an empty name"
    yield from _unprintable(classes)


def threshold_problems(classes: Sequence[str], thresholds: Sequence[float]) -> Iterator[str]:
    """What is wrong with the thresholds of classes."""
    if len(thresholds) != len(classes):
        yield f"{len(thresholds)} thresholds for {len(classes)} classes"
    for name, threshold in zip(classes, thresholds, strict=True):
        if not 0 <= threshold <= 1:  # NaN is not
            yield f"the threshold of {name!r} is {threshold:g}, not within 0 and 1"


def preprocessing_problems(preprocessing: Preprocessing) -> Iterator[str]:
    """What is wrong with sizes and numbers."""
    if not all(1 <= side <= _LARGEST_SIDE for side in preprocessing.size):
        yield f"`preprocessing.size` is {list(preprocessing.size)}: each side needs 1 to {_LARGEST_SIDE} pixels"
    if not all(math.isfinite(value) for value in (*preprocessing.mean, *preprocessing.std)):
        yield "`preprocessing.mean` and `std` must be numbers"
    if not all(value > 0 for value in preprocessing.std):
        yield "`preprocessing.std` must be above 0"


def _unprintable(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if printable(name) != name:
            yield f"the name {name!r} holds line ends or control characters"


def _graph(manifest: Manifest) -> Iterator[str]:
    for spec in (*manifest.inputs, *manifest.outputs):
        if not spec.name:
            yield "a name of `inputs` or `outputs` is empty"
        if any(isinstance(size, int) and size < 1 for size in spec.shape):
            yield f"{spec}: a dimension below 1"
    height, width = manifest.preprocessing.size
    kinds = {"uint8_nhwc": ("uint8", ("?", height, width, 3)), "float32_nchw": ("float32", ("?", 3, height, width))}
    dtype, shape = kinds[manifest.input]
    if len(manifest.inputs) != 1:
        yield f"`inputs` holds {len(manifest.inputs)} tensors: an image classifier takes one"
    expected = TensorSpec(name=manifest.inputs[0].name, dtype=dtype, shape=shape)
    if not fits(manifest.inputs[0], expected):
        yield f"`inputs` says {manifest.inputs[0]}, but `input` {manifest.input} of {height}x{width} is {expected}"
    names = [spec.name for spec in manifest.outputs]
    if len(set(names)) < len(names):
        yield "`outputs` holds a name twice"
    outputs = {spec.name: spec for spec in manifest.outputs}
    for name in _OUTPUTS:
        if name not in outputs:
            yield f"`outputs` lacks {name!r}"
        expected = TensorSpec(name=name, dtype="float32", shape=("?", len(manifest.classes)))
        if not fits(outputs[name], expected):
            yield f"`outputs` says {outputs[name]}, but {len(manifest.classes)} classes need {expected}"
    optional = {EMBEDDING: ("?", "?"), SALIENCY: ("?", len(manifest.classes), "?", "?")}
    for spec in manifest.outputs:
        wanted = TensorSpec(name=spec.name, dtype="float32", shape=optional.get(spec.kind, spec.shape))
        if spec.kind in optional and not fits(spec, wanted):
            yield f"`outputs` says {spec}, but its kind {spec.kind!r} is {wanted}"


def _artifacts(manifest: Manifest) -> Iterator[str]:
    seen: set[str] = set()
    for artifact in manifest.artifacts:
        if not artifact.name or artifact.name in seen:
            yield f"the artifact name {artifact.name!r} is empty or there twice"
        seen.add(artifact.name)
        problem = target_problem(artifact.target)
        if problem:
            yield f"the artifact {artifact.name}: {problem}"
        if artifact.status in ("verified", "built_not_run") and not artifact.files:
            yield f"the artifact {artifact.name} is {artifact.status} and has no file"
        for what in ("parity", "surrogate"):
            measured = getattr(artifact, what)
            if measured is not None and not measured.max_abs_logit >= 0:
                yield f"the artifact {artifact.name}: its {what} is no number"
        if (point := artifact.operating_point) is not None:
            yield from _of(artifact, threshold_problems(manifest.classes, point.thresholds))
            yield from _of(artifact, operating_point_problems(manifest.classes, point))
        if artifact.observed is not None:
            yield from _of(artifact, observed_problems(manifest.classes, artifact.observed))


def _of(artifact: Artifact, problems: Iterable[str]) -> Iterator[str]:
    return (f"the artifact {artifact.name}: {problem}" for problem in problems)


def _proofs(manifest: Manifest) -> Iterator[str]:
    for golden in manifest.selftest:
        if len(golden.logits) != len(manifest.classes):
            yield f"{golden.file.path}: {len(golden.logits)} golden logits for {len(manifest.classes)} classes"
        if not all(math.isfinite(value) for value in golden.logits):
            yield f"{golden.file.path}: its golden logits hold NaN or infinity"
    prints = [reference.fingerprint for reference in manifest.references]
    if len(set(prints)) < len(prints):
        yield "`references` holds one split twice"
    if manifest.lineage is not None:
        yield from lineage_problems(manifest.lineage)


def _files(manifest: Manifest) -> Iterator[str]:
    known: dict[str, FileEntry] = {}
    folders: set[str] = set()
    for entry in manifest.files():
        problem = path_problem(entry.path)
        if problem:
            yield problem
        # Two names that differ by case alone, or by how an accent is written, are one file on Windows and macOS.
        key = unicodedata.normalize("NFC", entry.path).casefold()
        if key in (MANIFEST, SIGNATURE) or key.split("/")[0] == "results":
            yield f"{entry.path}: may not be listed: the manifest, its signature and the results are no files of it"
        if not _HASH.fullmatch(entry.sha256):
            yield f"{entry.path}: its sha256 is not 64 hexadecimal digits"
        if not 0 <= entry.bytes <= _LARGEST_FILE:
            yield f"{entry.path}: has {entry.bytes} bytes: needs 0 to {_LARGEST_FILE}"
        if known.setdefault(key, entry) != entry:
            yield f"{entry.path}: is listed twice, with different contents"
        folders.update(str(parent) for parent in PurePosixPath(key).parents)
    for key in sorted(folders & set(known)):
        yield f"{known[key].path}: is both a file and a folder"
