"""`--host`: the same command here or on a device, over ssh. What happens is shown on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .console import escape

if TYPE_CHECKING:
    from edgedistill.remote.host import Host
    from edgedistill.runtime import BenchReport, CheckReport, ParityReport, SelfTestReport

_PANEL = "On a device, over ssh"

HostName = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="USER@NAME",
        help="Run there and bring the report back; a device needs Python 3.10 and nothing else. Or a deploy config "
        "(.yaml) with a `host`.",
        rich_help_panel=_PANEL,
    ),
]
RemoteData = Annotated[
    str | None,
    typer.Option(
        "--remote-data",
        metavar="PATH",
        help="The images as they lie on the device: none is sent. With --data, the folder of its images.",
        rich_help_panel=_PANEL,
    ),
]


@contextmanager
def connected(name: str) -> Iterator["Host"]:
    """An open device; the terminal shows what happens on it."""
    from edgedistill.remote.conversation import Stage
    from edgedistill.remote.host import open_host
    from edgedistill.runtime.progress import progress_bar
    from edgedistill.runtime.targets import is_config_file, load_host

    host = load_host(name)[1] if is_config_file(name) else name
    bar = progress_bar(console.err)
    task = bar.add_task("", total=None)

    def tell(stage: Stage) -> None:
        bar.update(task, description=escape(f"{host}: {stage.text}"), completed=stage.done or 0, total=stage.total)

    with bar, open_host(host, tell) as opened:
        yield opened


@contextmanager
def verifying(host: str | None) -> Iterator["Callable[..., ParityReport]"]:
    """`runtime.verify` without its `progress`, on this machine or the device `host`."""
    if host is not None:
        with connected(host) as opened:
            from edgedistill.remote import errand

            yield partial(errand.verify, opened)
        return
    from edgedistill import runtime
    from edgedistill.runtime.progress import counting

    with counting("verifying", console.err) as progress:
        yield partial(runtime.verify, progress=progress)


@contextmanager
def checking(host: str | None) -> Iterator["Callable[..., CheckReport]"]:
    """`runtime.check` without its `progress`, on this machine or the device `host`."""
    if host is not None:
        with connected(host) as opened:
            from edgedistill.remote import errand

            yield partial(errand.check, opened)
        return
    from edgedistill import runtime
    from edgedistill.runtime.progress import counting

    with counting("checking", console.err) as progress:
        yield partial(runtime.check, progress=progress)


@contextmanager
def benchmarking(host: str | None) -> Iterator["Callable[..., BenchReport]"]:
    """`runtime.benchmark` without its `progress`, on this machine or the device `host`."""
    if host is not None:
        with connected(host) as opened:
            from edgedistill.remote import errand

            yield partial(errand.bench, opened)
        return
    from edgedistill import runtime

    # The spinner is drawn seldom: what it computes, the measured process cannot.
    with console.err.status("measuring", refresh_per_second=2) as status:
        yield partial(runtime.benchmark, progress=lambda text: status.update(escape(text)))


@contextmanager
def selftesting(host: str | None) -> Iterator["Callable[..., SelfTestReport]"]:
    """`runtime.selftest`, on this machine or the device `host`."""
    if host is not None:
        with connected(host) as opened:
            from edgedistill.remote import errand

            yield partial(errand.selftest, opened)
        return
    from edgedistill import runtime

    yield runtime.selftest
