"""What a caller may ask for: presets, batches, artifacts and threads, refused before anything is opened."""

import msgspec
import pytest

from edgedistill import runtime
from edgedistill.runtime.bench.plan import PLANS, choose_plan
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import BundleError, ConfigError
from edgedistill.runtime.targets import MOST_THREADS, Target, check_threads, target_problem


def test_wrong_options_are_refused_before_anything_is_started(tiny_bundle):
    with pytest.raises(ConfigError, match="unknown bench preset 'fast': one of demo, smoke, quick, full"):
        runtime.benchmark(tiny_bundle, preset="fast")
    with pytest.raises(ConfigError, match="ort-fp32: takes batches of 1 to 4 images, not 5"):
        runtime.benchmark(tiny_bundle, batch_size=5)
    with pytest.raises(BundleError, match="holds no artifact 'nope'"):
        runtime.benchmark(tiny_bundle, artifacts=["nope"])


ANYTHING_WITH_THREADS = {
    "benchmark": runtime.benchmark,
    "load": runtime.load,
    "load_file": runtime.load_file,
    "selftest": runtime.selftest,
    "verify": lambda path, threads: runtime.verify(path, "no-labels.csv", threads=threads),
}


@pytest.mark.parametrize("what", ANYTHING_WITH_THREADS)
@pytest.mark.parametrize(
    ("threads", "told"),
    [
        (0, "threads 0: needs 1 to 1024; leave it out for the default."),
        (-3, "threads -3: needs 1 to 1024; leave it out for the default."),
        (1025, "threads 1025: needs 1 to 1024; leave it out for the default."),
        ("2", "threads: needs a whole number, 1 to 1024, not a str; leave it out for the default."),
        (2.0, "threads: needs a whole number, 1 to 1024, not a float; leave it out for the default."),
        (True, "threads: needs a whole number, 1 to 1024, not a bool; leave it out for the default."),
    ],
)
def test_impossible_threads_are_one_line_before_anything_is_opened(what, threads, told):
    with pytest.raises(ConfigError) as refused:
        ANYTHING_WITH_THREADS[what]("no-such-bundle", threads=threads)
    assert str(refused.value) == told


def test_the_most_threads_are_the_same_in_options_and_deploy_configs():
    from edgedistill.cli import options

    assert (check_threads(MOST_THREADS), check_threads(1), check_threads(None)) == (None, None, None)
    assert target_problem(Target(name="t", backend="b", precision="fp32", threads=MOST_THREADS)) == ""
    assert "threads 1025" in target_problem(Target(name="t", backend="b", precision="fp32", threads=MOST_THREADS + 1))
    assert options.MOST_THREADS == MOST_THREADS


def test_without_a_preset_the_longest_of_the_deploy_configs_counts(tiny_bundle):
    first, second, _ = open_bundle(tiny_bundle).manifest.artifacts
    full = msgspec.structs.replace(first, target=msgspec.structs.replace(first.target, bench="full"))
    assert choose_plan(None, [second, full], 0) == ("full", PLANS["full"])
    assert choose_plan("smoke", [second, full], 0)[0] == "smoke"
