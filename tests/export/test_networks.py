"""Networks of timm and torchvision export, in fp32 and int8: one family here, all of the list with -m networks."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# A mobile network with squeeze-and-excitation; others take up to half a minute.
HERE = ("timm/mobilenetv3_small_050", "timm/repghostnet_050", "timm/lcnet_050")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/networks.py."""
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("networks_benchmark", BENCHMARKS / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


def names():
    lines = (BENCHMARKS / "networks.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def check(trial):
    """Built and right in all targets, or refused in one line that names a reason."""
    assert not trial.refused, trial.refused
    assert {outcome.status for outcome in trial.outcomes} == {"verified"}, trial
    int8 = trial.outcomes[-1]
    if int8.coverage.convolutions:
        assert int8.coverage.share >= 0.95, int8.coverage
    assert int8.snr_db > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_a_family_exports(benchmark, name):
    assert name in names()
    check(benchmark.try_network(name, images=8))


def test_the_page_shows_the_record(benchmark):
    page = (BENCHMARKS.parent / "docs" / "networks.md").read_text(encoding="utf-8")
    record = benchmark.read()
    assert record.trials
    for name in names():
        assert name in page, "in the table, or among those that have not run"
    assert benchmark.markdown(record) in page, "python benchmarks/networks.py --table"


@pytest.mark.networks
@pytest.mark.parametrize("name", [name for name in names() if name not in HERE])
def test_every_family_exports(benchmark, name):
    check(benchmark.in_child(name))
