"""Learning rates, weight decay and precision."""

import contextlib

import pytest
import torch
from torch.nn import Conv2d

from edgedistill.distill.engine import TrainSettings
from edgedistill.distill.engine.optimize import build_optimizer, build_schedule, choose_dtype, refuse_crash
from edgedistill.runtime.errors import ConfigError


@pytest.mark.parametrize(("schedule", "last"), [("onecycle", 0.001), ("cosine", 0.001), ("constant", 0.1)])
def test_schedules_rise_to_the_rate_and_end_near_zero_or_stay(make_model, schedule, last):
    settings = TrainSettings(epochs=1, lr=0.1, schedule=schedule, warmup=0.25, optimizer="sgd")
    optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
    scheduler = build_schedule(optimizer, settings, 40)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(0.1, rel=0.02)
    assert rates.index(max(rates)) == pytest.approx(10, abs=1)
    assert rates[-1] == pytest.approx(last, abs=0.001)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_training_that_stops_early_follows_the_longer_schedule(make_model, schedule):
    def rates(epochs, **options):
        settings = TrainSettings(epochs=epochs, lr=0.1, schedule=schedule, warmup=0.25, optimizer="sgd", **options)
        optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
        scheduler = build_schedule(optimizer, settings, 5 * epochs)
        found = []
        for _ in range(5 * epochs):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    assert rates(3, schedule_epochs=8) == rates(8)[:15]
    with pytest.raises(ValueError, match="schedule_epochs 2 ends before the training's 3 epochs"):
        TrainSettings(epochs=3, schedule_epochs=2)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.2, 1.0])
def test_the_shortest_trainings_have_a_schedule_too(make_model, schedule, steps, warmup):
    settings = TrainSettings(epochs=1, lr=0.1, schedule=schedule, warmup=warmup)
    optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
    scheduler = build_schedule(optimizer, settings, steps)
    for _ in range(steps):
        assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1 + 1e-9
        optimizer.step()
        scheduler.step()


def test_biases_and_norms_are_not_decayed(make_model):
    decayed, free = build_optimizer(make_model(), TrainSettings(epochs=1), torch.device("cpu")).param_groups
    assert decayed["weight_decay"] == 1e-4
    assert free["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in free["params"])


def test_auto_precision_keeps_depthwise_networks_in_float32_on_a_cpu(make_model):
    assert choose_dtype(TrainSettings(epochs=1), make_model(), torch.device("cpu")) is None
    assert (
        choose_dtype(TrainSettings(epochs=1, precision="bf16"), Conv2d(3, 3, 1), torch.device("cpu")) is torch.bfloat16
    )


@pytest.mark.parametrize(
    ("layer", "device", "refused"),
    [
        (Conv2d(3, 48, 1, stride=2), "cpu", True),
        (Conv2d(15, 4, 1, stride=2), "cpu", True),
        (Conv2d(16, 4, 1, stride=2), "cpu", False),
        (Conv2d(1, 4, 1, stride=2), "cpu", False),
        (Conv2d(3, 48, 1), "cpu", False),
        (Conv2d(3, 48, 3, stride=2), "cpu", False),
        (Conv2d(3, 48, 1, stride=2), "cuda", False),
    ],
)
def test_a_memory_format_in_which_pytorch_crashes_is_refused(layer, device, refused):
    model, device = torch.nn.Sequential(layer), torch.device(device)
    refuse_crash(model, TrainSettings(epochs=1, channels_last=False), device)
    wanted = TrainSettings(epochs=1, channels_last=True)
    told = pytest.raises(ConfigError, match=r"`channels_last: true`: on a CPU PyTorch crashes .*\(0 has \d+\)")
    with told if refused else contextlib.nullcontext():
        refuse_crash(model, wanted, device)
