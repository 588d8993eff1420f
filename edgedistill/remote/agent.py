"""On the device, in its environment: runs one command of the runtime and says what it finds.

`python -m edgedistill.remote.agent CACHE`. Its request comes on standard input; when that ends, it stops and cleans up.
"""

import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..runtime.bench.report import BenchInterruptedError
from ..runtime.bench.running import benchmark
from ..runtime.bundle.opened import results_folder
from ..runtime.bundle.results import SAMPLES_SUFFIX
from ..runtime.datasets import Dataset, open_dataset
from ..runtime.device import Device, describe_device
from ..runtime.errors import EdgedistillError, InterruptedRunError
from ..runtime.field import check
from ..runtime.json_text import encode_json
from ..runtime.parity import selftest, verify
from ..runtime.record import Record
from .conversation import Failed, Finished, Progress, Warned, encoded
from .line_end import interrupt_at_line_end
from .sent import PHOTOGRAPHS, DeviceData, Request, SentDataset, SentFile, SentFolder, given_place, received
from .there import place_file, stored


class Found(Record):
    """What a command found.

    Attributes:
        report: as the command gives it.
        device: the machine at that time.
        samples: what the command keeps beside its report, as it is packed; empty where there is nothing.
    """

    report: msgspec.Raw
    device: Device
    samples: bytes = b""


def main() -> None:
    """Answer one request."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    cache = Path(sys.argv[1])
    runs = cache / "runs"
    runs.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=runs))
    clean = partial(shutil.rmtree, place, ignore_errors=True)
    finish = interrupt_at_line_end(clean)
    _tell_warnings()
    last: Finished | Failed
    try:
        last = Finished(result=_found(request, _run(request, cache, place), place))
    except BenchInterruptedError as interrupted:
        last = Failed(
            message="interrupted", exit_code=interrupted.exit_code, result=_found(request, interrupted.report, place)
        )
    except EdgedistillError as error:
        last = Failed(message=_as_called(str(error), request, place), exit_code=error.exit_code)
    except OSError as error:  # a full disk, say
        last = Failed(message=f"{error.filename or cache}: {error.strerror or error}", exit_code=2)
    except KeyboardInterrupt:
        last = Failed(message="interrupted", exit_code=InterruptedRunError.exit_code)
    finish()
    clean()
    _say(last)


def _run(request: Request, cache: Path, place: Path) -> Record:
    """Lay out what was sent, and run the command on it."""

    def lay_out(file: SentFile, path: str) -> Path:
        place_file(stored(cache, file.sha256), place / path)
        return place / path

    for file in request.files:
        lay_out(file, file.path)
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in request.options.items()
    }
    options |= {name: lay_out(file, given_place(name, file)) for name, file in request.given.items()}
    source, data = place / request.source, request.data
    if request.command == "verify":
        labelled: Dataset
        if isinstance(data, SentDataset):
            labelled = received(data, partial(stored, cache))
        elif isinstance(data, DeviceData) and data.labels is not None:
            labels = lay_out(data.labels, data.labels.path)
            labelled = open_dataset(labels, images=data.path, classes=data.classes)
        else:
            assert isinstance(data, DeviceData)
            labelled = open_dataset(data.path, images=data.images, classes=data.classes)
        return verify(source, labelled, progress=_counting("verifying"), **options)
    if request.command == "check":
        folder = data.path if isinstance(data, DeviceData) else str(place / PHOTOGRAPHS)
        for file in data.files if isinstance(data, SentFolder) else ():
            lay_out(file, f"{PHOTOGRAPHS}/{file.path}")
        return check(source, folder, progress=_counting("checking"), **options)
    if request.command == "bench":
        return benchmark(source, progress=lambda text: _say(Progress(text=text)), **options)
    return selftest(source, **options)


def _counting(text: str) -> Callable[[int, int], None]:
    return lambda done, total: _say(Progress(text=text, done=done, total=total))


def _found(request: Request, report: Record, place: Path) -> msgspec.Raw:
    kept = sorted(results_folder(place / request.source).rglob(f"*{SAMPLES_SUFFIX}"))  # what was given lies elsewhere
    text = _as_called(encode_json(report).decode(), request, place, _in_json)
    found = Found(
        report=msgspec.Raw(text.encode()),
        device=describe_device(),
        samples=kept[0].read_bytes() if kept else b"",
    )
    return msgspec.Raw(msgspec.json.encode(found))


def _as_called(text: str, request: Request, place: Path, written: Callable[[str], str] = str) -> str:
    """A message or a report, in which the places of a run have the names that the user knows."""
    for path, name in request.called.items():
        text = text.replace(written(str(place / path)), written(name))
    return text


def _in_json(text: str) -> str:
    return encode_json(text).decode()[1:-1]


def _say(message: Any) -> None:
    sys.stdout.buffer.write(encoded(message))
    sys.stdout.buffer.flush()


def _tell_warnings() -> None:
    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _say(Warned(text=record.getMessage()))

    log = logging.getLogger("edgedistill")
    log.addHandler(Told())
    log.propagate = False


if __name__ == "__main__":
    main()
