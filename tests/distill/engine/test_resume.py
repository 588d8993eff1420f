"""Whatever ends a training, the same command ends with the very weights of an undisturbed one."""

import json
import os
import random
import signal
import time

import forked
import one_training
import pytest
from safetensors import safe_open

EACH_STEP, EACH_EPOCH = 1e-9, 60.0


def start(folder, save_minutes=EACH_STEP, loading=0):
    # Not a daemon, which may start no loading process.
    process = forked.processes.Process(target=one_training.train, args=(folder, save_minutes, loading))
    process.start()
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    return folder


@pytest.fixture(scope="module")
def duration(undisturbed):
    """Seconds that one takes on this machine as it is now, without the import."""
    begun = time.monotonic()
    process = start(undisturbed.with_name("timed"))
    process.join()
    return time.monotonic() - begun


def weights(folder):
    with safe_open(folder / "student.safetensors", framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def terms(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["epoch"], record["terms"], record["val_mAP"], record["skipped_steps"]) for record in records]


def killed_until_it_ends(folder, save_minutes, loading, draw, duration):
    """How often one was killed before it ended by itself."""
    kills = 0
    while True:
        process = start(folder, save_minutes, loading)
        # From the very start to far into the training, and often enough that some kills hit a file being written.
        process.join(draw.uniform(0.05, 0.6) * duration if kills < 5 else None)
        if process.exitcode is not None:
            assert process.exitcode == 0
            return kills
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1


@pytest.mark.parametrize(("save_minutes", "loading", "seed"), [(EACH_EPOCH, 0, 1), (EACH_STEP, 1, 6)])
def test_killed_again_and_again_it_ends_with_the_same_bits(
    undisturbed, duration, tmp_path, save_minutes, loading, seed
):
    draw = random.Random(seed)
    kills = 0
    while kills < 2:  # a machine that became faster since the duration was taken ends one before it is killed twice
        folder = tmp_path / f"{duration:.3f}"
        kills = killed_until_it_ends(folder, save_minutes, loading, draw, duration)
        duration /= 2
    assert weights(folder) == weights(undisturbed)
    assert terms(folder) == terms(undisturbed)
    assert not list(folder.glob(".*.tmp")), "half-written files of killed processes are cleared away"


@pytest.mark.parametrize(("number", "loading"), [(signal.SIGINT, 0), (signal.SIGTERM, 1)])
def test_a_signal_to_all_ends_it_after_the_step_with_its_own_code_and_nothing_is_lost(
    undisturbed, tmp_path, number, loading
):
    folder = tmp_path / "run"
    process = start(folder, EACH_EPOCH, loading)
    while not (folder / "metrics.jsonl").exists() and process.is_alive():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    process.join()
    assert process.exitcode == 130
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    assert weights(folder) == weights(undisturbed)
    assert terms(folder) == terms(undisturbed)
