"""A model file that no bundle describes, as a bundle of one artifact: what it is, its graph says when it is loaded."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..backends.base import BACKENDS, Backend
from ..errors import BundleError, ConfigError
from ..preprocess import Preprocessing
from ..targets import Target
from .opened import Bundle, open_bundle
from .packing import describe_file
from .records import SCHEMA_VERSION, Artifact, Manifest, Provenance
from .signature import check_signer
from .storage import FolderStorage


@dataclass(frozen=True)
class _LooseStorage:
    """Some files of a folder that is not ours."""

    place: Path
    folder: FolderStorage

    def label(self, path: str) -> str:
        return self.folder.label(path)

    def read(self, path: str, most: int) -> bytes:
        return self.folder.read(path, most)


def open_source(
    source: Bundle | str | Path,
    *,
    backend: str | None = None,
    precision: str | None = None,
    require_signature: str | Path | None = None,
) -> Bundle:
    """A bundle, opened or not, or a model file (.onnx, .xml, ...) as a bundle of one artifact.

    Args:
        source: what the caller was given: a Bundle, a bundle's folder or .zip, or a model file.
        backend: of a model file: what opens it; by its suffix when absent.
        precision: of a model file: what to ask of a backend that chooses; "fp32" when absent.
        require_signature: the public key that must have signed the bundle, see `open_bundle`.

    Raises:
        BundleError: it is neither, or not signed by that key; nobody can have signed a model file.
        ConfigError: the backend does not open such files, or `require_signature` is no public key.
        MissingDependencyError: a signature is required, and `cryptography` is not installed.
    """
    if isinstance(source, Bundle):
        if require_signature is not None:
            check_signer(source.storage, source.manifest_bytes, require_signature)
        return source
    path = Path(source)
    if path.is_dir() or path.suffix.lower() == ".zip":
        return open_bundle(path, require_signature=require_signature)
    openers = _openers(path.suffix.lower())
    if not path.exists():
        raise BundleError(f"{path}: no such file or folder.")
    if require_signature is not None:
        raise BundleError(f"{path}: is no bundle, so nobody can have signed it. Give the bundle that it is of.")
    if not openers:
        known = sorted({suffix for name in BACKENDS.names() for suffix in BACKENDS.get(name).suffixes})
        raise BundleError(f"{path}: neither a bundle's folder or .zip nor a model file ({', '.join(known)}).")
    if backend is not None and backend not in openers:
        raise ConfigError(f"{path}: {backend} does not open {path.suffix} files; {', '.join(openers)} does.")
    chosen = backend or _first_usable(openers)
    hints = BACKENDS.get(chosen).hints
    if precision is not None and precision not in hints:
        goes_with = f"one of {', '.join(hints)}" if hints else "the file's own; leave the precision out"
        raise ConfigError(f"{path}: {chosen} cannot be asked for the precision {precision!r}: {goes_with}.")
    return _bundle_of_file(path, chosen, precision or "fp32")


def _openers(suffix: str) -> dict[str, type[Backend]]:
    return {name: BACKENDS.get(name) for name in BACKENDS.names() if suffix in BACKENDS.get(name).suffixes}


def _first_usable(openers: dict[str, type[Backend]]) -> str:
    usable = [name for name, kind in openers.items() if kind.unavailable() is None]
    return (usable or list(openers))[0]


def _bundle_of_file(path: Path, backend: str, precision: str) -> Bundle:
    if not path.is_file():
        raise BundleError(f"{path}: {'is not a regular file' if path.exists() else 'no such file'}.")
    main = path.resolve()
    files = BACKENDS.get(backend).companions(main)
    missing = [file for file in files if not file.is_file() or main.parent not in file.resolve().parents]
    if missing:
        raise BundleError(f"{path}: needs {missing[0].name} beside it, which is not there.")
    entries = [describe_file(file.resolve(), main.parent) for file in files]
    artifact = Artifact(
        name=path.name,
        target=Target(name=path.name, backend=backend, precision=precision),
        files=tuple(entries),
        status="built_not_run",
        reason="a model file without a bundle: nothing is known of it",
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=path.name,
        classes=(),
        preprocessing=Preprocessing(size=(0, 0)),
        input="uint8_nhwc",
        inputs=(),
        outputs=(),
        thresholds=(),
        provenance=Provenance(edgedistill="", created="", model=path.name, checkpoint_sha256=""),
        artifacts=(artifact,),
    )
    # There is no manifest: its files' hashes stand for it in reports.
    return Bundle(
        _LooseStorage(path, FolderStorage(main.parent)), manifest, msgspec.json.encode(entries), is_model_file=True
    )
