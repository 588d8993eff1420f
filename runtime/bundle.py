"""The bundle: one folder (or the same as a .zip) with every artifact of a student and the proof that they agree."""

import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec
import numpy as np

from .errors import BundleError
from .files import sha256_of
from .preprocess import Preprocessing
from .record import Record
from .targets import BackendName, Precision, Target

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

Status = Literal["verified", "built_not_run", "failed"]
InputKind = Literal["uint8_nhwc", "float32_nchw"]


class FileEntry(Record):
    """A file of the bundle: `path` is relative to the bundle's root with forward slashes."""

    path: str
    sha256: str
    bytes: int


class TensorSpec(Record):
    """A graph input or output; a symbolic dimension is its name, e.g. "batch"."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class ExportParity(Record):
    """Difference of an artifact's outputs to the training framework's, measured when the bundle was made.

    Attributes:
        images: how many images were compared.
        max_abs_logit: the largest absolute difference of any logit.
        mean_abs_logit: the mean absolute difference.
    """

    images: int
    max_abs_logit: float
    mean_abs_logit: float


class Artifact(Record):
    """One deploy config's result.

    Attributes:
        name: the deploy config's name, unique in the bundle.
        target: the whole deploy config.
        files: what the backend loads, the main file first; empty when the build failed.
        status: "verified" ran here and agreed; "built_not_run" could not run on the exporting machine; "failed".
        reason: why the status is not "verified".
        parity: against the training framework, for what ran.
        details: what a backend must know or a person may ask, e.g. TensorRT's flavour, version and target SMs.
    """

    name: str
    target: Target
    files: tuple[FileEntry, ...]
    status: Status
    reason: str = ""
    parity: ExportParity | None = None
    details: dict[str, str] = {}

    @property
    def backend(self) -> BackendName:
        return self.target.backend

    @property
    def precision(self) -> Precision:
        return self.target.precision

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.bytes for entry in self.files)


class GoldenImage(Record):
    """A self-test image as the camera or dataset wrote it, with the training framework's logits for it."""

    file: FileEntry
    logits: tuple[float, ...]


class Reference(Record):
    """The training framework's logits on an evaluation split.

    Attributes:
        file: a .npy of float32 (N, C).
        dataset: the split's name.
        fingerprint: Dataset.fingerprint() of the split; verify uses the logits only for that very split.
    """

    file: FileEntry
    dataset: str
    fingerprint: str


class Provenance(Record):
    """Where the student came from and what built the artifacts."""

    edgedistill: str
    created: str
    model: str
    checkpoint_sha256: str
    recipe_sha256: str = ""
    toolchain: dict[str, str] = {}


class Manifest(Record):
    """manifest.json: immutable after export.

    Attributes:
        input: what the graph takes; "uint8_nhwc" has normalisation and layout inside the graph.
        thresholds: per class, in the order of `classes`: the probability at which a label is reported.
    """

    schema_version: int
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    input: InputKind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    thresholds: tuple[float, ...]
    provenance: Provenance
    artifacts: tuple[Artifact, ...]
    selftest: tuple[GoldenImage, ...] = ()
    references: tuple[Reference, ...] = ()

    def files(self) -> list[FileEntry]:
        """Every file that the manifest vouches for."""
        entries = [entry for artifact in self.artifacts for entry in artifact.files]
        entries += [golden.file for golden in self.selftest]
        return entries + [reference.file for reference in self.references]


