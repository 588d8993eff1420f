"""results/<device>/: one file per run of verify, bench or check: none is lost to another that ends at that moment.

results/raspberry-pi-5-aarch64/20261129T101500Z-bench-3f9a1c.json         the report, with the device described
results/raspberry-pi-5-aarch64/20261129T101500Z-bench-3f9a1c.samples.npz  a benchmark's raw samples, or a split's scores
"""

import io
import logging
import re
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
import numpy as np

from ..device import Device, describe_device, device_slug
from ..errors import BundleError, EdgedistillError, first_line, printable
from ..files import atomic_path, write_atomic
from ..json_text import encode_json
from ..record import Record
from ..text_files import read_bytes
from .opened import Bundle, results_folder

RESULTS_VERSION = 2
SAMPLES_SUFFIX = ".samples.npz"
_MOST_SAMPLES = 1 << 30  # bytes; of 80 classes, 20 artifacts and 100,000 images half as much

Kind = Literal["verify", "bench", "check"]
# What `save_run` calls the files of a run.
RUN_FILE = re.compile(rf"[0-9]{{8}}T[0-9]{{6}}Z-({'|'.join(get_args(Kind))})-[0-9a-f]{{6}}\.(json|samples\.npz)")
_SLUG = re.compile(r"[a-z0-9_-]{1,128}")
R = TypeVar("R", bound=Record)
_log = logging.getLogger("edgedistill")


class Run(Record):
    """One run.

    Attributes:
        schema_version: of this record.
        kind: which command made it.
        created: ISO 8601, UTC.
        device: the machine at that time.
        report: the command's report as it was encoded, fields of other versions included.
    """

    kind: str
    created: str
    device: Device
    report: msgspec.Raw
    schema_version: int = RESULTS_VERSION

    def decode(self, into: type[R]) -> R:
        """The report as the struct `into`.

        Raises:
            BundleError: it was written by a version whose reports lack what `into` needs.
        """
        try:
            return msgspec.json.decode(self.report, type=into)
        except msgspec.ValidationError as error:
            raise BundleError(
                f"the {self.kind} run of {self.created} was written by another edgedistill ({error}): run it again."
            ) from None


@dataclass(frozen=True)
class Machine:
    """Where a run was made, when that is not this machine.

    Attributes:
        slug: names its folder below results/, see `device_slug`.
        described: as it was at that time.
    """

    slug: str
    described: Device


class _OldFile(Record):
    """results/<device>.json of schema 1: all runs in one file."""

    schema_version: int = 1
    runs: tuple[Run, ...] = ()


def save_or_say(
    source: Bundle | str | Path,
    kind: Kind,
    report: R,
    *,
    stored: Record | None = None,
    samples: Mapping[str, np.ndarray] | None = None,
    machine: Machine | None = None,
) -> R:
    """`save_run`, and the report with where it is, or why it is not: a full disk must not cost what was measured.

    Args:
        source: the bundle as it was given to the command: a Bundle, a folder or a .zip.
        kind: which command ran.
        report: with the fields `saved` and `not_saved`.
        stored: what is written of it, where that is less.
        samples: see `save_run`.
        machine: see `save_run`.
    """
    try:
        path = save_run(source, kind, report if stored is None else stored, samples, machine=machine)
        return msgspec.structs.replace(report, saved=printable(str(path)))
    except EdgedistillError as error:
        return msgspec.structs.replace(report, not_saved=printable(str(error)))


