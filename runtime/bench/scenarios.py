"""What is asked of an artifact, in MLPerf's scenarios, and what the final number of each means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..bundle import Artifact
from ..device import usable_cores
from ..errors import ConfigError
from ..targets import MOST_THREADS, check_threads

Scenario = Literal["single", "batch", "throughput", "server"]

# single      one image after the other, each when the last one is answered: p90 of the latency (single-stream)
# batch       the same with several images in one inference (multi-stream)
# throughput  all images are there from the beginning, several inferences are under way: images a second (offline)
# server      images come at random: the highest rate whose p99 is within a limit (server)
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

COMPARED: Mapping[str, str] = {
    "single": "{statistic} latency",
    "batch": "{statistic} latency of a batch",
    "throughput": "time per inference",
    "server": "time per image at the highest rate",
}
_MULTI_STREAM = 8  # MLPerf's images per query


@dataclass(frozen=True)
class Setting:
    """How one artifact is measured.

    Attributes:
        scenario: what is asked of it.
        batch_size: images per inference.
        threads: intra-op threads of one inference; None leaves the deploy config's.
        streams: inferences under way at once, each by a copy of the artifact.
        device: the backend's device word; None leaves the deploy config's.
        size: height and width for a graph that leaves them open.
        label: what tells it from the other settings of a sweep; empty where there is no other.
    """

    scenario: Scenario = "single"
    batch_size: int = 1
    threads: int | None = None
    streams: int = 1
    device: str | None = None
    size: tuple[int, int] | None = None
    label: str = ""

    @property
    def times_single_images(self) -> bool:
        return self.scenario in ("single", "batch") and self.batch_size == 1


def choose_scenario(scenario: str | None, batch_sizes: Sequence[int] | None, max_p99_ms: float | None) -> Scenario:
    """The scenario that was asked for, or the one that the batch sizes mean.

    Raises:
        ConfigError: an unknown one, or options that do not go with it.
    """
    for size in batch_sizes or ():
        if type(size) is not int or size < 1:
            raise ConfigError(f"--batch-size {size} (`batch_size`): needs whole numbers from 1 on.")
    largest = max(batch_sizes or (1,))
    if scenario is None:
        scenario = "single" if max_p99_ms is None else "server"
        scenario = "batch" if largest > 1 and scenario == "single" else scenario
    found = next((known for known in SCENARIOS if known == scenario), None)
    if found is None:
        raise ConfigError(f"unknown scenario {scenario!r}: one of {', '.join(SCENARIOS)}.")
    if found in ("single", "server") and largest > 1:
        raise ConfigError(f"--scenario {found} asks for one image at a time, not {largest}: leave the batch size out.")
    if found == "server" and (max_p99_ms is None or not 0 < max_p99_ms < float("inf")):
        raise ConfigError(
            "--scenario server looks for the highest rate whose p99 is within a limit: give one in milliseconds, as in "
            "--max-p99-ms 50 (`max_p99_ms`)."
        )
    if found != "server" and max_p99_ms is not None:
        raise ConfigError(f"--max-p99-ms is the limit of --scenario server, not of {found}.")
    return found


def settings_of(
    artifact: Artifact,
    scenario: Scenario,
    *,
    batch_sizes: Sequence[int] | None,
    threads: Sequence[int | None],
    streams: int | None,
    device: str | None,
    size: tuple[int, int] | None,
) -> list[Setting]:
    """Every combination of the batch sizes and threads that were asked for.

    Args:
        artifact: what is measured.
        scenario: chosen.
        batch_sizes: images per inference; None for the scenario's: in "batch" the deploy config's typical one, or as
            near to 8 as it takes; in "throughput" the smallest that it takes; else one.
        threads: of one inference, one at least; None for the deploy config's, in the scenarios of several streams one.
        streams: inferences at once; None for as many as the cores hold.
        device: overriding the deploy config's.
        size: of a model file.

    Raises:
        ConfigError: a batch size that the artifact does not take, or impossible threads or streams.
    """
    sizes = batch_sizes or (_usual_batch(artifact, scenario),)
    chosen = []
    for batch_size in dict.fromkeys(sizes):
        batch = artifact.target.batch
        if not batch.min <= batch_size <= batch.max:
            raise ConfigError(f"{artifact.name}: takes batches of {batch.min} to {batch.max} images, not {batch_size}.")
        for count in dict.fromkeys(threads):
            check_threads(count)
            words = [f"batch {batch_size}"] if len(set(sizes)) > 1 else []
            words += [f"threads {count or 'default'}"] if len(set(threads)) > 1 else []
            several = scenario in ("throughput", "server")
            setting = Setting(
                scenario=scenario,
                batch_size=batch_size,
                threads=1 if several and count is None else count,
                streams=_streams(streams, count or 1) if several else 1,
                device=device,
                size=size,
                label=", ".join(words),
            )
            chosen.append(setting)
    return chosen


def check_streams(streams: int | None, scenario: Scenario) -> None:
    """Raises ConfigError unless `streams` can be had, and the scenario has several."""
    if streams is None:
        return
    if not 1 <= streams <= MOST_THREADS:
        raise ConfigError(f"--streams {streams}: needs 1 to {MOST_THREADS} (`streams`).")
    if scenario not in ("throughput", "server"):
        raise ConfigError(
            f"--streams goes with the scenarios throughput and server; {scenario} has one inference at a time."
        )


def _streams(asked: int | None, threads: int) -> int:
    return asked if asked is not None else max(1, usable_cores() // threads)


def _usual_batch(artifact: Artifact, scenario: Scenario) -> int:
    batch = artifact.target.batch
    if scenario != "batch":
        return batch.min if scenario == "throughput" else 1
    return batch.typical if batch.typical > 1 else min(max(batch.min, _MULTI_STREAM), batch.max)
