"""Errors that a user can act on: each message names the thing, the reason and the way out, in one line.

The command line prints the message without a traceback and exits with the class's code.
"""

import unicodedata

# What a hostile file makes a message repeat may be as long as the file; what is wrong stands at either end.
_LONGEST, _HEAD = 1500, 1000


class EdgedistillError(Exception):
    """Base of every error that is the user's to mend; anything else that escapes is a bug of ours."""

    exit_code = 2

    def __str__(self) -> str:
        """The message as one line that any terminal can print, whatever file names and labels it repeats."""
        text = printable(super().__str__())
        return text if len(text) <= _LONGEST else f"{text[:_HEAD]} ... {text[_HEAD - _LONGEST :]}"


class ConfigError(EdgedistillError):
    """A recipe, deploy config or option holds an unknown key, a wrong type or an impossible value."""


class DataError(EdgedistillError):
    """A dataset, an image or a label file cannot be used as it is."""


class BundleError(EdgedistillError):
    """A bundle is missing, truncated, tampered with, or of a newer schema."""


class RefusedError(BundleError):
    """Nothing ran, and at least one artifact was refused: what a report would call "failed"."""

    exit_code = 1


class CheckpointError(EdgedistillError):
    """A checkpoint is missing, damaged, or does not fit what it is asked for."""


class InferenceError(EdgedistillError):
    """A backend gave up while it ran: its device was lost, or its memory is full. What it gave before is sound.

    Attributes:
        reason: without the model's name, for reports that name it themselves.
    """

    exit_code = 1

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: {reason}. Try again, or another artifact, or `--device`.")
        self.reason = reason


class MissingDependencyError(EdgedistillError):
    """A backend or toolchain is not installed here, or not usable on this machine."""

    exit_code = 3


class InterruptedRunError(EdgedistillError):
    """Ctrl-C or SIGTERM: everything computed so far is saved and the same command continues."""

    exit_code = 130


def printable(text: str) -> str:
    r"""The text in one line: line ends, control characters and bytes of a file name that are no text as escapes.

    `os.fsdecode(b"photo\xff.jpg")` is told as `photo\xff.jpg`.
    """
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1] if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character


def first_line(error: BaseException) -> str:
    """The first line of a library's error, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
