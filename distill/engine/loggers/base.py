"""What a logger is: it is opened with what a training is, and gets each finished epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ....runtime.errors import ConfigError
from ....runtime.registry import Registry
from ..summary import shares


@dataclass(frozen=True)
class Run:
    """A training, as a logger is told of it.

    Attributes:
        name: of the run and what is trained, e.g. "voc/student".
        folder: of the training; a logger keeps there what it needs to continue the same run.
        epoch: the first that will be logged; what an interrupted run left of it and later ones is replaced.
        settings: what decides the result, nested plain data.
        files: texts by file name, such as the recipe.
        environment: code version, libraries, hardware, data; as in environment.json.
    """

    name: str
    folder: Path
    epoch: int
    settings: Mapping[str, Any]
    files: Mapping[str, str]
    environment: Mapping[str, Any]


class Logger:
    """Base of the loggers. It is opened in one process, before the first epoch; any of its methods may raise.

    Args:
        run: the training.
    """

    requires: ClassVar[Sequence[str]] = ()
    """Modules that it imports."""
    extra: ClassVar[str] = ""
    """What `pip install "edgedistill[...]"` brings them by."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Take note of the last of the finished epochs' records; each is a line of metrics.jsonl."""
        raise NotImplementedError

    def close(self, *, finished: bool) -> None:
        """The training is over, or stops to be continued."""


LOGGERS: Registry[type[Logger]] = Registry("logger", __package__, "edgedistill.loggers")


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch's record by name: terms, rate, speed, shares of time, mAP, AP of each class."""
    found = {f"loss/{name}": value for name, value in record["terms"].items()}
    names = ("lr", "images_per_second", "skipped_steps", "val_mAP")
    found |= {name: record[name] for name in names if name in record}
    found |= {f"val_mAP/{weights}": score for weights, score in record.get("val_mAP_of", {}).items()}
    found |= {f"time/{phase}": share for phase, share in shares([record["time"]]).items()}
    return found | {f"AP/{name}": ap for name, ap in record.get("val_AP", {}).items()}


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def require_loggers(names: Sequence[str], where: str) -> None:
    """Raise ConfigError for a logger that does not exist, or whose package is not installed here.

    Args:
        names: of a recipe.
        where: begins the message, and names the key.
    """
    for name in names:
        try:
            logger = LOGGERS.get(name)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        missing = [module for module in logger.requires if find_spec(module) is None]
        if missing:
            way_out = f'pip install "edgedistill[{logger.extra}]"' if logger.extra else "install it"
            raise ConfigError(
                f"{where}: {name!r} needs {', '.join(missing)}, not installed here: {way_out}, or leave {name!r} out."
            )
