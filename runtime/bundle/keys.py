"""Ed25519 keys as people hold them: files in PEM or OpenSSH's form, or the public key itself as text."""

import base64
import binascii
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import ConfigError, MissingDependencyError
from ..text_files import read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "ed25519:"
PUBLIC_BYTES = 32
_OPENSSH = "ssh-ed25519 "
_SECRET, _PUBLIC = 0o600, 0o644


def public_key_text(key: bytes) -> str:
    """How a public key is written and compared: `ed25519:` and the base64 of its 32 bytes."""
    return PREFIX + base64.b64encode(key).decode()


def read_public_key(key: str | Path) -> bytes:
    """The 32 bytes of a public key.

    Args:
        key: `ed25519:...` as `edgedistill sign` prints it, or a file that holds such a line, a PEM or OpenSSH's line.

    Raises:
        ConfigError: it is none; says why.
        MissingDependencyError: a PEM or OpenSSH's line, and `cryptography` is not installed.
    """
    where = str(key)
    text = where if where.startswith(PREFIX) else _text_of(Path(key))
    if text.startswith(PREFIX):
        with contextlib.suppress(binascii.Error, ValueError):
            raw = base64.b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
            if len(raw) == PUBLIC_BYTES:
                return raw
        raise ConfigError(f"{where}: no Ed25519 key: {PREFIX} wants 44 characters of base64 after it. Copy it whole.")
    if "PRIVATE KEY" in text:
        raise ConfigError(f"{where}: is a private key: give the public one, {where}.pub.")
    return _decoded(text, where)


def read_private_key(path: Path, ask_password: Callable[[], str]) -> "Ed25519PrivateKey":
    """A private key from a PEM or OpenSSH file.

    Args:
        path: the file.
        ask_password: called where the file is protected by one.

    Raises:
        ConfigError: no such file, no Ed25519 key, or the wrong password.
        MissingDependencyError: `cryptography` is not installed.
    """
    ed25519, serialization = library(), _serialization()
    data = read_bytes(path, ConfigError)
    if data.startswith((PREFIX.encode(), _OPENSSH.encode(), b"-----BEGIN PUBLIC KEY")):
        raise ConfigError(f"{path}: is a public key: give the private one, which it was made with.")
    openssh = b"OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = load(data, None)
    except TypeError:  # how the library says that it is protected
        key = None
    except Exception as error:  # UnsupportedAlgorithm, ValueError and others, by version
        raise ConfigError(f"{path}: no private key that can be read ({error}).") from None
    if key is None:
        password = ask_password().encode()  # outside of what is caught: it may be left by Ctrl-C
        try:
            key = load(data, password)
        except Exception as error:  # as above
            raise ConfigError(f"{path}: no private key that can be read, or the wrong password ({error}).") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key. `edgedistill sign --new-key FILE` makes one.")
    return key


def write_new_key(path: Path, password: str | None) -> bytes:
    """Make a key pair: the private key at `path`, for its owner's eyes alone, the public one as text at `<path>.pub`.

    Args:
        path: where no file may be yet.
        password: protects the private key's file.

    Returns:
        the public key's 32 bytes.

    Raises:
        ConfigError: a file stands there already; or it cannot be written.
        MissingDependencyError: `cryptography` is not installed.
    """
    ed25519, serialization = library(), _serialization()
    public_path = path.with_name(f"{path.name}.pub")
    for place in (path, public_path):
        if os.path.lexists(place):
            raise ConfigError(f"{place}: is there already, and a key is never overwritten. Give another path.")
    key = ed25519.Ed25519PrivateKey.generate()
    protection = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    public = key.public_key().public_bytes_raw()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"{public_key_text(public)}\n".encode()
        for place, content, mode in ((path, pem, _SECRET), (public_path, text, _PUBLIC)):
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: cannot be written ({error.strerror or error}).") from error
    return public


def library() -> ModuleType:
    """The module of Ed25519 in `cryptography`; raises MissingDependencyError naming the extra to install."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingDependencyError(
            f'signatures need cryptography, which cannot be imported ({error}): pip install "edgedistill[sign]".'
        ) from error
    return ed25519


def _serialization() -> ModuleType:
    from cryptography.hazmat.primitives import serialization

    return serialization


def _text_of(path: Path) -> str:
    try:
        data = read_bytes(path, ConfigError)
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: no public key: it is no text. Give the .pub file, or {PREFIX}...") from None


def _decoded(text: str, where: str) -> bytes:
    ed25519, serialization = library(), _serialization()
    load = serialization.load_ssh_public_key if text.startswith(_OPENSSH) else serialization.load_pem_public_key
    try:
        key = load(text.encode())
    except Exception:  # UnsupportedAlgorithm, ValueError and others, by version
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"{where}: no Ed25519 public key. Give the .pub file, or {PREFIX}... itself.")
    return key.public_bytes_raw()
