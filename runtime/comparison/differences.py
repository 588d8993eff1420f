"""What differs between two benchmarks besides the speed, and what of it makes their times those of different things."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..bench.report import ArtifactBench, BenchReport
from .reading import Side
from .records import Difference

# Another device, question or amount of work: the ratio would say nothing of the artifact.
_FORBIDDING: Mapping[str, Callable[[BenchReport], object]] = {
    "device": lambda run: run.device,
    "scenario": lambda run: run.scenario,
    "image size": lambda run: run.size,
    "limit of p99, ms": lambda run: run.max_p99_ms,
}
_TOLD: Mapping[str, Callable[[BenchReport], object]] = {
    "preset": lambda run: run.preset,
    "one at a time": lambda run: run.one_at_a_time,
}
_FORBIDDING_OF_ARTIFACTS: Mapping[str, Callable[[ArtifactBench], object]] = {
    "batch size": lambda artifact: artifact.batch_size,
    "streams": lambda artifact: artifact.streams,
}
_EFFECTIVE = ("library", "precision", "device", "providers", "threads")


def differences_of_runs(a: Side, b: Side) -> Iterator[Difference]:
    """Of the whole benchmarks; several runs of one side that differ among themselves are told likewise."""
    for questions, forbids in ((_FORBIDDING, True), (_TOLD, False)):
        for what, ask in questions.items():
            yield from _difference(what, [ask(run) for run in a.runs], [ask(run) for run in b.runs], "", forbids)


def differences_of_artifacts(
    name: str, a: Sequence[ArtifactBench], b: Sequence[ArtifactBench], *, other: str = ""
) -> Iterator[Difference]:
    """Of one artifact, which is called `other` in B where that is another name."""
    for what, ask in _FORBIDDING_OF_ARTIFACTS.items():
        yield from _difference(what, [ask(one) for one in a], [ask(one) for one in b], name, True)
    if not other:  # another artifact has another file, and whatever follows from it
        yield from _difference("file", [one.sha256[:12] for one in a], [one.sha256[:12] for one in b], name, False)
    for what in _EFFECTIVE:
        before, after = ([one.effective.get(what) for one in side] for side in (a, b))
        yield from _difference(f"effective {what}", before, after, name, False)


def _difference(
    what: str, a: Sequence[object], b: Sequence[object], artifact: str, forbids: bool
) -> Iterator[Difference]:
    if len({*a, *b}) > 1:
        yield Difference(what=what, a=_told(a), b=_told(b), artifact=artifact, forbids=forbids)


def _told(values: Sequence[object]) -> str:
    return ", ".join(dict.fromkeys("not said" if value in (None, "") else str(value) for value in values))
