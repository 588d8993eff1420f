"""What a side of a comparison may be: a report, the file of one, or a folder of such files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from ..bench.report import BenchReport
from ..bundle.records import MANIFEST
from ..bundle.results import Run
from ..errors import BundleError, ConfigError
from ..text_files import read_bytes

Source: TypeAlias = "BenchReport | str | Path | Sequence[BenchReport | str | Path]"


class Side(NamedTuple):
    """One side.

    Attributes:
        name: for people.
        runs: its benchmarks, one at least.
    """

    name: str
    runs: tuple[BenchReport, ...]


def read_side(source: Source) -> Side:
    """Read one side.

    Args:
        source: a report; a file that `bench` left in results/ or that `bench --json` printed; a folder of such files,
            of which those of other commands are passed over; or several of these.

    Raises:
        BundleError: it is none of these.
        ConfigError: there is no benchmark in it.
    """
    if isinstance(source, BenchReport):
        return Side(source.saved or f"{source.bundle} of {source.created}", (_complete(source),))
    if isinstance(source, str | Path):
        return Side(str(source), tuple(_read_path(Path(source))))
    sides = [read_side(one) for one in source]
    if not sides:
        raise ConfigError("compare: a side without a benchmark; give the file of one.")
    return Side(", ".join(side.name for side in sides), tuple(run for side in sides for run in side.runs))


def _read_path(path: Path) -> list[BenchReport]:
    if not path.is_dir():
        report = _read_file(path)
        if report is None:
            raise BundleError(f"{path}: is no benchmark: give a file that `edgedistill bench` left in results/.")
        return [report]
    if (path / MANIFEST).exists():
        raise ConfigError(f"{path}: is a bundle: give a file of its results/, or the folder of a device there.")
    found = [report for file in sorted(path.glob("*.json")) if (report := _read_file(file)) is not None]
    if not found:
        raise ConfigError(f"{path}: holds no benchmark (*.json that `edgedistill bench` wrote).")
    return found


def _read_file(path: Path) -> BenchReport | None:
    """The benchmark in a file; None where it holds another command's report."""
    try:
        data = read_bytes(path)
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: is not valid JSON ({error}).") from None
    content = _report_in(plain)
    if content is None:
        return None
    try:
        return _complete(msgspec.convert(content, BenchReport))
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: was written by another edgedistill ({error}): measure again.") from None


def _complete(report: BenchReport) -> BenchReport:
    """Of versions that had one batch size for all: each artifact says its own."""
    artifacts = tuple(
        msgspec.structs.replace(one, batch_size=one.batch_size or report.batch_size) for one in report.artifacts
    )
    return msgspec.structs.replace(report, artifacts=artifacts)


def _report_in(plain: Any) -> Any:
    """The report: as `results/` holds it, or as `bench --json` printed it."""
    if not isinstance(plain, dict):
        return None
    if set(Run.__struct_encode_fields__) <= plain.keys():
        return plain["report"] if plain["kind"] == "bench" else None
    return plain if {"plan", "preset", "artifacts"} <= plain.keys() else None
