"""Files to a device, each once: a file is known there by its SHA-256, and one that is there is not sent again."""

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ..runtime.errors import DataError
from ..runtime.record import Record
from .conversation import Stage
from .errors import UnfitHostError
from .host import Host
from .own_wheel import Wheel

_SPARED = 50 << 20  # a device's disk is not filled to the last byte


@dataclass(frozen=True)
class Content:
    """A file to send: its size, and its bytes when they are asked for."""

    size: int
    read: Callable[[], bytes | None]


class _Missing(Record):
    missing: tuple[str, ...]
    free: int


def send(host: Host, files: Mapping[str, Content]) -> None:
    """Put files, by their SHA-256, into the device's store.

    An interrupted sending goes on where it stopped: what arrived whole is there.

    Raises:
        UnfitHostError: the device has not the room for them.
        HostError: the line is lost, or they cannot be written there.
    """
    answer = host.call("missing", {"files": list(files)}, into=_Missing)
    lacking = {sha256: files[sha256] for sha256 in answer.missing if sha256 in files}
    total = sum(content.size for content in lacking.values())
    if not lacking:
        return
    if total + _SPARED > answer.free:
        raise UnfitHostError(
            f"{host.name}: has {answer.free / 1e6:,.0f} MB free below {host.cache}, and {total / 1e6:,.0f} MB are to "
            "be sent there. Free space there."
        )
    sent = 0
    with host.talk("receive") as talk:
        talk.send({})
        for sha256, content in lacking.items():
            host.tell(Stage("sending files (kB)", sent // 1000, total // 1000))
            data = content.read()
            if data is None or len(data) != content.size:
                raise DataError("a file changed while it was sent: run the same command again.")
            header = tarfile.TarInfo(sha256)
            header.size = len(data)
            talk.write(header.tobuf())
            for start in range(0, len(data), _PIECE):
                talk.write(data[start : start + _PIECE])
                host.tell(Stage("sending files (kB)", (sent + start) // 1000, total // 1000))
            talk.write(bytes(-len(data) % tarfile.BLOCKSIZE))
            sent += len(data)
        talk.write(bytes(2 * tarfile.BLOCKSIZE))
        talk.end_input()
        talk.answer()


_PIECE = 1 << 20


def send_wheels(host: Host, wheels: list[Wheel]) -> dict[str, str]:
    """Wheels, and where each lies in the store, by its file's name."""
    send(host, {wheel.sha256: Content(len(wheel.data), partial(_data, wheel)) for wheel in wheels})
    return {wheel.name: stored(host, wheel.sha256) for wheel in wheels}


def _data(wheel: Wheel) -> bytes:
    return wheel.data


def stored(host: Host, sha256: str) -> str:
    """Where the device keeps the file of that hash; as `there.stored`."""
    return f"{host.cache}/files/{sha256[:2]}/{sha256}"
