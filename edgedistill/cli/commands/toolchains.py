"""`toolchain`: environments of their own for toolchains whose requirements conflict with ours."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import console
from ..console import escape
from ..extras import require_export
from ..render import named_table, size
from ..signals import sigterm_like_ctrl_c

if TYPE_CHECKING:  # installed with the extra `export` alone
    from edgedistill.export.toolchains import Environment, Remains, Toolchain

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
    with sigterm_like_ctrl_c(), console.err.status("installing"):
        made = toolchains.install(name)
    console.out.print(f"{escape(made.path)}  {_versions(made.versions)}", soft_wrap=True)


def list_(json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON on stdout.")] = False) -> None:
    """Which toolchains there are, where, how large and in which versions.

    Example: [bold]edgedistill toolchain list[/]
    """
    from edgedistill.export import toolchains

    rows = _rows(toolchains.TOOLCHAINS, toolchains.environments(), toolchains.remains())
    if json:
        console.print_json(rows)
        return
    table = named_table("toolchain", "installed", "where", "over", "size", "how to get it", right=("size",))
    for row in rows:
        told = (_versions(row["versions"]) or "no", row["where"], row["over"])
        room = "-" if row["bytes"] is None else size(row["bytes"])
        table.add_row(*(escape(word or "-") for word in (row["toolchain"], *told, room, row["how_to_get"])))
    console.out.print(table)


def _rows(
    known: Mapping[str, "Toolchain"], environments: Sequence["Environment"], remains: Sequence["Remains"]
) -> list[dict[str, Any]]:
    """One for each place where a toolchain is, or one that says how to get it; null is what there is not."""
    from edgedistill.export.toolchains import installed_here

    def row(name: str, versions: Mapping[str, str], **more: str | int) -> dict[str, Any]:
        empty = dict.fromkeys(("where", "over", "bytes", "how_to_get"))
        reason = known[name].reason if name in known else None
        return {"toolchain": name, "installed": bool(versions), "versions": versions, **empty, "reason": reason, **more}

    rows = [
        row(name, {entry.distribution: version}, where=sys.executable)
        for name, entry in known.items()
        if (version := installed_here(entry))
    ]
    rows += [
        row(found.toolchain, found.versions, where=found.path, over=found.over, bytes=found.bytes)
        for found in environments
    ]
    there = {entry["toolchain"] for entry in rows}
    rows += [
        row(name, {}, how_to_get=f"{entry.how_to_get}: about {entry.disk_mb} MB")
        for name, entry in known.items()
        if name not in there
    ]
    rows += [
        row(
            left.toolchain,
            {},
            where=left.path,
            how_to_get=f"not whole, and never used: `edgedistill toolchain remove {left.toolchain}` frees its room",
        )
        for left in remains
    ]
    return sorted(rows, key=lambda entry: entry["toolchain"])


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
