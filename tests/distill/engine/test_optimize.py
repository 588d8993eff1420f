"""Learning rates, weight decay and precision."""

import contextlib

import pytest
import torch
from torch.nn import Conv2d

from edgedistill.distill.engine import TrainSettings
from edgedistill.distill.engine.optimize import (
    build_optimizer,
    build_schedule,
    choose_dtype,
    choose_format,
    refuse_crash,
    settle_format,
)
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


DEPTHWISE = Conv2d(32, 32, 3, groups=32)


@pytest.mark.parametrize(
    ("layers", "device", "size", "changes", "channels_last"),
    [
        ([DEPTHWISE], "cpu", (96, 128), {}, True),
        ([DEPTHWISE], "cpu", (95, 128), {}, False),  # as the tiny networks of these tests
        ([DEPTHWISE], "cpu", (224, 224), {"channels_last": False}, False),
        ([DEPTHWISE], "cpu", (224, 224), {"precision": "bf16"}, False),
        ([Conv2d(32, 32, 3)], "cpu", (224, 224), {}, False),
        ([Conv2d(32, 32, 3)], "cpu", (32, 32), {"channels_last": True}, True),
        ([DEPTHWISE, Conv2d(3, 48, 1, stride=2)], "cpu", (224, 224), {}, False),  # crashes
        ([DEPTHWISE], "cuda", (32, 32), {}, True),
    ],
)
def test_channels_last_is_taken_where_it_is_safe_and_pays(layers, device, size, changes, channels_last):
    device, model = torch.device(device), torch.nn.Sequential(*layers)
    settled = settle_format(TrainSettings(epochs=1, **changes), model, device, size)
    assert (choose_format(settled, device) is torch.channels_last) == channels_last


def test_a_step_of_a_depthwise_network_in_channels_last_learns_the_same(make_model):
    """The choice changes last bits alone: a float64 step of both formats agrees."""
    images = torch.rand(2, 3, 96, 96, dtype=torch.float64)
    gradients = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model = make_model().double().to(memory_format=memory_format)
        model(images.contiguous(memory_format=memory_format)).logits.square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients)
