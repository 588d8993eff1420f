"""The command tree and what happens when a command fails. Each command's libraries are imported when it runs."""

import os
import sys
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from edgedistill import __version__
from edgedistill.runtime.errors import CheckpointError, ConfigError, EdgedistillError, InterruptedRunError

from . import console
from .commands import bundles, catalog, chain, export, predict, study, training
from .processes import process_rank, refuse_processes

app = typer.Typer(
    name="edgedistill",
    help="Distil a large multi-label image classifier into a small one, and prove it on the device.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130
_SAME_EVERYWHERE = (ConfigError, CheckpointError, InterruptedRunError)  # of several processes one tells them
_KEPT = "interrupted; what was finished is kept."
_TRAINING = "On the training machine"
_DEVICE = "On the device (needs neither torch nor the training environment)"

app.command(rich_help_panel=_TRAINING)(chain.demo)
app.command(rich_help_panel=_TRAINING)(chain.run)
app.command(rich_help_panel=_TRAINING)(training.train)
app.command(rich_help_panel=_TRAINING)(training.distill)
app.command(rich_help_panel=_TRAINING)(training.evaluate)
app.command(rich_help_panel=_TRAINING)(study.study)
app.command(rich_help_panel=_TRAINING)(export.export)
app.command(rich_help_panel=_DEVICE)(predict.predict)
app.command(rich_help_panel=_DEVICE)(bundles.verify)
app.command(rich_help_panel=_DEVICE)(bundles.bench)
app.command(rich_help_panel=_DEVICE)(bundles.selftest)
app.command(rich_help_panel=_DEVICE)(bundles.inspect)
app.command(name="list", rich_help_panel="Both")(catalog.list_)


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
    refuse_processes(context.invoked_subcommand)


options.__doc__ = app.info.help


def main() -> NoReturn:
    """Run the command line; a user's mistake prints one line and never a traceback."""
    try:
        code = int(app(prog_name="edgedistill", standalone_mode=False) or 0)  # the code of typer.Exit, if any
        if code == _INTERRUPTED:  # Typer turns Ctrl-C into an exit without a word
            code = _fail(_KEPT, code)
    except _SAME_EVERYWHERE as error:
        code = error.exit_code if process_rank() else _fail(str(error), error.exit_code)
    except EdgedistillError as error:
        code = _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(_KEPT, _INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` closed the pipe: not an error
        code = 0
    except OSError as error:
        code = _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", 2)
    except Exception as error:
        if process_rank() and _lost_a_process(error):
            sys.exit(_fail("another process ended; its own message says why.", 1))
        show = getattr(error, "show", None)  # click's usage errors print themselves
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    sys.exit(code)


def _lost_a_process(error: Exception) -> bool:
    """Whether PyTorch says that it cannot reach another process of the training."""
    words = ("onnection closed by peer", "onnection reset by peer", "gloo", "NCCL", "Broken pipe")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _fail(message: str, code: int) -> int:
    rank = process_rank()
    who = f"process {rank}: " if rank else ""
    console.faults.print(f"{who}[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return code
