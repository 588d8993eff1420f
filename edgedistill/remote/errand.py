"""`verify`, `check`, `bench` and `selftest` on a device: the same reports, kept in the bundle as if made here."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from ..runtime.bench.report import BenchInterruptedError, BenchReport
from ..runtime.bundle.loose import open_source
from ..runtime.bundle.naming import named_artifact
from ..runtime.bundle.opened import Bundle
from ..runtime.bundle.records import Artifact
from ..runtime.bundle.results import Machine, save_or_say, unpack_samples
from ..runtime.bundle.selection import select_artifacts
from ..runtime.datasets import Dataset
from ..runtime.datasets.score_file import SUFFIXES
from ..runtime.errors import EdgedistillError, InterruptedRunError
from ..runtime.field import CheckReport
from ..runtime.parity import ParityReport, SelfTestReport
from .agent import Found
from .conversation import Conversation, Failed, Finished, Interrupted, Stage, conversation
from .device_environment import environment
from .errors import HostError
from .host import Host
from .sending import send
from .sent import PHOTOGRAPHS, Data, OnDevice, Photographs, Request, bundle_files, data_files, given_file, given_place

Command = Literal["verify", "check", "bench", "selftest"]
R = TypeVar("R", ParityReport, CheckReport, BenchReport, SelfTestReport)

_log = logging.getLogger("edgedistill")


def verify(host: Host, bundle: Bundle | str | Path, data: Dataset | OnDevice, **options: Any) -> ParityReport:
    """`runtime.verify` on a device.

    Args:
        host: an open device.
        bundle: here: opened, its folder or its .zip.
        data: labelled images, which are sent as far as they are not there yet; or where they lie on the device.
        options: of `runtime.verify`.

    Raises:
        EdgedistillError: as `runtime.verify`, with the device's name before; or the device cannot be used.
        InterruptedRunError: Ctrl-C; nothing is left there but what the next call needs.
    """
    opened = open_source(bundle, require_signature=options.pop("require_signature", None))
    chosen = _chosen(opened, options)
    against = options.get("against")
    stored = isinstance(data, Dataset) and opened.reference_logits(data.fingerprint()) is not None
    # What the others are compared with, where the bundle stores no logits of these images: see `runtime.verify`.
    references = [
        one
        for one in opened.manifest.artifacts
        if not stored and not against and one.backend == "onnxruntime" and one.precision == "fp32"
    ]
    if against is not None:
        references = [named_artifact(opened, against)]
    needed = [*chosen, *(one for one in references if one not in chosen)]
    return _Errand(host, opened).run("verify", needed, options, ParityReport, data)


def check(host: Host, bundle: Bundle | str | Path, data: Photographs | OnDevice, **options: Any) -> CheckReport:
    """`runtime.check` on a device.

    Args:
        host: an open device.
        bundle: here: opened, its folder or its .zip.
        data: a folder here, whose photographs are sent as far as they are not there yet; or the path of one there.
        options: of `runtime.check`.

    Raises:
        EdgedistillError: as `runtime.check`, with the device's name before; or the device cannot be used.
    """
    opened = open_source(bundle, require_signature=options.pop("require_signature", None))
    name, against = options.get("artifact"), options.get("against")
    needed = select_artifacts(
        opened, None if name is None else [name], options.get("backend"), options.get("precision")
    )
    if against is not None and Path(against).suffix.lower() in SUFFIXES:
        options["against"] = Path(against)
    elif against is not None and (other := named_artifact(opened, against)) not in needed:
        needed.append(other)
    return _Errand(host, opened).run("check", needed, options, CheckReport, data)


def bench(host: Host, bundle: Bundle | str | Path, **options: Any) -> BenchReport:
    """`runtime.benchmark` on a device; of an interrupted one the complete rounds are kept, as there.

    Args:
        host: an open device.
        bundle: here: opened, its folder or its .zip, or a model file.
        options: of `runtime.benchmark`.

    Raises:
        EdgedistillError: as `runtime.benchmark`, with the device's name before; or the device cannot be used.
    """
    opened = open_source(
        bundle,
        backend=options.get("backend"),
        precision=options.get("precision"),
        require_signature=options.pop("require_signature", None),
    )
    return _Errand(host, opened).run("bench", _chosen(opened, options), options, BenchReport)


def selftest(host: Host, bundle: Bundle | str | Path, **options: Any) -> SelfTestReport:
    """`runtime.selftest` on a device.

    Args:
        host: an open device.
        bundle: here: opened, its folder or its .zip.
        options: of `runtime.selftest`.

    Raises:
        EdgedistillError: as `runtime.selftest`, with the device's name before; or the device cannot be used.
    """
    opened = open_source(bundle, require_signature=options.pop("require_signature", None))
    return _Errand(host, opened).run("selftest", _chosen(opened, options), options, SelfTestReport)


def _chosen(bundle: Bundle, options: dict[str, Any]) -> list[Artifact]:
    """As the command chooses there; a mistake is told before anything is sent."""
    return select_artifacts(bundle, options.get("artifacts"), options.get("backend"), options.get("precision"))


class _Errand:
    """One command on a device: files there, an environment, the agent's answer, the report here."""

    def __init__(self, host: Host, opened: Bundle) -> None:
        self.host, self.opened = host, opened

    def run(
        self,
        command: Command,
        artifacts: Sequence[Artifact],
        options: dict[str, Any],
        into: type[R],
        data: Data | None = None,
    ) -> R:
        try:
            made = environment(self.host, [one.backend for one in artifacts if one.files])
            for name, reason in made.lacking.items():
                _log.warning("%s: without %s: %s", self.host.name, name, reason)
            request = self._send(command, artifacts, options, data)
            arguments = [made.python, "-I", "-m", "edgedistill.remote.agent", self.host.cache]
            with conversation(self.host.line, arguments, self.host.tell) as talk:
                talk.send(request)
                answer = self._answer(talk, into)
        except (Interrupted, KeyboardInterrupt):  # before the command itself: what the device said is no report
            raise InterruptedRunError(self._told_interrupted) from None
        return self._kept(command, answer, into)

    def _answer(self, talk: Conversation, into: type[R]) -> msgspec.Raw:
        try:
            return talk.answer()
        except Interrupted as interrupted:
            raise self._interrupted(interrupted.answer, into) from None

    def _send(
        self, command: Command, artifacts: Sequence[Artifact], options: dict[str, Any], data: Data | None
    ) -> Request:
        manifest = self.opened.manifest
        others = {entry.path for artifact in manifest.artifacts for entry in artifact.files}
        entries = [entry for artifact in artifacts for entry in artifact.files]
        entries += [entry for entry in manifest.files() if entry.path not in others]
        source, files, contents = bundle_files(self.opened, entries)
        sent, more = data_files(data, manifest.classes, self._hashed)
        given = {name: given_file(value) for name, value in options.items() if isinstance(value, Path)}
        send(self.host, contents | more | {sha256: one for _, file in given.values() for sha256, one in file.items()})
        called = {source: str(self.opened.root)}
        called |= {given_place(name, file): str(options[name]) for name, (file, _) in given.items()}
        called |= {PHOTOGRAPHS: str(data.folder)} if isinstance(data, Photographs) else {}
        return Request(
            command=command,
            source=source,
            files=files,
            called=called,
            data=sent,
            options={name: value for name, value in options.items() if name not in given},
            given={name: file for name, (file, _) in given.items()},
        )

    def _hashed(self, done: int, total: int) -> None:
        self.host.tell(Stage("hashing images", done, total))

    def _kept(self, command: Command, answer: msgspec.Raw, into: type[R]) -> R:
        """The report, of this very bundle, kept as if it was made here."""
        found = self.host.decoded(answer, Found)
        report = self.host.decoded(found.report, into)
        if isinstance(report, SelfTestReport) or command == "selftest":
            return report
        if report.manifest_sha256 != self.opened.manifest_sha256:
            raise HostError(f"{self.host.name}: its report is of another bundle.")
        report = msgspec.structs.replace(report, saved=None, not_saved="")
        stored = report.without_samples() if isinstance(report, BenchReport) else report
        return save_or_say(
            self.opened,
            command,
            report,
            stored=stored,
            samples=self._samples(found.samples),
            machine=Machine(report.device, found.device),
        )

    def _samples(self, packed: bytes) -> dict[str, np.ndarray]:
        """The arrays that the device keeps beside such a report."""
        try:
            return unpack_samples(packed) if packed else {}
        except ValueError as error:
            raise HostError(f"{self.host.name}: its samples cannot be read ({error}).") from None

    def _interrupted(self, answer: Finished | Failed | None, into: type[R]) -> EdgedistillError:
        """What becomes of Ctrl-C: a benchmark's complete rounds are kept, as they are without a device."""
        if answer is not None and answer.result is not None and into is BenchReport:
            report = self._kept("bench", answer.result, BenchReport)
            where = f"kept in {report.saved}" if report.saved else f"not saved: {report.not_saved}"
            told = f"{self.host.name}: interrupted; {report.rounds} of {report.plan.rounds} planned rounds: {where}"
            return BenchInterruptedError(told, report)
        return InterruptedRunError(self._told_interrupted)

    @property
    def _told_interrupted(self) -> str:
        return f"{self.host.name}: interrupted; what was sent is there for the next time."
