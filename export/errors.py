"""What can go wrong while a student becomes a bundle."""

from ..runtime.errors import EdgedistillError


class ExportError(EdgedistillError):
    """A student, or one of its artifacts, cannot be built; a bundle that stood there before is untouched."""


def one_line(error: object, most: int = 300) -> str:
    """A toolchain's many lines as one; its end is kept, since the cause comes last."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"...{text[-most:]}"
