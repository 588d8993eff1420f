"""A finished run as one table: teacher, student alone, student distilled, and what ships of it.

    edgedistill run examples/coco18.yaml
    python benchmarks/headline.py examples/coco18.yaml      # writes benchmarks/results/headline.json
    python benchmarks/headline.py --table                   # prints the record, and runs nothing

mAP is on the whole test split, with 95 % intervals over its images; a gain and a drop are paired over them. The
teacher is exported in fp32 for the same runtimes, and its artifacts and the student's are measured in turns:
`edgedistill bench` of the one, then of the other, --rounds times; the figures are the medians. KEY=VALUE arguments
change the recipe, as for `edgedistill run`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from edgedistill.distill.engine import Outputs
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.evaluation import finished_checkpoint
from edgedistill.distill.models.size import deployed_size
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.export import export_bundle
from edgedistill.runtime import metrics
from edgedistill.runtime.bench.report import ArtifactBench
from edgedistill.runtime.bench.running import benchmark
from edgedistill.runtime.bundle import Bundle, open_bundle
from edgedistill.runtime.device import Device, describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.parity import verify
from edgedistill.runtime.record import Record

RESULTS = Path(__file__).parent / "results" / "headline.json"
ROLES = {"teacher": "teacher", "baseline": "student, labels alone", "student": "student, distilled"}


class Network(Record):
    """A network in PyTorch.

    Attributes:
        role: teacher, baseline (the student that labels alone taught) or student.
        parameters: that a device would load.
        macs: multiply-accumulates for one image.
        mAP: points on the test split.
        gain: mAP points above the baseline, paired over the images; None of the baseline.
    """

    role: str
    model: str
    parameters: int
    macs: int
    mAP: Interval  # noqa: N815 (the field's spelling)
    gain: Interval | None


class Shipped(Record):
    """An artifact.

    Attributes:
        of: teacher or student.
        drop: mAP points below its network in PyTorch.
        p50_ms: of one image, median over the rounds.
        p90_ms: the same.
        disturbed: rounds in which something else disturbed it.
    """

    name: str
    of: str
    bytes: int
    mAP: Interval  # noqa: N815
    drop: Interval
    p50_ms: float
    p90_ms: float
    disturbed: int


class Headline(Record):
    """The record."""

    recipe: str
    command: str
    images: int
    size: tuple[int, int]
    networks: tuple[Network, ...]
    shipped: tuple[Shipped, ...]
    device: Device


def networks_of(experiment: Experiment, outputs: dict[str, Outputs]) -> Iterator[Network]:
    """The run's networks, by what each says of the test split."""
    left_out = {role: metrics.leave_one_out(said.scores, said.dataset.labels) for role, said in outputs.items()}
    for role, left in left_out.items():
        checkpoint = finished_checkpoint(experiment, role)
        size = deployed_size(checkpoint.model, checkpoint.card.preprocessing.size)
        gain = None if role == "baseline" else metrics.map_drop_interval(left, left_out["baseline"])
        yield Network(
            role=role,
            model=checkpoint.card.model.name,
            parameters=size.parameters,
            macs=size.macs,
            mAP=metrics.map_interval(left),
            gain=gain,
        )


def shipped(experiment: Experiment, teacher: Outputs, rounds: int, preset: str) -> tuple[Shipped, ...]:
    """Every artifact of the student, and the teacher's of the same runtimes in fp32."""
    student = open_bundle(experiment.folder / "bundle")
    targets = [one.name for one in student.manifest.artifacts if one.status == "verified" and one.precision == "fp32"]
    checkpoint = finished_checkpoint(experiment, "teacher")
    timed: dict[tuple[str, str], list[ArtifactBench]] = {}
    with tempfile.TemporaryDirectory() as folder:
        exported = export_bundle(checkpoint, targets, Path(folder) / "bundle", reference=[teacher.reference])
        bundles = {"teacher": exported, "student": student}
        for number in range(rounds):
            for of, bundle in bundles.items():
                print(f"latency, {number + 1} of {rounds}: {of}", flush=True)
                for artifact in benchmark(bundle, preset=preset).artifacts:
                    if artifact.status == "ran":
                        timed.setdefault((of, artifact.name), []).append(artifact)
        return tuple(row for of, bundle in bundles.items() for row in rows_of(of, bundle, experiment, timed))


def rows_of(
    of: str, bundle: Bundle, experiment: Experiment, timed: dict[tuple[str, str], list[ArtifactBench]]
) -> Iterator[Shipped]:
    print(f"accuracy: {of}", flush=True)
    for judged in verify(bundle, experiment.test_files).artifacts:
        if not judged.ran:
            continue
        turns = timed[of, judged.name]
        yield Shipped(
            name=judged.name,
            of=of,
            bytes=judged.bytes,
            mAP=judged.mean_ap,
            drop=judged.drop,
            p50_ms=statistics.median(one.p50_ms for one in turns),
            p90_ms=statistics.median(one.p90_ms for one in turns),
            disturbed=sum(bool(one.disturbed) for one in turns),
        )


def in_words(interval: Interval | None) -> str:
    if interval is None or interval.estimate is None:
        return ""
    ends = "" if interval.low is None else f" [{interval.low:.1f}, {interval.high:.1f}]"
    return f"{interval.estimate:.1f}{ends}"


def markdown(record: Headline) -> str:
    """Two tables: the networks, and what ships of them."""
    teacher = record.networks[0].mAP.estimate
    lines = ["| network | test mAP [95 % CI] | above labels alone | parameters | MACs |", "|---|---:|---:|---:|---:|"]
    lines.extend(
        f"| {ROLES[row.role]} ({row.model}) | {in_words(row.mAP)} | {in_words(row.gain)} "
        f"| {row.parameters / 1e6:.2f} M | {row.macs / 1e6:.0f} M |"
        for row in record.networks
    )
    lines += ["", "| what ships | test mAP [95 % CI] | of the teacher's | MB | p50 ms | p90 ms | of its p50 |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    teachers = {row.name: row for row in record.shipped if row.of == "teacher"}
    for row in record.shipped:
        beside = teachers[row.name.replace("int8", "fp32")]
        disturbed = " (disturbed)" if row.disturbed else ""
        lines.append(
            f"| {row.of}, {row.name} | {in_words(row.mAP)} | {row.mAP.estimate / teacher:.1%} | {row.bytes / 1e6:.2f} "
            f"| {row.p50_ms:.2f}{disturbed} | {row.p90_ms:.2f} | {row.p50_ms / beside.p50_ms:.0%} |"
        )
    machine = f"{record.device.cores} cores of {record.device.cpu}"
    return "\n".join([*lines, "", f"{record.images:,} test images of {record.size[0]} px; {machine}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="examples/coco18.yaml")
    parser.add_argument("set", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="smoke", help="of bench (default %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the record's table and run nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        experiment = Experiment(load_recipe(arguments.recipe, assignments=arguments.set), Console(stderr=True))
        outputs = {role: experiment.test(finished_checkpoint(experiment, role)) for role in ROLES}
        record = Headline(
            recipe=experiment.recipe.name,
            command=" ".join(["edgedistill run", arguments.recipe, *arguments.set]),
            images=len(outputs["teacher"].dataset),
            size=finished_checkpoint(experiment, "student").card.preprocessing.size,
            networks=tuple(networks_of(experiment, outputs)),
            shipped=shipped(experiment, outputs["teacher"], arguments.rounds, arguments.preset),
            device=describe_device(),
        )
        write_atomic(arguments.out, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    print(markdown(msgspec.json.decode(arguments.out.read_bytes(), type=Headline)))


if __name__ == "__main__":
    main()
