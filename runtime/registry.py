"""A decorator registry: adding a method, loss, backend or dataset format means adding one file to its folder.

Another distribution adds its own by an entry point that names the module which registers it:

    [project.entry-points."edgedistill.backends"]
    toy = "edgedistill_toy.backend"

A module that is in no distribution is named by the environment variable EDGEDISTILL_PLUGINS, several with commas.
"""

import difflib
import importlib
import logging
import os
import pkgutil
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import ConfigError, first_line

T = TypeVar("T")

_log = logging.getLogger("edgedistill")

_VARIABLE = "EDGEDISTILL_PLUGINS"


class Registry(Generic[T]):
    """Maps names to what the modules of one package, and of other distributions, register.

    Args:
        kind: what an entry is called in messages, e.g. "backend".
        package: dotted name of the module, or of the package whose modules, register entries; imported on look-up.
        group: entry point group whose modules register more, e.g. "edgedistill.backends"; they are imported when a name
            is not ours, or when all names are asked for.
    """

    def __init__(self, kind: str, package: str, group: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self.group = group
        self._entries: dict[str, T] = {}
        self._discovered = False
        self._plugged_in = False
        self._lock = threading.RLock()  # who looks up while another thread imports waits for all entries

    def register(self, name: str) -> Callable[[T], T]:
        def add(entry: T) -> T:
            if not str(getattr(entry, "__module__", "")).startswith(self._package):
                self._discover()  # a stranger's module that is imported first takes none of our names either
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def find(self, name: str) -> T | None:
        """The entry called `name`, or None."""
        self._discover()
        if name not in self._entries:
            self._plug_in()
        return self._entries.get(name)

    def get(self, name: str) -> T:
        """The entry called `name`; raises ConfigError with the nearest names otherwise."""
        entry = self.find(name)
        if entry is None:
            near = difflib.get_close_matches(str(name), self._entries, n=1)
            hint = f": did you mean {near[0]!r}?" if near else "."
            raise ConfigError(f"unknown {self.kind} {name!r}{hint} Known: {', '.join(self.names())}.")
        return entry

    def names(self) -> list[str]:
        self._discover()
        self._plug_in()
        return sorted(self._entries)

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                importlib.import_module(f"{self._package}.{module.name}")

    def _plug_in(self) -> None:
        """Import other distributions' modules; one that is broken costs its own entries only."""
        with self._lock:
            if self._plugged_in or self.group is None:
                return
            self._plugged_in = True
            import_plugins()
            from importlib import metadata

            for entry_point in metadata.entry_points(group=self.group):
                before = dict(self._entries)
                try:
                    entry_point.load()
                except (Exception, SystemExit) as error:  # a stranger's module may raise anything
                    self._entries = before
                    whose = entry_point.dist.name if entry_point.dist else "an unnamed distribution"
                    _log.warning(
                        "%s: its %s %r cannot be loaded and is left out (%s: %s). Upgrade or uninstall it.",
                        whose, entry_point.group, entry_point.name, type(error).__name__, first_line(error),
                    )  # fmt: skip


def import_plugins() -> None:
    """Import the modules that EDGEDISTILL_PLUGINS names, from the current folder too.

    Raises:
        ConfigError: one cannot be imported: unlike a distribution that happens to be installed, it was asked for.
    """
    for name in filter(None, map(str.strip, os.environ.get(_VARIABLE, "").split(","))):
        if name in sys.modules:
            continue
        sys.path.append(os.getcwd())  # noqa: PTH109 (as a string); a command's own path has no current folder
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            raise ConfigError(
                f"{_VARIABLE}: the module {name!r} cannot be imported ({type(error).__name__}: {first_line(error)}): "
                "it is installed, or lies in the current folder or in one of PYTHONPATH."
            ) from error
        finally:
            sys.path.remove(os.getcwd())  # noqa: PTH109
