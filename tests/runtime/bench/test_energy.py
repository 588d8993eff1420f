"""Power from a made-up /sys: which counter is taken, what it adds up to, and that there is no number without one."""

import itertools
import threading
from pathlib import Path

import pytest
from bench_cases import run

from edgedistill.runtime.bench import energy, running
from edgedistill.runtime.bench.energy import SYS, Ina3221, Power, Rapl, find_meter


def write(root: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def rapl(root: Path, *, packages: int = 2, start: int = 1_000_000) -> Path:
    """Two sockets with a part each, the memory-mapped view of the first, and the whole platform."""
    files: dict[str, object] = {"intel-rapl:9/name": "psys", "intel-rapl:9/energy_uj": 5}
    for number in range(packages):
        for zone, name in ((f"intel-rapl:{number}", f"package-{number}"), (f"intel-rapl:{number}:0", "core")):
            files |= {f"{zone}/name": name, f"{zone}/energy_uj": start, f"{zone}/max_energy_range_uj": 262_143_328_850}
    files |= {"intel-rapl-mmio:0/name": "package-0", "intel-rapl-mmio:0/energy_uj": start}
    return write(root, {f"class/powercap/{name}": value for name, value in files.items()})


def rails(root: Path, labels: list[str]) -> Path:
    folder = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    files: dict[str, object] = {}
    for number, label in enumerate(labels, 1):
        files |= {f"{folder}/in{number}_label": label, f"{folder}/in{number}_input": 5000}
        files[f"{folder}/curr{number}_input"] = 1000 * number
    return write(root, files)


def test_rapl_adds_up_the_packages_and_nothing_twice(tmp_path):
    meter = find_meter(rapl(tmp_path))
    assert isinstance(meter, Rapl)
    assert meter.source == "RAPL (package-0, package-1)"
    with meter.measuring() as power:
        for number, joules in ((0, 3), (1, 4)):
            write(tmp_path, {f"class/powercap/intel-rapl:{number}/energy_uj": 1_000_000 + joules * 1_000_000})
    assert power.watts > 7  # 7 J in less than a second
    assert meter.spent([1_000_000, 0], [4_000_000, 4_000_000]) == pytest.approx(7.0)


def test_a_counter_that_begins_anew_is_made_up_for(tmp_path):
    meter = find_meter(rapl(tmp_path, packages=1))
    assert meter.spent([262_143_328_850 - 2_000_000], [3_000_000]) == pytest.approx(5.0)


def test_a_counter_that_may_not_be_read_is_none(tmp_path):
    root = rapl(tmp_path)
    (root / "class/powercap/intel-rapl:1/energy_uj").unlink()
    assert find_meter(root) is None
    assert find_meter(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("labels", "watts", "source"),
    [
        (["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], 5.0, "INA3221 (VDD_IN)"),
        (["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"], 30.0, "INA3221 (VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0)"),
    ],
)
def test_a_jetson_s_rails_are_those_of_the_module(tmp_path, labels, watts, source):
    meter = find_meter(rails(tmp_path, labels))
    assert isinstance(meter, Ina3221)
    assert (meter.source, meter.watts()) == (source, pytest.approx(watts))
    with meter.measuring() as power:
        pass
    assert power.watts == pytest.approx(watts)


def test_rails_that_are_no_whole_module_are_no_number(tmp_path):
    assert find_meter(rails(tmp_path, ["VDD_SOC", "VDD_CPU_CV"])) is None


def test_a_jetson_s_power_is_the_mean_from_beginning_to_end(tmp_path, monkeypatch):
    meter = find_meter(rails(tmp_path, ["VDD_IN"]))
    current = next(tmp_path.rglob("curr1_input"))
    monkeypatch.setattr(energy, "_INA_SECONDS", 60)
    with meter.measuring() as power:  # shorter than the time between two readings
        current.with_name("new").write_text("3000\n")
        current.with_name("new").replace(current)
    assert power.watts == pytest.approx((5.0 + 15.0) / 2)
    monkeypatch.setattr(energy, "_INA_SECONDS", 0.001)
    readings, enough = itertools.count(), threading.Event()

    def watts():
        number = next(readings)
        if number == 8:
            enough.set()
        return 20.0 if number else 2.0

    monkeypatch.setattr(meter, "watts", watts)
    with meter.measuring() as power:
        assert enough.wait(20)
    assert 18.0 <= power.watts < 20.0  # it was read on the way, too


def test_a_rail_that_vanishes_meanwhile_leaves_no_number(tmp_path):
    meter = find_meter(rails(tmp_path, ["VDD_IN"]))
    with meter.measuring() as power:
        next(tmp_path.rglob("curr1_input")).unlink()
    assert meter.watts() is None
    assert power.watts is None


def test_a_package_that_vanishes_meanwhile_leaves_no_number(tmp_path):
    meter = find_meter(rapl(tmp_path))
    with meter.measuring() as power:
        (tmp_path / "class/powercap/intel-rapl:1/energy_uj").unlink()
    assert power.watts is None


class Constant:
    """A machine of ten watts."""

    source = "a test"

    def measuring(self):
        class Block:
            def __enter__(self):
                return Power(10.0)

            def __exit__(self, *_):
                return None

        return Block()


def test_a_report_has_joules_where_there_is_a_counter_and_none_else(make_tiny_bundle, tmp_path, monkeypatch):
    root = make_tiny_bundle(tmp_path / "b")
    monkeypatch.setattr(running, "find_meter", Constant)
    entry = run(root, monkeypatch).artifacts[0]
    assert [turn.watts for turn in entry.turns] == [10.0, 10.0]
    assert entry.energy.source == "a test"
    assert entry.energy.watts.estimate == 10.0
    assert entry.energy.joules_per_image == pytest.approx(10.0 * entry.mean_ms / 1000)
    monkeypatch.setattr(running, "find_meter", lambda: None)
    entry = run(root, monkeypatch).artifacts[0]
    assert entry.energy is None
    assert {turn.watts for turn in entry.turns} == {None}
    assert Path("/sys") == SYS