class Bundle:
    """An opened bundle. Files are checked against the manifest's hashes when they are first used.

    Args:
        root: the unpacked folder.
        manifest: its decoded manifest.
        archive: the .zip that `root` was unpacked from.
    """

    def __init__(self, root: Path, manifest: Manifest, archive: Path | None = None) -> None:
        self.root = root
        self.manifest = manifest
        self._archive = archive
        self._checked: set[str] = set()

    @property
    def results_folder(self) -> Path:
        """Inside the folder, or beside a .zip as `<name>.results`, which stays as it is."""
        return self.root / "results" if self._archive is None else self._archive.with_suffix(".results")

    def artifact(self, backend: str | None = None, precision: str | None = None, name: str | None = None) -> Artifact:
        """The first artifact with files that matches what is given.

        Raises:
            BundleError: lists what the bundle holds.
        """
        for artifact in self.manifest.artifacts:
            wanted = (name, backend, precision)
            found = (artifact.name, artifact.backend, artifact.precision)
            if artifact.files and all(w is None or w == f for w, f in zip(wanted, found, strict=True)):
                return artifact
        asked = ", ".join(part for part in (name, backend, precision) if part) or "anything usable"
        held = ", ".join(a.name for a in self.manifest.artifacts if a.files) or "nothing"
        raise BundleError(f"{self.root}: holds no artifact for {asked}; it holds {held}.")

    def path(self, entry: FileEntry) -> Path:
        """The file on disk, after its size and SHA-256 have been compared with the manifest.

        Raises:
            BundleError: the file is missing, truncated or altered; it is never loaded then.
        """
        path = self.root / entry.path
        if entry.path in self._checked:
            return path
        if not path.is_file():
            raise BundleError(f"{path}: listed in the manifest but missing. Copy the whole bundle again.")
        if path.stat().st_size != entry.bytes:
            raise BundleError(f"{path}: has {path.stat().st_size} bytes, the manifest says {entry.bytes}: truncated?")
        if sha256_of(path) != entry.sha256:
            raise BundleError(f"{path}: its SHA-256 differs from the manifest: altered after export, not loaded.")
        self._checked.add(entry.path)
        return path

    def reference_logits(self, fingerprint: str) -> np.ndarray | None:
        """The training framework's logits float32 (N, C) for the split with this fingerprint, if stored."""
        for reference in self.manifest.references:
            if reference.fingerprint == fingerprint:
                return np.load(self.path(reference.file), allow_pickle=False)
        return None


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle folder, or a .zip of one (unpacked to a temporary folder that lives as long as the process).

    Raises:
        BundleError: no bundle there, a broken manifest, or one written by a newer edgedistill.
    """
    path, archive = Path(path), None
    if path.is_file() and path.suffix == ".zip":
        path, archive = _unpack(path), path
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}). `edgedistill export` makes one.")
    return Bundle(path, decode_manifest(manifest_path.read_bytes(), str(manifest_path)), archive)


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Decode and check manifest.json; a newer schema is refused by its number, before anything else is read."""
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"{where}: schema {version} is newer than this edgedistill reads ({SCHEMA_VERSION}): "
                "upgrade with `pip install -U edgedistill`."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{where}: damaged or not a manifest ({error}). Export or copy the bundle again.") from None
    for entry in manifest.files():
        parts = PurePosixPath(entry.path).parts
        if not parts or ".." in parts or PurePosixPath(entry.path).is_absolute():
            raise BundleError(f"{where}: the file path {entry.path!r} leaves the bundle: refused.")
    if len(manifest.thresholds) != len(manifest.classes):
        raise BundleError(f"{where}: {len(manifest.thresholds)} thresholds for {len(manifest.classes)} classes.")
    return manifest


def describe_file(path: Path, root: Path) -> FileEntry:
    """The manifest entry of a file below `root`."""
    return FileEntry(path=path.relative_to(root).as_posix(), sha256=sha256_of(path), bytes=path.stat().st_size)


def zip_bundle(root: Path, out: Path) -> Path:
    """Pack a bundle folder into one .zip (stored, weights do not compress)."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root).as_posix())
    return out


def manifest_schema() -> dict[str, Any]:
    """JSON schema of manifest.json, for consumers in other languages."""
    return msgspec.json.schema(Manifest)


_UNPACKED: dict[Path, Path] = {}


def _unpack(archive_path: Path) -> Path:
    """Extract once per process; zipfile strips what would leave the folder."""
    key = archive_path.resolve()
    if key not in _UNPACKED:
        import atexit

        folder = Path(tempfile.mkdtemp(prefix="edgedistill-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        try:
            with zipfile.ZipFile(archive_path) as archive:
                archive.extractall(folder)
        except (zipfile.BadZipFile, OSError) as error:
            raise BundleError(f"{archive_path}: not a readable .zip ({error}). Copy it again.") from error
        manifests = sorted(folder.rglob(MANIFEST), key=lambda p: len(p.parts))
        _UNPACKED[key] = manifests[0].parent if manifests else folder
    return _UNPACKED[key]
