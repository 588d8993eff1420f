"""Does a bundle answer on an Arm processor as it does here? Without one: under qemu's emulation of several.

    python benchmarks/arm64.py --prepare
    python benchmarks/arm64.py BUNDLE --data LABELS.csv [--images FOLDER] [--photographs 50] [--cpu cortex-a76 ...]
    python benchmarks/arm64.py --table

The first time it makes a Debian for arm64 with this edgedistill in the cache folder (EDGEDISTILL_CACHE): 0.4 GB, no
rights of an administrator, and interrupted it goes on. It wants Debian or Ubuntu on another processor than Arm's.

There and here `edgedistill predict`, `selftest` and `verify` run on the same photographs, each artifact on one thread,
and their labels and logits are compared. Emulated processors differ in their int8 instructions: cortex-a53 (Raspberry
Pi 3; in that as the Pi 4's cortex-a72) has none, cortex-a76 (Pi 5) has dot products, max has products of 8-bit matrices
too; its vectors of variable length are off, for which qemu takes many minutes. Says nothing about speed. Writes
benchmarks/results/arm64.json.
"""

import argparse
import csv
import dataclasses
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from arm64_answers import Answer, Asked, OwnPython, ask
from arm64_packages import EXTRAS, Packages, packages
from arm64_processor import Processor, processor
from arm64_record import RECORD, Results, described, here, markdown, read, row, write
from arm64_userland import Userland, userland

from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.bundle.selection import missing_files
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.errors import DataError, EdgedistillError

CPUS = ("cortex-a53", "cortex-a76", "max,sve=off,sme=off")
_X86_INT8 = ("avx2", "avx512bw", "avx_vnni", "avx512_vnni", "amx_int8")


_SYSTEM = "import os, platform; print(os.confstr('CS_GNU_LIBC_VERSION'), 'and Python', platform.python_version())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--data", type=Path, help="a .csv with the columns path and labels")
    parser.add_argument("--images", type=Path, help="the folder of its paths; its own by default")
    parser.add_argument("--photographs", type=int, default=50, help="how many, the first ones")
    parser.add_argument("--cpu", action="append", help=f"of qemu's; {', '.join(CPUS)} by default")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--prepare", action="store_true", help="make the emulated system, and run nothing")
    parser.add_argument("--table", action="store_true", help="print the record and run nothing")
    arguments = parser.parse_args()
    if not (arguments.prepare or arguments.table or (arguments.bundle and arguments.data)):
        parser.error("give a bundle and --data; or --prepare; or --table")
    try:
        if arguments.prepare:
            print(f"ready: {' '.join(map(str, prepared(userland(), CPUS[0]).path))}")
            return
        if not arguments.table:
            cpus = tuple(arguments.cpu or CPUS)
            for found in run(arguments.bundle, arguments.data, arguments.images, arguments.photographs, cpus):
                write(found, arguments.out)
    except EdgedistillError as error:
        sys.exit(f"{error}")
    results = read(arguments.out)
    print(described(results), markdown(results), sep="\n\n")


def prepared(made: Userland, cpu: str) -> Packages:
    """Make what is missing of the emulated system."""
    made.prepare()
    return packages(made, processor(made, cpu))


