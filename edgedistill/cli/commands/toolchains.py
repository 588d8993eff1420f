"""`toolchain`: environments of their own for toolchains whose requirements conflict with ours."""

import sys
from typing import Annotated

import typer

from .. import console
from ..console import escape
from ..extras import require_export
from ..render import named_table

Name = Annotated[str, typer.Argument(metavar="NAME", help="coreml or litert; `edgedistill toolchain list` shows all.")]


def install(name: Name) -> None:
    """Make a toolchain's environment once, below the cache folder; the size is told before.

    It lies over the environment that runs edgedistill, so that torch is not downloaded again. `export` finds it.

    Example: [bold]edgedistill toolchain install coreml[/]
    """
    require_export("toolchain install")
    from edgedistill.export import toolchains

    row = toolchains.toolchain(name)
    console.err.print(
        f"{escape(row.name)}: downloads about {row.download_mb} MB (measured on Linux x86-64 beside "
        f"edgedistill\\[all]), takes about {row.disk_mb} MB below {escape(str(toolchains.cache_folder()))}",
        soft_wrap=True,
    )
    with console.err.status("installing"):
        made = toolchains.install(name)
    console.out.print(f"{escape(made.path)}  {_versions(made.versions)}", soft_wrap=True)


def list_(json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON on stdout.")] = False) -> None:
    """Which toolchains there are, where, how large and in which versions.

    Example: [bold]edgedistill toolchain list[/]
    """
    from edgedistill.export import toolchains

    rows = []
    for row in toolchains.TOOLCHAINS.values():
        made = [found for found in toolchains.environments() if found.toolchain == row.name]
        if found := toolchains.installed_here(row):
            rows.append([row.name, sys.executable, "edgedistill's own", "-", f"{row.distribution} {found}"])
        for environment in made:
            size = f"{environment.bytes / 1e6:.0f}"
            rows.append([row.name, environment.path, environment.over, size, _versions(environment.versions)])
        if not found and not made:
            rows.append([row.name, "not installed", row.how_to_get, f"about {row.disk_mb}", row.reason])
    headings = ["toolchain", "where", "over", "MB", "versions"]
    if json:
        console.print_json([dict(zip(headings, row, strict=True)) for row in rows])
        return
    table = named_table(*headings)
    for line in rows:
        table.add_row(*map(escape, line))
    console.out.print(table)


def remove(name: Name) -> None:
    """Remove a toolchain's environments.

    Example: [bold]edgedistill toolchain remove coreml[/]
    """
    require_export("toolchain remove")
    from edgedistill.export import toolchains

    removed = toolchains.remove(name)
    for environment in removed:
        console.out.print(f"removed {escape(environment.path)}", soft_wrap=True)
    if not removed:
        console.err.print(f"{escape(name)}: there is no environment to remove.")


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
