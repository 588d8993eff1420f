"""The host launches steps and reads what they did when the next one is launched; it asks the device nothing else."""

import math

import pytest
import torch
from rich.console import Console
from step_cases import CONTEXT, CPU, METHOD_CASES, READING, batch, ready
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine import fit
from edgedistill.distill.engine.averaging import MovingAverage, follow_at_once
from edgedistill.distill.engine.kept_buffers import KeptBuffers
from edgedistill.distill.engine.step import Step
from edgedistill.distill.engine.taken import Launched
from edgedistill.distill.engine.trainer import _Training

pytestmark = pytest.mark.usefixtures("one_thread")
YES, NO = torch.tensor(True), torch.tensor(False)
READS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "equal",
    "is_nonzero",
    "unique_dim",
    "_unique2",
    "lift_fresh",
}


class Reads(TorchDispatchMode):
    """Notes the operators for which a host waits for its GPU.

    Their result is a number, has a shape that depends on values, or is made of the host's numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in READS or by_mask or (name == "repeat_interleave" and func._overloadname == "Tensor"):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "options"), METHOD_CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_no_step_of_a_method_reads_from_the_device(name, options, monkeypatch):
    """Of fp16's scaler, clipping, optimiser, statistics and moving average neither; `read` alone does."""
    step = ready(name, options, CPU, precision="fp32")
    step.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    given = [batch()]
    step(given, CONTEXT)  # allocates the moments
    monkeypatch.setattr(Batch, "blank", given[0].blank)  # made of the host's numbers on the host
    for reading in ("tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "item"):
        monkeypatch.setattr(Tensor, reading, lambda *_, reading=reading: pytest.fail(reading))
    with Reads() as reads:
        launched = step(given, CONTEXT)
    monkeypatch.undo()
    assert reads.found == READING.get(name, set())
    assert launched.read().finite


def test_the_mode_sees_a_reading():
    values = torch.ones(3)
    with Reads() as reads:
        values[values > 0].sum().item()
    assert reads.found == {"index", "_local_scalar_dense"}


def test_a_step_is_read_when_the_next_is_launched_and_before_its_epoch_ends(make_job, make_model, monkeypatch):
    seen = []
    for owner, name in ((Step, "__call__"), (Launched, "read"), (_Training, "_finish_epoch")):
        inner = getattr(owner, name)

        def noted(*arguments, name=name, inner=inner):
            seen.append(name)
            return inner(*arguments)

        monkeypatch.setattr(owner, name, noted)
    fit(make_job(epochs=2), make_model(), None, Console(quiet=True))
    epoch = ["__call__", *["__call__", "read"] * 3, "read", "_finish_epoch"]
    assert seen == epoch * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_average_is_timms_and_stays_where_a_step_was_not_taken(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).to(dtype)
    ours, timms = MovingAverage(model, 0.99), ModelEmaV3(model, decay=0.99, use_warmup=True)
    for step in range(1, 6):
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape) * 9)
        ours.follow(step, YES)
        timms.update(model, step=step)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    ours.follow(6, NO)
    for (name, a), b in zip(ours.state_dict().items(), timms.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
        assert torch.equal(a, before[name]), name


def test_layers_that_share_their_weights_are_averaged_once():
    layer = nn.Linear(2, 2)
    model, once = nn.Sequential(layer, nn.Sequential(layer)), nn.Sequential(layer)
    averages = [MovingAverage(network, 0.9) for network in (model, once)]
    with torch.no_grad():
        layer.weight += 1
    for average in averages:
        average.follow(9, YES)
    assert torch.equal(*(average.module[0].weight for average in averages))


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.7, 1.0])
def test_an_average_of_a_whole_list_at_once_is_the_same_to_rounding(weight):
    averages, values = ([torch.randn(7), torch.randn(2, 3)] for _ in range(2))
    expected = [a.lerp(b, weight) for a, b in zip(averages, values, strict=True)]
    follow_at_once(averages, values, torch.tensor(weight))
    torch.testing.assert_close(averages, expected)


def test_buffers_that_are_nan_come_back():
    buffers = [torch.ones(3), torch.full((), 4), torch.full((2, 2), 5.0)]
    kept = KeptBuffers(buffers)
    kept.keep()
    for buffer in buffers:
        buffer.fill_(7 if buffer.dtype is torch.int64 else math.nan)
    kept.restore_unless(NO)
    assert [buffer.flatten().tolist() for buffer in buffers] == [[1.0] * 3, [4], [5.0] * 4]
    buffers[1].fill_(6)
    kept.restore_unless(YES)
    assert buffers[1] == 6
