"""Signing a bundle."""

import zipfile
import zlib
from typing import TYPE_CHECKING

import msgspec

from ..errors import BundleError, EdgedistillError, first_line
from ..files import atomic_path, write_atomic
from .opened import Bundle
from .records import SIGNATURE
from .signature import ALGORITHM, SIGNATURE_VERSION, Signature
from .storage import ZipStorage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_bundle(bundle: Bundle, key: "Ed25519PrivateKey") -> bytes:
    """Sign a bundle whose files are intact; a signature that is there already is replaced.

    Args:
        bundle: in a folder or a .zip, which is written anew with its other entries as they are.
        key: see `read_private_key`.

    Returns:
        the public key's 32 bytes.

    Raises:
        BundleError: a file is not what the manifest lists, or it is a model file without a bundle: nothing is signed.
        EdgedistillError: it cannot be written.
    """
    if bundle.is_model_file:
        raise BundleError(f"{bundle.root}: is a model file: what is signed is a bundle's manifest. Give the bundle.")
    for entry in bundle.manifest.files():
        bundle.read(entry)
    public = key.public_key().public_bytes_raw()
    record = Signature(
        schema_version=SIGNATURE_VERSION,
        algorithm=ALGORITHM,
        public_key=public,
        signature=key.sign(bundle.manifest_bytes),
    )
    data = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
    if isinstance(bundle.storage, ZipStorage):
        _into_zip(bundle.storage, data)
    else:
        write_atomic(bundle.root / SIGNATURE, data)
    return public


def _into_zip(storage: ZipStorage, data: bytes) -> None:
    name = storage.name_of(SIGNATURE)
    try:
        with (
            atomic_path(storage.place) as temporary,
            zipfile.ZipFile(storage.place) as old,
            zipfile.ZipFile(temporary, "w") as new,
        ):
            for info in old.infolist():
                if info.filename != name:
                    new.writestr(info, old.read(info))  # with its own method of packing
            new.writestr(name, data)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise EdgedistillError(f"{storage.place}: cannot be packed anew ({first_line(error)}). Not signed.") from error
