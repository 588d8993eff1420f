"""`app`: a bundle as what a developer embeds. It needs no torch."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from edgedistill.runtime.errors import ConfigError

from .. import console
from ..console import escape
from ..options import ArtifactNames, BundlePath, RequireSignature
from ..render import size
from ..signals import sigterm_like_ctrl_c

Kind = Annotated[str, typer.Argument(help="What to make, e.g. web; an unknown one is answered with all there are.")]


def app(
    kind: Kind,
    bundle: BundlePath,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder: a new one, or an empty one.")],
    artifacts: ArtifactNames = None,
    assets: Annotated[
        Path | None, typer.Option("--assets", help="A folder with what would be downloaded, where there is no network.")
    ] = None,
    require_signature: RequireSignature = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON on stdout.")] = False,
) -> None:
    """Make an app, or a project to begin one with, of a bundle: whole, or not at all.

    What is made explains itself in its README.md.

    Example: [bold]edgedistill app web bundle -o site[/]
    """
    from edgedistill import runtime
    from edgedistill.export.packages import PACKAGES
    from edgedistill.export.packages.placing import placed, refuse_taken

    package = PACKAGES.get(kind)
    given: dict[str, Any] = {"artifacts": artifacts, "assets": assets}
    options = {name: value for name, value in given.items() if value is not None}
    for name in sorted(set(options) - set(inspect.signature(package).parameters)):
        option = {"artifacts": "--artifact"}.get(name, f"--{name}")
        raise ConfigError(f"{option}: {kind!r} takes no such option.")
    refuse_taken(out)
    opened = runtime.open_bundle(bundle, require_signature=require_signature)
    with sigterm_like_ctrl_c(), placed(out) as place, console.err.status(f"making {escape(kind)}"):
        package(opened, place, **options)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()] if out.is_dir() else [out]
    total = sum(path.stat().st_size for path in files)
    if json:
        console.print_json({"kind": kind, "out": str(out), "files": len(files), "bytes": total})
        return
    read = f"; {escape(str(out / 'README.md'))} says how to go on" if (out / "README.md").is_file() else ""
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    console.out.print(
        f"[bold]{escape(str(out))}[/]: {escape(kind)}, {count}, {size(total)}{read}.",
        soft_wrap=True,
    )
