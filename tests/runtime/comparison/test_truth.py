"""Of benchmarks whose truth is known: how often equal artifacts are called different, and what is found of a change."""

import numpy as np
import pytest
from made_up import artifact, report

from edgedistill import runtime

TRIALS = 200


def verdicts(make) -> dict[str, float]:
    """How often each verdict was given."""
    random = np.random.default_rng(0)
    found = [runtime.compare(*make(random)).artifacts[0].verdict for _ in range(TRIALS)]
    return {word: found.count(word) / TRIALS for word in ("faster", "slower", "cannot tell")}


@pytest.mark.parametrize(("processes", "statistic"), [(4, "p50"), (12, "p90")])
def test_equal_artifacts_are_called_faster_in_no_more_than_the_stated_share(processes, statistic):
    """95 %, two-sided: 2.5 % each, and three standard errors of this simulation."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(TRIALS):
        a, b = (report(artifact(random, processes=processes, turns=2)) for _ in range(2))
        found.append(runtime.compare(a, b, statistic=statistic).artifacts[0].verdict)
    most = 0.025 + 3 * np.sqrt(0.025 * 0.975 / TRIALS)
    assert found.count("faster") / TRIALS <= most
    assert found.count("slower") / TRIALS <= most


def test_taking_inferences_for_independent_would_call_most_equal_artifacts_different():
    """Why processes are the unit: the interval of all samples is a tenth as wide as the truth."""
    random = np.random.default_rng(0)
    different = 0
    for _ in range(TRIALS):
        sides = [artifact(random, processes=1, turns=5) for _ in range(2)]
        a, b = (np.log([turn.p50_ms for turn in side.turns]) for side in sides)
        error = np.sqrt(a.var(ddof=1) / 5 + b.var(ddof=1) / 5)
        different += abs(a.mean() - b.mean()) > 2.306 * error
    assert different / TRIALS > 0.5


@pytest.mark.parametrize(("factor", "word"), [(1.1, "slower"), (1 / 1.1, "faster")])
def test_a_change_of_ten_percent_is_found(factor, word):
    def make(random):
        return report(artifact(random)), report(artifact(random, ms=10 * factor))

    assert verdicts(make)[word] > 0.9


def test_the_interval_covers_the_truth():
    random, covered = np.random.default_rng(1), 0
    for _ in range(TRIALS):
        a, b = report(artifact(random)), report(artifact(random, ms=11.0, process_sd=0.08))
        ratio = runtime.compare(a, b).artifacts[0].ratio
        covered += ratio.low <= 1.1 <= ratio.high
    assert 0.92 <= covered / TRIALS <= 0.99


def test_two_artifacts_of_one_benchmark_are_compared_in_pairs():
    """What moves all of a round moves both: a machine that drifts by 20 % hides no 5 %."""

    def make(random, *, ms):
        rounds = random.normal(0, 0.2, 5)
        both = [
            artifact(random, name=name, ms=value, rounds=rounds, process_sd=0.01)
            for name, value in (("x", 10.0), ("y", ms))
        ]
        return report(*both)

    random = np.random.default_rng(0)
    for ms, word, least in ((9.5, "faster", 0.8), (10.0, "cannot tell", 0.93)):
        made = [make(random, ms=ms) for _ in range(TRIALS)]
        found = [runtime.compare(one, one, artifact="x", against="y").artifacts[0] for one in made]
        assert sum(one.verdict == word for one in found) / TRIALS >= least
        assert found[0].unit == "processes in pairs"
        assert found[0].units == (5, 5)


def test_of_several_runs_the_runs_are_the_unit():
    """Runs on a machine whose speed differs by 10 % from hour to hour, each with five processes that agree."""

    def side(random, ms=10.0):
        return [report(artifact(random, ms=ms * np.exp(random.normal(0, 0.1)), process_sd=0.01)) for _ in range(4)]

    random = np.random.default_rng(0)
    found = [runtime.compare(side(random), side(random)).artifacts[0] for _ in range(TRIALS)]
    assert (found[0].unit, found[0].units) == ("runs", (4, 4))
    assert sum(one.verdict != "cannot tell" for one in found) / TRIALS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)
    slower = [runtime.compare(side(random), side(random, 20.0)).artifacts[0].verdict for _ in range(50)]
    assert slower.count("slower") > 45
