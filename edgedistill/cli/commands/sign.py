"""`sign`: vouch for a bundle with a key, and make such a key."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgedistill.runtime.errors import ConfigError

from .. import console
from ..console import escape
from ..options import existing

if TYPE_CHECKING:
    from edgedistill.runtime import Bundle

_PASSWORD = "EDGEDISTILL_KEY_PASSWORD"


def sign(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle folder or .zip.", callback=existing, show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Your private key: a PEM or OpenSSH file.")] = None,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", help="Make a key: the private one here, the public one in FILE.pub.")
    ] = None,
    protect: Annotated[
        bool, typer.Option("--protect", help=f"Ask for a password for the new key (or take {_PASSWORD}).")
    ] = False,
) -> None:
    """Vouch for a bundle with your key, so that a device can refuse any other: `--require-signature`.

    Keep the private key to yourself and give the public one to whoever loads the bundle. The manifest stays as it is:
    the signature, of the kind Ed25519, is a file beside it. Without a bundle, --new-key makes a key and signs nothing.

    Example: [bold]edgedistill sign bundle --new-key release.key[/], later [bold]edgedistill sign bundle --key
    release.key[/]
    """
    if (key is None) == (new_key is None):
        raise ConfigError("give --key FILE, your private key, or --new-key FILE to make one.")
    if protect and new_key is None:
        raise ConfigError("--protect: goes with --new-key.")
    if bundle is None and new_key is None:
        raise ConfigError("give the bundle that is to be signed.")
    opened = None if bundle is None else _opened(bundle)  # before a key is made for nothing
    if new_key is not None:
        _make(new_key, protect)
    if opened is not None:
        _sign(opened, key or new_key or Path())


def _opened(path: Path) -> "Bundle":
    from edgedistill import runtime

    return runtime.open_bundle(path)


def _make(path: Path, protect: bool) -> None:
    from edgedistill.runtime.bundle.keys import public_key_text, write_new_key

    public = write_new_key(path, _password(f"New password of {path}", twice=True) if protect else None)
    console.out.print(
        f"{escape(str(path))}: a new private key; keep it to yourself. Public key, also in {escape(path.name)}.pub: "
        f"{public_key_text(public)}",
        soft_wrap=True,
    )


def _sign(bundle: "Bundle", key: Path) -> None:
    from edgedistill.runtime.bundle.keys import public_key_text, read_private_key
    from edgedistill.runtime.bundle.signing import sign_bundle

    private = read_private_key(key, lambda: _password(f"Password of {key}"))
    public = sign_bundle(bundle, private)
    console.out.print(f"{escape(str(bundle.root))}: signed by {public_key_text(public)}", soft_wrap=True)


def _password(asked: str, *, twice: bool = False) -> str:
    return os.environ.get(_PASSWORD) or str(typer.prompt(asked, hide_input=True, confirmation_prompt=twice, err=True))
