"""Standard streams as a pipeline has them: closed, without a reader, or unable to hold every character."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable

# What a shell says of a program that SIGPIPE ended. Not 0, which is `verify`'s word for "passed".
READER_GONE = 141
_CANNOT_WRITE = 2

_ESCAPE = "edgedistill.escape"
_SURROGATES = range(0xDC80, 0xDD00)  # how Python holds a file name's bytes that are no text


def prepare() -> None:
    """Make every stream safe to print on.

    A stream that the parent closed (`>&-`) becomes /dev/null: otherwise the next file that is opened, a checkpoint say,
    would get its number, and what a library prints. A character that a stream's encoding lacks is printed as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_null(number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    codecs.register_error(_ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPE)


def finish(run: Callable[[], int]) -> int:
    """The exit code of `run`; READER_GONE, without a word, where what reads our output left before its end."""
    try:
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:  # a full disk, say
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: the output cannot be written ({error.strerror or error}).\n")
        _drop_unwritten()
        return _CANNOT_WRITE
    except SystemExit as error:  # how typer and rich end when a pipe breaks: with code 1, which means "failed" here
        if not _from_broken_pipe(error):
            raise
        code = READER_GONE
    if code == READER_GONE:
        _drop_unwritten()
    return code


def printable(text: str) -> str:
    r"""Text that is Unicode: a file name's bytes that are no text become escapes such as `\xff`."""
    return text.encode("utf-8", _ESCAPE).decode("utf-8") if not text.isascii() else text


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""A codec error handler: `\xff` for a byte that is no text, Python's escape for a character."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    escaped = (
        f"\\x{ord(character) - 0xDC00:02x}" if ord(character) in _SURROGATES else _python_escape(character)
        for character in lacking
    )
    return "".join(escaped), error.end


def _python_escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _from_broken_pipe(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, BrokenPipeError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _drop_unwritten() -> None:
    """What cannot be written any more must not be tried again when Python ends."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_null(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