def run(bundle: Path, data: Path, images: Path | None, count: int, cpus: tuple[str, ...]) -> Iterator[Results]:
    """Ask this machine, then each emulated processor, and compare: the record so far after each."""
    opened, made = open_bundle(bundle), userland()
    wanted = [one for one in opened.manifest.artifacts if one.backend in EXTRAS and missing_files(one) is None]
    with tempfile.TemporaryDirectory(prefix="edgedistill-arm64-") as folder:
        copy = copied(bundle, Path(folder))
        labels, photographs = first_rows(data, images or data.parent, count, Path(folder))
        names = tuple(one.name for one in wanted)
        installed = prepared(made, cpus[0])
        machines = {cpu: processor(made, cpu).with_packages(installed.path) for cpu in cpus}
        asked = Asked(copy, names, photographs, labels, (images or data.parent).resolve(), Path(folder))
        native = ask(OwnPython(), asked, lambda what: print(f"here: {what}", flush=True))
        runs = [one for one in wanted if not native[one.name].reason]
        for name in (name for name, answer in native.items() if answer.reason):
            print(f"{name}: does not run here, so it is left out: {native[name].reason}")
        asked = dataclasses.replace(asked, artifacts=tuple(one.name for one in runs))
        answers: dict[str, dict[str, Answer]] = {}  # by artifact and processor
        floats = {one.backend: native[one.name] for one in runs if one.precision == "fp32"}
        own = [
            here(one.name, native[one.name], None if one.precision == "fp32" else floats.get(one.backend))
            for one in runs
        ]
        found = Results(
            device=describe_device(),
            instructions=own_instructions(),
            emulator=version(made),
            userland=system(machines[cpus[0]]),
            model=f"{opened.manifest.provenance.model}, {opened.manifest.preprocessing.size[0]} px",
            photographs=len(asked.photographs),
            classes=len(opened.manifest.classes),
            lacking=dict(installed.lacking),
            here=tuple(own),
        )
        for cpu, answered in each(machines, asked):
            rows = [row(name, cpu, answers.setdefault(name, {}), answered[name], native[name]) for name in answered]
            for name, answer in answered.items():
                answers[name][cpu] = answer
            found = msgspec.structs.replace(
                found, processors=found.processors | {cpu: machines[cpu].features}, rows=(*found.rows, *rows)
            )
            yield found


def each(machines: Mapping[str, Processor], asked: Asked) -> Iterator[tuple[str, dict[str, Answer]]]:
    """All processors at once; their answers in order, each as soon as it is there."""

    def one(cpu: str) -> dict[str, Answer]:
        work = asked.work / f"of-{cpu}"
        work.mkdir()
        return ask(
            machines[cpu], dataclasses.replace(asked, work=work), lambda what: print(f"{cpu}: {what}", flush=True)
        )

    with ThreadPoolExecutor(len(machines)) as pool:
        yield from zip(machines, pool.map(one, machines), strict=True)


def copied(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle, into whose results the machines may write."""
    if not bundle.is_dir():
        return Path(shutil.copy(bundle, folder / "bundle.zip"))
    return Path(shutil.copytree(bundle, folder / "bundle", ignore=shutil.ignore_patterns("results")))


def first_rows(data: Path, images: Path, count: int, folder: Path) -> tuple[Path, tuple[Path, ...]]:
    """The first `count` rows of a .csv as one of their own, and their photographs.

    Raises:
        DataError: the .csv cannot be read, has no column `path`, or no photographs.
    """
    try:
        with data.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(itertools.islice(reader, count))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{data}: cannot be read ({error}).") from None
    names = reader.fieldnames or ()
    if not rows or "path" not in names:
        raise DataError(f"{data}: wants a column `path`, one of `labels`, and a photograph a row.")
    labels = folder / "labels.csv"
    with labels.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    return labels, tuple((images / row["path"]).resolve() for row in rows)


def own_instructions() -> tuple[str, ...]:
    """Those of this machine by which int8 kernels are chosen, as Linux calls them."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    flags = found[1].split() if found else []
    return tuple(flag for flag in _X86_INT8 if flag in flags)


def version(made: Userland) -> str:
    """qemu's, in its own words without the rest."""
    said = subprocess.run([str(made.qemu), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version ([\d.]+)", said)
    return f"qemu {found[1] if found else said.splitlines()[0]}"


def system(machine: Processor) -> str:
    """The emulated system, in its own words."""
    return "Debian for arm64 with " + machine.run(["-c", _SYSTEM]).stdout.strip()


if __name__ == "__main__":
    main()
