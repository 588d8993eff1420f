"""`report` and `push`: what is known of a bundle, for people. Neither needs torch."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..console import escape
from ..options import BundlePath
from ..render import size, table

Json = Annotated[bool, typer.Option("--json", help="Print what was done as JSON on stdout.")]


def report(
    bundle: BundlePath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; report.html in the bundle by default.")
    ] = None,
    json: Json = False,
) -> None:
    """All that is known of a bundle as one page: lineage, accuracy against cost, parity, classes, latency, reliability.

    It opens in any browser, needs no network and no file beside it. What `verify` and `bench` found on devices is in
    it where their results lie in the bundle.

    Example: [bold]edgedistill report bundle[/]
    """
    from edgedistill.runtime.report import write_report

    place = write_report(bundle, out)
    if json:
        console.print_json({"report": str(place), "bytes": place.stat().st_size})
    else:
        console.out.print(f"[bold]{escape(str(place))}[/]  {size(place.stat().st_size)}", soft_wrap=True)


def push(
    bundle: BundlePath,
    repo: Annotated[str, typer.Argument(help="ORGANISATION/NAME on the hub; made where it does not exist.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Really send it. Without, only what would be sent is told.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    license: Annotated[
        str | None, typer.Option("--license", help="The model's license for the card, e.g. apache-2.0.")
    ] = None,
    json: Json = False,
) -> None:
    """Send a bundle with its page and a model card to a Hugging Face hub; a dry run unless --yes is given.

    The token is that of `hf auth login`, or HF_TOKEN; HF_ENDPOINT names another hub.

    Example: [bold]edgedistill push bundle my-name/my-model --yes[/]
    """
    from edgedistill import runtime
    from edgedistill.export.packages.hub import write_hub_folder
    from edgedistill.export.uploading import check_repo, require_hub, upload_folder

    require_hub()
    check_repo(repo)
    opened = runtime.open_bundle(bundle)
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        made = write_hub_folder(opened, Path(folder) / "hub", repo=repo, license=license)
        files = {
            path.relative_to(made).as_posix(): path.stat().st_size for path in sorted(made.rglob("*")) if path.is_file()
        }
        card = (made / "README.md").read_text(encoding="utf-8")
        if yes:
            with console.err.status(f"sending {escape(size(sum(files.values())))}"):
                address = upload_folder(made, repo, private=private)
    if json:
        console.print_json(
            {"repo": repo, "sent": yes, "address": address if yes else None, "files": files, "card": card}
        )
        return
    rows = table("file", "size", right=("size",))
    for name, count in files.items():
        rows.add_row(escape(name), size(count))
    console.out.print(rows)
    if yes:
        console.out.print(f"sent to [bold]{escape(address)}[/]", soft_wrap=True)
    else:
        console.out.print()
        for line in card.splitlines():
            console.out.print(escape(line), soft_wrap=True)
        console.out.print()
        console.out.print(
            "[bold]Nothing was sent.[/] The above is the model card, README.md. "
            f"`edgedistill push {escape(str(bundle))} {escape(repo)} --yes` sends {size(sum(files.values()))}.",
            soft_wrap=True,
        )
