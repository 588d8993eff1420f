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
from ..runtime.bundle.results import SAMPLES_SUFFIX
from ..runtime.datasets import Dataset, open_dataset
from ..runtime.device import Device, describe_device
from ..runtime.errors import EdgedistillError, InterruptedRunError
from ..runtime.parity import selftest, verify
from ..runtime.record import Record
from .conversation import Failed, Finished, Progress, Warned, encoded
from .line_end import interrupt_at_line_end
from .sent import DeviceData, Request, SentDataset, received
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
        last = Finished(result=_found(_run(request, cache, place), place))
    except BenchInterruptedError as interrupted:
        last = Failed(message="interrupted", exit_code=interrupted.exit_code, result=_found(interrupted.report, place))
    except EdgedistillError as error:
        told = str(error).replace(str(place / request.source), request.shown)
        last = Failed(message=told, exit_code=error.exit_code)
    except OSError as error:  # a full disk, say
        last = Failed(message=f"{error.filename or cache}: {error.strerror or error}", exit_code=2)
    except KeyboardInterrupt:
        last = Failed(message="interrupted", exit_code=InterruptedRunError.exit_code)
    finish()
    clean()
    _say(last)


def _run(request: Request, cache: Path, place: Path) -> Record:
    for file in request.files:
        place_file(stored(cache, file.sha256), place / file.path)
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in request.options.items()
    }
    source = place / request.source
    if request.command == "verify":
        return verify(source, _dataset(request, cache, place), progress=_counting("verifying"), **options)
    if request.command == "bench":
        return benchmark(source, progress=lambda text: _say(Progress(text=text)), **options)
    return selftest(source, **options)


def _dataset(request: Request, cache: Path, place: Path) -> Dataset:
    data = request.data
    if isinstance(data, SentDataset):
        return received(data, partial(stored, cache))
    assert isinstance(data, DeviceData)
    if data.labels is None:
        return open_dataset(data.path, images=data.images, classes=data.classes)
    labels = place / "labels" / data.labels.path
    place_file(stored(cache, data.labels.sha256), labels)
    return open_dataset(labels, images=data.path, classes=data.classes)


def _counting(text: str) -> Callable[[int, int], None]:
    return lambda done, total: _say(Progress(text=text, done=done, total=total))


def _found(report: Record, place: Path) -> msgspec.Raw:
    kept = sorted(place.rglob(f"*{SAMPLES_SUFFIX}"))
    found = Found(
        report=msgspec.Raw(msgspec.json.encode(report)),
        device=describe_device(),
        samples=kept[0].read_bytes() if kept else b"",
    )
    return msgspec.Raw(msgspec.json.encode(found))


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
