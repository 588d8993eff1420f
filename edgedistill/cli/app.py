"""The command tree and what happens when a command fails. Each command's libraries are imported when it runs."""

import inspect
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgedistill import __version__
from edgedistill.runtime.errors import CheckpointError, ConfigError, EdgedistillError, InterruptedRunError

from . import console
from .commands import app as apps
from .commands import (
    bundles,
    catalog,
    chain,
    check,
    export,
    fleet,
    predict,
    report,
    results,
    serve,
    sign,
    study,
    toolchains,
    training,
)
from .console import escape
from .processes import refuse_processes, speaking_rank


class _Commands(TyperGroup):
    """The commands; an empty argument, as an unset variable gives, is a mistake: as a path it is the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = [] if ctx.resilient_parsing else args  # a shell that completes
        for before, argument in zip(("", *given), given, strict=False):
            option = before if before.startswith("-") else ""
            name, equals, value = argument.partition("=")  # a value may end with one: base64
            if not argument or (name.startswith("--") and equals and not value):
                named = (argument or option).rstrip("=")
                raise ConfigError(f"{named or 'an argument'}: is empty. Give a value (an unset variable is empty).")
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Commands,
    name="edgedistill",
    help="Distil a large multi-label image classifier into a small one, and prove it on the device.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130
_SAME_EVERYWHERE = (ConfigError, CheckpointError, InterruptedRunError)  # of several processes one tells them
_KEEPING = ("run", "demo", "train", "distill", "study")  # commands that continue where they stopped
_invoked: list[str] = []
_TRAINING = "On the training machine"
_DEVICE = "On the device (needs neither torch nor the training environment)"


def _add(command: Callable[..., None], panel: str | None, name: str | None = None, to: typer.Typer = app) -> None:
    """Add a command; each paragraph of its docstring flows to the terminal's width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    to.command(name=name, rich_help_panel=panel, help=text)(command)


_command: Callable[..., None]
for _command in (
    chain.demo, chain.run, training.train, training.distill, training.evaluate, study.study, export.export
):  # fmt: skip
    _add(_command, _TRAINING)
for _command in (
    predict.predict, bundles.verify, check.check, bundles.bench, bundles.selftest, fleet.fleet, bundles.inspect,
    results.results, results.compare, report.report, serve.serve,
):  # fmt: skip
    _add(_command, _DEVICE)
_add(report.push, "Both")
_add(apps.app, "Both")
_add(catalog.list_, "Both", "list")
_add(sign.sign, "Both")

_toolchain = typer.Typer(
    cls=_Commands, no_args_is_help=True, help="Environments of their own for toolchains that conflict with ours."
)
_add(toolchains.install, None, to=_toolchain)
_add(toolchains.list_, None, "list", to=_toolchain)
_add(toolchains.remove, None, to=_toolchain)
app.add_typer(_toolchain, name="toolchain", rich_help_panel=_TRAINING)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""
    _invoked[:] = [context.invoked_subcommand or ""]
    refuse_processes(context.invoked_subcommand)


options.__doc__ = app.info.help


def run() -> int:
    """Run the command line; returns its exit code. A user's mistake prints one line and never a traceback."""
    # Pillow warns of photographs that are read here, up to `runtime.images.decoding.MAX_PIXELS`.
    warnings.filterwarnings("ignore", "Image size .* exceeds limit", RuntimeWarning)
    try:
        code = int(app(prog_name="edgedistill", standalone_mode=False) or 0)  # the code of typer.Exit, if any
        return (
            _fail(_interrupted(), code) if code == _INTERRUPTED else code
        )  # Typer turns Ctrl-C into an exit without a word
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_interrupted(), _INTERRUPTED)
    except BrokenPipeError:  # what reads our output left: see `streams`
        raise
    except Exception as error:
        return _explained(error)


def _interrupted() -> str:
    return "interrupted; what was finished is kept." if _invoked and _invoked[0] in _KEEPING else "interrupted."


def _explained(error: Exception) -> int:
    """Say in a line what went wrong and return the exit code; a bug of ours is raised again, for its traceback."""
    if isinstance(error, EdgedistillError):
        silent = isinstance(error, _SAME_EVERYWHERE) and speaking_rank()
        return error.exit_code if silent else _fail(str(error), error.exit_code)
    if isinstance(error, OSError):
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", 2)
    if speaking_rank() and _lost_a_process(error):
        return _fail("another process ended; its own message says why.", 1)
    show = getattr(error, "show", None)  # click's usage errors print themselves
    if show is None:
        raise error
    show()
    return getattr(error, "exit_code", 2)


def _lost_a_process(error: Exception) -> bool:
    """Whether PyTorch says that it cannot reach another process of the training."""
    words = ("onnection closed by peer", "onnection reset by peer", "gloo", "NCCL", "Broken pipe")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _fail(message: str, code: int) -> int:
    rank = speaking_rank()
    who = f"process {rank}: " if rank else ""
    console.faults.print(f"{who}[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return code
