"""What can be wrong with a device, each with the exit code of its kind."""

from ..runtime.errors import EdgedistillError, MissingDependencyError


class HostError(EdgedistillError):
    """The device cannot be reached, or what was sent to it failed there."""


class UnfitHostError(MissingDependencyError):
    """The device is reached and lacks what is needed: a Python, wheels for its kind, or room."""
