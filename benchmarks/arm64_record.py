"""The part of arm64.py that keeps what was found, and shows it as docs/arm.md does."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from arm64_answers import Answer
from arm64_processor import INT8

from edgedistill.runtime.device import Device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.record import Record

RECORD = Path(__file__).parent / "results" / "arm64.json"


class Row(Record):
    """An artifact on an emulated processor, beside the same on this machine.

    Attributes:
        artifact: its name.
        processor: as qemu names it.
        reason: why it did not run there; the rest is empty then.
        pixels: values of decoded and resized photographs that differ.
        logits: how many there are.
        differing: how many of them have other bits.
        largest: the largest difference of any.
        labels: labels of the photographs that one of both reports and the other does not.
        photographs: how many have such a label.
        same_bits_as: the first processor of the record whose logits are these, bit by bit, where there is one before.
        selftest: there.
        verify: there.
        mean_ap_change: of verify, points there minus points here.
    """

    artifact: str
    processor: str
    reason: str = ""
    pixels: int = 0
    logits: int = 0
    differing: int = 0
    largest: float = 0.0
    labels: int = 0
    photographs: int = 0
    same_bits_as: str = ""
    selftest: str = ""
    verify: str = ""
    mean_ap_change: float | None = None


class Here(Record):
    """An artifact on this machine.

    Attributes:
        deviation: standard deviation of its logits.
        from_float: its logits' largest difference to those of the same backend in float32; None for that itself.
        labels: how many labels it reports.
        mean_ap: of verify, points.
        selftest: the verdict.
        verify: the verdict.
        effective: what the backend says that it did.
    """

    artifact: str
    deviation: float
    from_float: float | None
    labels: int
    mean_ap: float | None
    selftest: str
    verify: str
    effective: dict[str, str]


class Results(Record):
    """The record.

    Attributes:
        device: this machine; what is installed here is what is installed in the emulated one.
        instructions: those of its processor that int8 kernels are chosen by, as /proc/cpuinfo calls them.
        emulator: qemu's version.
        userland: the emulated system.
        model: the bundle's, with its input.
        photographs: how many.
        classes: how many.
        lacking: backends that have no packages for it.
        here: by artifact.
        processors: the features of each emulated one.
        rows: by processor and artifact.
    """

    device: Device
    instructions: tuple[str, ...]
    emulator: str
    userland: str
    model: str
    photographs: int
    classes: int
    lacking: dict[str, str]
    here: tuple[Here, ...]
    processors: dict[str, tuple[str, ...]] = {}
    rows: tuple[Row, ...] = ()


def here(name: str, answer: Answer, of_float: Answer | None) -> Here:
    distance = None if of_float is None else float(np.abs(answer.logits - of_float.logits).max())
    return Here(
        artifact=name,
        deviation=float(answer.logits.std()),
        from_float=distance,
        labels=sum(map(len, answer.labels)),
        mean_ap=answer.mean_ap,
        selftest=answer.selftest,
        verify=answer.verify,
        effective=answer.effective,
    )


def row(name: str, processor: str, before: Mapping[str, Answer], answer: Answer, native: Answer) -> Row:
    """Compare.

    Args:
        name: the artifact's.
        processor: the emulated one.
        before: the same artifact's answers on other processors, by their names.
        answer: there.
        native: here.
    """
    if answer.reason:
        return Row(artifact=name, processor=processor, reason=answer.reason)
    changed = [set(there) ^ set(own) for there, own in zip(answer.labels, native.labels, strict=True)]
    same = [one for one, other in before.items() if not other.reason and np.array_equal(other.logits, answer.logits)]
    both = answer.mean_ap is not None and native.mean_ap is not None
    return Row(
        artifact=name,
        processor=processor,
        pixels=int((answer.pixels != native.pixels).sum()),
        logits=answer.logits.size,
        differing=int((answer.logits != native.logits).sum()),
        largest=float(np.abs(answer.logits - native.logits).max()),
        labels=sum(map(len, changed)),
        photographs=sum(map(bool, changed)),
        same_bits_as=same[0] if same else "",
        selftest=answer.selftest,
        verify=answer.verify,
        mean_ap_change=answer.mean_ap - native.mean_ap if both else None,  # type: ignore[operator]
    )


def markdown(results: Results) -> str:
    """The record as a table."""
    own = {one.artifact: one for one in results.here}
    lines = [
        "| artifact | processor | logits that differ | the largest difference | int8 from float here | "
        "labels that flip | `selftest` | mAP |",
        "|---|---|---:|---:|---:|---:|---|---:|",
    ]
    order = [one.artifact for one in results.here]
    for one in sorted(results.rows, key=lambda one: order.index(one.artifact)):
        known = own[one.artifact]
        if one.reason:
            lines.append(f"| {one.artifact} | {one.processor} | {one.reason} | | | | | |")
            continue
        differing = f"{one.differing:,} of {one.logits:,}" if one.differing else f"none of {one.logits:,}"
        largest = f"{one.largest:.1e}" if one.largest else "0"
        flipped = f"{one.labels} of {known.labels:,}"
        from_float = "" if known.from_float is None else f"{known.from_float:.2g}"
        change = "" if one.mean_ap_change is None else f"{one.mean_ap_change:+.2f}"
        cells = (one.artifact, one.processor, differing, largest, from_float, flipped, one.selftest, change)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def described(results: Results) -> str:
    """What was run where, in sentences."""
    int8 = "; ".join(
        f"{name}: {', '.join(what for feature, what in INT8.items() if feature in features) or 'neither'}"
        for name, features in results.processors.items()
    )
    packages = ", ".join(
        f"{name} {version}"
        for name, version in sorted(results.device.versions.items())
        if name in ("onnxruntime", "openvino", "ai-edge-litert", "numpy", "Pillow")
    )
    return (
        f"{results.model}, {results.photographs} photographs, {results.classes} classes; {results.userland} on "
        f"{results.emulator}, beside {results.device.cpu} ({', '.join(results.instructions) or 'no int8 instructions'})"
        "; "
        f"{packages}. int8 instructions of the emulated processors: {int8}."
    )


def read(path: Path = RECORD) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path = RECORD) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
