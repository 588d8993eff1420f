"""An opened bundle: one reading of its manifest, and files that are what the manifest lists, or an error."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backends.model import Model
from ..errors import BundleError, first_line
from .manifest import decode_manifest
from .records import MANIFEST, Artifact, FileEntry, Manifest
from .signature import check_signer
from .storage import FolderStorage, Storage, ZipStorage, read_listed, read_manifest


@dataclass(frozen=True)
class ListedFile:
    """A file that a manifest lists; see `runtime.backends.model.ModelFile`."""

    storage: Storage
    entry: FileEntry

    @property
    def name(self) -> str:
        return self.entry.path

    @property
    def label(self) -> str:
        return self.storage.label(self.entry.path)

    def read(self) -> bytes:
        """The content; raises BundleError when it is not what the manifest lists."""
        return read_listed(self.storage, self.entry)


class Bundle:
    """An opened bundle. Every reading of a file is checked against the manifest's hash.

    Args:
        storage: where the files are.
        manifest: decoded and checked.
        manifest_bytes: what it was decoded from, with the fields that this version does not know.
        is_model_file: it is a model file alone, which says nothing of classes and preprocessing (see `loose`).
    """

    def __init__(
        self, storage: Storage, manifest: Manifest, manifest_bytes: bytes, *, is_model_file: bool = False
    ) -> None:
        self.is_model_file = is_model_file
        self.storage = storage
        self.manifest = manifest
        self.manifest_bytes = manifest_bytes

    def __repr__(self) -> str:
        if self.is_model_file:
            return f"<Bundle of the model file {self.root}>"
        height, width = self.manifest.preprocessing.size
        held = ", ".join(f"{one.name} ({one.status.replace('_', ' ')})" for one in self.manifest.artifacts)
        return (
            f"<Bundle {self.manifest.name} at {self.root}: {len(self.manifest.classes)} classes, {height}x{width}; "
            f"{held or 'no artifact'}>"
        )

    @property
    def manifest_sha256(self) -> str:
        """Ties reports to the files that they judge."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    @property
    def root(self) -> Path:
        """The folder, or the .zip."""
        return self.storage.place

    @property
    def results_folder(self) -> Path:
        """Inside the folder, or beside a .zip or a model file as `<name>.results`, which stays as it is."""
        return results_folder(self.root)

    def read(self, entry: FileEntry) -> bytes:
        """A file's content.

        Raises:
            BundleError: the file is missing, truncated or altered; none of it is used then.
        """
        return read_listed(self.storage, entry)

    def label(self, entry: FileEntry) -> str:
        """For messages: where a file is."""
        return self.storage.label(entry.path)

    def model(self, artifact: Artifact) -> Model:
        """What a backend opens."""
        return Model(
            name=artifact.name,
            files=tuple(ListedFile(self.storage, entry) for entry in artifact.files),
            precision=artifact.precision,
            inputs=self.manifest.inputs,
            outputs=self.manifest.outputs,
            batch=artifact.target.batch,
            details=artifact.details,
        )

    def reference_logits(self, fingerprint: str) -> np.ndarray | None:
        """The training framework's logits float32 (N, C) for the split with this fingerprint, if stored.

        Raises:
            BundleError: the file is altered, or no float32 (N, C) array.
        """
        for reference in self.manifest.references:
            if reference.fingerprint == fingerprint:
                return self.array(reference.file, len(self.manifest.classes))
        return None

    def array(self, entry: FileEntry, columns: int | None) -> np.ndarray:
        """A .npy of float32 (N, columns) that the manifest lists; of any number of columns where that is None.

        Raises:
            BundleError: the file is altered, or no such array.
        """
        stream = io.BytesIO(self.read(entry))
        try:
            layout = np.lib.format
            first = layout.read_magic(stream) == (1, 0)
            shape, fortran, dtype = (layout.read_array_header_1_0 if first else layout.read_array_header_2_0)(stream)
            if dtype != np.float32 or len(shape) != 2 or min(shape) < 0 or shape[1] != (columns or shape[1]) or fortran:
                raise ValueError(f"it holds {dtype} {shape}")  # noqa: TRY301
            values = np.frombuffer(stream.read(), np.float32)
            return values.reshape(shape).copy()
        except Exception as error:  # numpy's header is parsed as Python: it may raise what tokenize raises
            wanted = f"(N, {columns or 'D'})"
            raise BundleError(
                f"{self.label(entry)}: no float32 {wanted} array ({first_line(error)}). Export the bundle again."
            ) from None


def open_bundle(path: str | Path, *, require_signature: str | Path | None = None) -> Bundle:
    """Open a bundle's folder, or a .zip of one, which is read in place.

    Args:
        path: the folder or the .zip.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed it: asked before anything of
            the manifest is decoded.

    Raises:
        BundleError: no bundle there, a broken manifest, one written by a newer edgedistill, or not signed by that key.
        ConfigError: `require_signature` is no public key.
        MissingDependencyError: a signature is required, and `cryptography` is not installed.
    """
    path = Path(path)
    storage: Storage
    if path.suffix.lower() == ".zip" and not path.is_dir():
        storage = ZipStorage(path)
    elif path.is_dir() and (path / MANIFEST).exists():
        storage = FolderStorage(path)
    else:
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}). `edgedistill export` makes one.")
    data = read_manifest(storage)
    if require_signature is not None:
        check_signer(storage, data, require_signature)
    return Bundle(storage, decode_manifest(data, storage.label(MANIFEST)), data)


def results_folder(source: Bundle | str | Path) -> Path:
    """Where a bundle's results lie, without opening it."""
    path = source.root if isinstance(source, Bundle) else Path(source)
    if path.is_dir():
        return path / "results"
    # model.onnx and model.xml are two: a model file keeps its suffix.
    return path.with_suffix(".results") if path.suffix.lower() == ".zip" else path.with_name(f"{path.name}.results")
