"""Who vouches for a bundle: an Ed25519 signature over manifest.json's bytes, which hold the hash of every other file.

The manifest stays as export wrote it; the signature is a file of its own beside it, in a folder as in a .zip.
"""

from pathlib import Path

import msgspec

from ..errors import BundleError, first_line
from ..record import Record
from .keys import library, public_key_text, read_public_key
from .records import MANIFEST, SIGNATURE
from .storage import AbsentFileError, Storage

SIGNATURE_VERSION = 1
ALGORITHM = "ed25519"
_LARGEST = 64 << 10


class Signature(Record):
    """signature.json.

    Attributes:
        schema_version: of this record.
        algorithm: "ed25519".
        public_key: the signer's, 32 bytes.
        signature: 64 bytes, over manifest.json's bytes as they are.
    """

    schema_version: int
    algorithm: str
    public_key: bytes
    signature: bytes


def signature_bytes(storage: Storage) -> bytes | None:
    """signature.json as it is; None where there is none."""
    try:
        return storage.read(SIGNATURE, _LARGEST)
    except AbsentFileError:
        return None


def signer_of(storage: Storage, manifest_bytes: bytes) -> bytes | None:
    """The public key, 32 bytes, that signed these very bytes of the manifest; None where nobody did.

    Raises:
        BundleError: the signature is damaged, or does not fit the manifest.
        MissingDependencyError: `cryptography` is not installed.
    """
    data = signature_bytes(storage)
    if data is None:
        return None
    found, where = _decoded(data, storage.label(SIGNATURE)), storage.label(MANIFEST)
    ed25519 = library()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(found.public_key).verify(found.signature, manifest_bytes)
    except (InvalidSignature, ValueError):
        raise BundleError(
            f"{where}: the signature beside it does not fit it: one of them was altered after signing. Not loaded."
        ) from None
    return found.public_key


def check_signer(storage: Storage, manifest_bytes: bytes, key: str | Path) -> None:
    """Refuse a manifest that this key's owner did not sign.

    Args:
        storage: where the bundle is.
        manifest_bytes: what is to be decoded after.
        key: the public key, see `read_public_key`.

    Raises:
        ConfigError: `key` is no public key.
        BundleError: it is not signed, the signature does not fit, or another key signed it; says which.
        MissingDependencyError: `cryptography` is not installed.
    """
    wanted = read_public_key(key)
    signer = signer_of(storage, manifest_bytes)
    if signer is None:
        raise BundleError(
            f"{storage.place}: is not signed, and {public_key_text(wanted)} must have signed it. Not loaded."
        )
    if signer != wanted:
        raise BundleError(
            f"{storage.place}: is signed by {public_key_text(signer)}, not by {public_key_text(wanted)}. Not loaded."
        )


def _decoded(data: bytes, where: str) -> Signature:
    try:
        found = msgspec.json.decode(data, type=Signature)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{where}: damaged, or no signature ({first_line(error)}). Not loaded.") from None
    if found.schema_version != SIGNATURE_VERSION or found.algorithm != ALGORITHM:
        raise BundleError(
            f"{where}: schema {found.schema_version}, algorithm {found.algorithm!r}: this edgedistill knows schema "
            f"{SIGNATURE_VERSION} and {ALGORITHM}: upgrade with `pip install -U edgedistill`. Not loaded."
        )
    return found
