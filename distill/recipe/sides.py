"""How small a network's images may be."""

from ...runtime.errors import ConfigError

_SMALLEST = 16


def require_side(size: tuple[int, int], where: str) -> None:
    """Raise ConfigError for an image of (height, width) that no network can look at; `where` names the key."""
    if min(size) < _SMALLEST:
        raise ConfigError(f"{where}: {size[0]} x {size[1]} is too small, at least {_SMALLEST} pixels a side.")
