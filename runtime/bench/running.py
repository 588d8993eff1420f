"""The whole measurement: what is asked for, measured, and written down."""

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from ..bundle import Bundle, save_or_say
from ..bundle.loose import open_source
from ..bundle.selection import nothing_ran, select_artifacts
from ..config import decode
from ..device import device_slug, load_average, temperature
from ..errors import ConfigError, EdgedistillError, InterruptedRunError, first_line
from ..images import encoded_bytes, open_image, source_name
from ..targets import Gates, check_threads
from .artifact_run import ArtifactRun
from .energy import find_meter
from .gates import check_timed, limits_of, queries_for_gates
from .plan import choose_plan, choose_size
from .report import BenchInterruptedError, BenchReport
from .rounds import Photo, Progress, Rounds, Schedule, Searches
from .scenarios import Scenario, check_streams, choose_scenario, settings_of

_log = logging.getLogger("edgedistill")


def benchmark(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    preset: str | None = None,
    scenario: Scenario | None = None,
    threads: int | Sequence[int] | None = None,
    device: str | None = None,
    batch_size: int | Sequence[int] | None = None,
    streams: int | None = None,
    max_p99_ms: float | None = None,
    size: int | tuple[int, int] | None = None,
    photo: str | Path | None = None,
    limits: Gates | Mapping[str, Any] | None = None,
    one_at_a_time: bool = False,
    progress: Progress | None = None,
    require_signature: str | Path | None = None,
) -> BenchReport:
    """Measure speed and memory of the artifacts, in processes of their own, in turns that are watched for disturbance.

    Only one process computes at a time; their order rotates from round to round. Turns that something else disturbed
    are measured again, in half as many rounds again at most; then they are marked. Where enough turns were quiet only
    those count, else all do and the artifact says that it was disturbed, and no gate is judged on it. Gates on latency
    are judged on single images only. The report is saved below the bundle's results/. docs/bench.md says more.

    Args:
        bundle: an opened bundle, its folder or its .zip; or a model file alone, whatever it computes.
        artifacts: names; all that match by default.
        backend: only this backend's; of a model file, what opens it.
        precision: only this precision's; of a model file, what to ask of a backend that chooses.
        preset: "demo", "smoke", "quick" or "full"; by default the longest that a deploy config asks for.
        scenario: "single", "batch", "throughput" or "server"; by default "single", "batch" where a batch is asked for.
        threads: intra-op threads of the backends, overriding the deploy configs; several are measured side by side.
        device: the backends' device word, overriding the deploy configs.
        batch_size: images per inference; several are measured side by side. None for the scenario's usual.
        streams: inferences under way at once in "throughput" and "server"; None for as many as the cores hold.
        max_p99_ms: the limit of "server".
        size: of a model file whose graph takes any: height and width in pixels, or the side of a square.
        photo: the photograph whose way to labels is timed; None for the bundle's first.
        limits: gates that overrule those of the deploy configs, as a value or by name; what is None stays theirs.
        one_at_a_time: load the artifact anew for each of its turns and end it after, so that no two are in memory;
            for devices that cannot hold all of them.
        progress: called with a short text when something new begins.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Returns:
        The report; an artifact that cannot run here, or whose process was lost, is in it with the reason.

    Raises:
        ConfigError: an impossible option, a batch size that an artifact does not take, no size or one for a bundle,
            a limit of the latency where no single image is timed.
        DataError: `photo` cannot be decoded.
        BundleError: not signed by that key, no such artifact, or none could be run and one was refused.
        MissingDependencyError: no artifact could be run here.
        InterruptedRunError: Ctrl-C; after the first round a BenchInterruptedError with the report of the complete
            rounds, which is saved.
    """
    sizes = None if batch_size is None else _several(batch_size)
    counts = (None,) if threads is None else _several(threads)
    for count in counts:
        check_threads(count)
    chosen_scenario = choose_scenario(scenario, sizes, max_p99_ms)
    check_streams(streams, chosen_scenario)
    opened = open_source(bundle, backend=backend, precision=precision, require_signature=require_signature)
    sides = choose_size(size, opened)
    given = _given_photograph(opened, photo, chosen_scenario)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    said = decode(limits, Gates, where="limits") if isinstance(limits, Mapping) else limits
    gates = {artifact.name: limits_of(artifact, said) for artifact in chosen}
    preset, plan = choose_plan(preset, chosen, max(map(queries_for_gates, gates.values())))
    meter = find_meter()
    settings = {
        artifact.name: settings_of(
            artifact, chosen_scenario, batch_sizes=sizes, threads=counts, streams=streams, device=device, size=sides
        )
        for artifact in chosen
    }
    if said is not None:
        check_timed(said, single_images=any(one.times_single_images for of in settings.values() for one in of))
    runs = [
        ArtifactRun(opened, artifact, setting, gates[artifact.name], meter)
        for artifact in chosen
        for setting in settings[artifact.name]
    ]
    tell = progress or (lambda _: None)
    schedule: Schedule
    if chosen_scenario == "server":
        schedule = Searches(runs, plan, max_p99_ms=max_p99_ms or math.inf, tell=tell)
    else:
        photograph = partial(_own_photograph, opened, chosen_scenario) if given is None else lambda: given
        schedule = Rounds(runs, plan, one_at_a_time=one_at_a_time, photograph=photograph, tell=tell)

    load_start, temperature_start = load_average(), temperature()
    interrupted = False
    try:
        schedule.measure()
    except KeyboardInterrupt:
        interrupted = True
    if interrupted and not schedule.done:
        raise InterruptedRunError("interrupted before the first round was complete: nothing was measured yet.")
    if all(run.failure for run in runs):
        raise nothing_ran(opened, {run.name: run.failure for run in runs if run.failure})

    entries = tuple(run.result(plan, schedule.done) for run in runs)
    report = BenchReport(
        bundle=opened.manifest.name,
        manifest_sha256=opened.manifest_sha256,
        preset=preset,
        plan=plan,
        rounds=schedule.done,
        interrupted=interrupted,
        one_at_a_time=one_at_a_time,
        scenario=chosen_scenario,
        max_p99_ms=max_p99_ms,
        batch_size=runs[0].setting.batch_size,
        size=sides,
        preprocess_ms=next((one.spans.decode_ms + one.spans.resize_ms for one in entries if one.spans), None),
        load_start=load_start,
        load_end=load_average(),
        temperature_start=temperature_start,
        temperature_end=temperature(),
        artifacts=entries,
        device=device_slug(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    report = save_or_say(bundle, "bench", report, stored=report.without_samples(), samples=report.samples())
    if interrupted:
        where = f"kept in {report.saved}" if report.saved else f"not saved: {report.not_saved}"
        done = f"{schedule.done} round" if schedule.done == 1 else f"{schedule.done} rounds"
        raise BenchInterruptedError(f"interrupted; the first {done} of {plan.rounds} planned: {where}", report)
    return report


def _several(values: int | Sequence[int]) -> tuple[int, ...]:
    """One value, or those of a sweep."""
    found = (values,) if isinstance(values, int | str | float) else tuple(values)
    if not found:
        raise ConfigError("a sweep (`batch_size`, `threads`) without a value: give one at least.")
    return found


def _given_photograph(bundle: Bundle, photo: str | Path | None, scenario: Scenario) -> Photo | None:
    """What the caller wants timed from its bytes to its labels; None where that is left to the bundle."""
    if photo is None:
        return None
    if bundle.is_model_file or scenario != "single":
        why = "a model file alone has no labels" if bundle.is_model_file else f"not of the scenario {scenario}"
        raise ConfigError(f"--photo (`photo`): is timed for single images of a bundle, {why}: leave it out.")
    open_image(photo)
    return Photo(source_name(photo), encoded_bytes(photo))


def _own_photograph(bundle: Bundle, scenario: Scenario) -> Photo | None:
    """The bundle's first photograph."""
    if scenario != "single" or not bundle.manifest.selftest:
        return None
    entry = bundle.manifest.selftest[0].file
    try:
        encoded = bundle.read(entry)
        open_image(encoded)
    except EdgedistillError as error:  # an altered photograph must not cost what was measured
        _log.warning("the way from a photograph to its labels is not timed: %s", first_line(error))
        return None
    return Photo(entry.path, encoded)