def save_run(
    source: Bundle | str | Path,
    kind: Kind,
    report: Record,
    samples: Mapping[str, np.ndarray] | None = None,
    *,
    machine: Machine | None = None,
) -> Path:
    """Write a run to a file of its own, atomically; nothing that is there already is read or written.

    Args:
        source: the bundle as it was given to the command: a Bundle, a folder or a .zip.
        kind: which command ran.
        report: its typed report, without what is in `samples`.
        samples: arrays that are kept beside the report, compressed, by name.
        machine: where it was made; this machine when None.

    Returns:
        The report's file.

    Raises:
        EdgedistillError: the folder cannot be written, or `results` is a link that leads elsewhere.
    """
    now = datetime.now(timezone.utc)
    if machine is None:
        machine = Machine(device_slug(), describe_device())
    folder = _folder_of(machine, results_folder(source))
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{kind}-{secrets.token_hex(3)}.json"
    run = Run(
        kind=kind,
        created=now.isoformat(timespec="milliseconds"),
        device=machine.described,
        report=msgspec.Raw(encode_json(report)),
    )
    if samples:
        # By number: an artifact may be called as an argument of numpy's function is.
        arrays: dict[str, Any] = {f"array{i}": np.asarray(values) for i, values in enumerate(samples.values())}
        with atomic_path(path.with_name(path.stem + SAMPLES_SUFFIX)) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, names=np.array(list(samples), dtype=np.str_), **arrays)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(run)))
    return path


def read_samples(path: Path) -> dict[str, np.ndarray]:
    """The arrays beside a run's file; empty when there are none or they are damaged."""
    try:
        return unpack_samples(path.with_name(path.stem + SAMPLES_SUFFIX).read_bytes())
    except (OSError, ValueError):
        return {}


def unpack_samples(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays of a samples file; raises ValueError when it is damaged, or would unpack to more than it may."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_SAMPLES:
                raise ValueError("too large")
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            return {str(name): stored[f"array{i}"] for i, name in enumerate(stored["names"])}
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(first_line(error)) from None


def read_run(path: Path) -> Run | None:
    """A run's file; None, with a warning, where it is damaged."""
    return next(iter(_read(path, Run, lambda run: (run,))), None)


class StoredRun(NamedTuple):
    """A run and the file that it was read from, beside which its samples lie."""

    run: Run
    path: Path


def read_stored(source: Bundle | str | Path) -> dict[str, list[StoredRun]]:
    """Every device's runs of a bundle with their files, oldest first, by device slug; empty when nothing was run yet.

    A file that is damaged or of a newer schema is left out with a warning that names it: it hides no other run.
    """
    folder = results_folder(source)
    found: dict[str, list[StoredRun]] = {}
    for old in sorted(folder.glob("*.json")):
        runs = _read(old, _OldFile, lambda content: content.runs)
        found.setdefault(old.stem, []).extend(StoredRun(run, old) for run in runs)
    for path in sorted(folder.glob("*/*.json")):
        runs = _read(path, Run, lambda run: (run,))
        found.setdefault(path.parent.name, []).extend(StoredRun(run, path) for run in runs)
    return {slug: sorted(stored, key=lambda one: one.run.created) for slug, stored in found.items() if stored}


def read_runs(source: Bundle | str | Path) -> dict[str, list[Run]]:
    """`read_stored` without the files."""
    return {slug: [one.run for one in stored] for slug, stored in read_stored(source).items()}


def latest_run(source: Bundle | str | Path, kind: Kind, device: str | None = None) -> Run | None:
    """The newest run of a kind on a device; on this one when `device` is None."""
    runs = read_runs(source).get(device or device_slug(), [])
    return next((run for run in reversed(runs) if run.kind == kind), None)


def _read(path: Path, into: Any, runs: Any) -> tuple[Run, ...]:
    try:
        data = read_bytes(path)  # regular files only: a pipe would hang
        version = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version", 1)
        if isinstance(version, int) and version > RESULTS_VERSION:
            _log.warning("%s: written by a newer edgedistill (schema %s): left out.", path, version)
            return ()
        return tuple(runs(msgspec.json.decode(data, type=into)))
    except (EdgedistillError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.warning("%s: damaged results (%s): left out.", path, error)
        return ()


def _folder_of(machine: Machine, results: Path) -> Path:
    """A device's folder below `results`; neither may be a link, which could lead out of the bundle."""
    if not _SLUG.fullmatch(machine.slug):  # another machine's word, which is made into a path
        raise EdgedistillError(f"{machine.slug[:80]!r} is no device's short name: nothing is written.")
    folder = results / machine.slug
    for place in (results, folder):
        if place.is_symlink():
            raise EdgedistillError(f"{place}: is a link, which may lead elsewhere: nothing is written. Remove it.")
    return folder
