"""The part of arm64.py that asks one machine: the commands that a user would run on it, and each artifact's logits."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import edgedistill
from edgedistill.runtime.errors import EdgedistillError

_PART = Path(__file__).with_name("arm64_part.py")


class Machine(Protocol):
    """Something with a Python: this machine, or an emulated processor."""

    def run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]": ...


class OwnPython:
    """This machine, with the edgedistill that runs here."""

    def run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        places = [str(Path(edgedistill.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments], check=False, capture_output=True, text=True, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What every machine is asked.

    Attributes:
        bundle: a copy, into whose results the machines may write.
        artifacts: names.
        photographs: paths.
        labels: a .csv of the photographs with their labels, for verify; None where they have none.
        images: the folder that its paths are relative to.
        work: for files that go between processes.
    """

    bundle: Path
    artifacts: tuple[str, ...]
    photographs: tuple[Path, ...]
    labels: Path | None
    images: Path
    work: Path


@dataclass
class Answer:
    """One artifact's on one machine.

    Attributes:
        reason: why there is none; the rest is empty then.
        pixels: uint8 (N, H, W, 3), decoded and resized there.
        logits: float32 (N, C).
        effective: what the backend says that it did.
        labels: of each photograph, as `edgedistill predict` reports them.
        selftest: the verdict of `edgedistill selftest`; empty where it was not asked.
        verify: that of `edgedistill verify`.
        mean_ap: of verify, points.
        drop: of verify, points of mAP below the training framework's.
    """

    reason: str = ""
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))
    logits: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    effective: dict[str, str] = field(default_factory=dict)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    selftest: str = ""
    verify: str = ""
    mean_ap: float | None = None
    drop: float | None = None


def ask(machine: Machine, asked: Asked, progress: Callable[[str], object] = lambda _: None) -> dict[str, Answer]:
    """All answers of a machine, by artifact; what crashes there is a reason, and stops nothing else."""
    found = {}
    for name in asked.artifacts:
        progress(name)
        found[name] = _artifact(machine, asked, name)
    sound = [word for name in asked.artifacts if not found[name].reason for word in ("-a", name)]
    if not sound:
        return found
    progress("selftest")
    alike = [str(asked.bundle), *sound, "--threads", "1", "--json"]
    for one in _report(machine, ["selftest", *alike])["artifacts"]:
        found[one["name"]].selftest = one["verdict"]
    if asked.labels is not None:
        progress("verify")
        data = ["--data", str(asked.labels), "--images", str(asked.images)]
        for one in _report(machine, ["verify", str(asked.bundle), *sound, *data, "--threads", "1", "--json"])[
            "artifacts"
        ]:
            answer = found[one["name"]]
            answer.verify = one["verdict"]
            answer.mean_ap, answer.drop = (_estimate(one.get(key)) for key in ("mean_ap", "drop"))
    return found


def _artifact(machine: Machine, asked: Asked, name: str) -> Answer:
    listed, out = asked.work / "photographs.txt", asked.work / "answer.npz"
    listed.write_text("".join(f"{path}\n" for path in asked.photographs), encoding="utf-8")
    out.unlink(missing_ok=True)
    ran = machine.run([str(_PART), str(asked.bundle), name, str(listed), str(out)])
    if ran.returncode:
        return Answer(reason=ended(ran))
    with np.load(out) as saved:
        answer = Answer(pixels=saved["pixels"], logits=saved["logits"], effective=json.loads(str(saved["effective"])))
    answer.labels = [tuple(sorted(json.loads(line)["labels"])) for line in ran.stdout.splitlines()]
    return answer


def ended(ran: "subprocess.CompletedProcess[str]") -> str:
    """Why a process ended badly, in a line."""
    lines = ran.stderr.strip().splitlines()
    code = ran.returncode
    if code < 0 or code > 128:  # qemu's own ends by the signal, or says 128 and more
        number = -code if code < 0 else code - 128
        known = number in set(signal.Signals)
        return f"ended by {signal.Signals(number).name if known else f'signal {number}'}"
    return lines[-1].strip() if lines else f"ended with status {code}"


def _report(machine: Machine, command: list[str]) -> dict[str, Any]:
    """A command's JSON, whatever it judged.

    Raises:
        EdgedistillError: it printed none.
    """
    ran = machine.run(["-m", "edgedistill", *command])
    try:
        found: dict[str, Any] = json.loads(ran.stdout)
    except json.JSONDecodeError:
        raise EdgedistillError(f"{' '.join(command[:2])}: gives no report ({ended(ran)}).") from None
    return found


def _estimate(interval: dict[str, Any] | None) -> float | None:
    return None if interval is None else interval.get("estimate")
