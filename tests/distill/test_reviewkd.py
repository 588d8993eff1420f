"""ReviewKD: its loss and its fusion against plain references, and the life of its training-only branch."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import tint_dataset, tint_job, tint_model, tint_teacher
from rich.console import Console
from torch import nn

from edgedistill.distill import build_model, load_recipe, load_student, losses
from edgedistill.distill.checkpoint import save_student
from edgedistill.distill.engine import LiveSource
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.engine.prepare import prepare
from edgedistill.distill.engine.world import ALONE
from edgedistill.distill.methods import TrainingContext, build_method, values
from edgedistill.distill.methods.review import AttentionFusion, build_review, review_levels
from edgedistill.distill.models import MergedTeacher
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import ConfigError

f64 = torch.float64
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)


def maps(seed: int, *shape: int, dtype: torch.dtype = f64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=f64).to(dtype)


def loop_hierarchical_context(student: torch.Tensor, teacher: torch.Tensor) -> float:
    height, width = student.shape[2:]
    gaps = (student - teacher).tolist()
    total, share, weight = 0.0, 0.0, 1.0
    for side in (None, 4, 2, 1):
        if side is not None and side >= min(height, width):
            continue
        rows, columns = (
            [range(i, i + 1) for i in range(n)]
            if side is None
            else [range(i * n // side, math.ceil((i + 1) * n / side)) for i in range(side)]
            for n in (height, width)
        )
        squares = [
            (math.fsum(gap[y][x] for y in ys for x in xs) / len(ys) / len(xs)) ** 2
            for image in gaps for gap in image for ys in rows for xs in columns
        ]  # fmt: skip
        total += weight * math.fsum(squares) / len(squares)
        share += weight
        weight /= 2
    return total / share


@given(seed=st.integers(0, 1000), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_loss_equals_the_loop(seed, height, width):
    s, t = maps(seed, 2, 3, height, width), maps(seed + 1, 2, 3, height, width)
    expected = loop_hierarchical_context(s, t)
    assert losses.hierarchical_context(s, t).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (14, 14)])
def test_its_gradient_is_that_of_adaptive_pooling(size):
    s, t = maps(0, 2, 3, *size).requires_grad_(), maps(1, 2, 3, *size).requires_grad_()
    pooled = [(1.0, F.mse_loss(s, t.detach()))]
    for side in (4, 2, 1):
        if side < size[0]:
            averages = (F.adaptive_avg_pool2d(x, side) for x in (s, t.detach()))
            pooled.append((pooled[-1][0] / 2, F.mse_loss(*averages)))
    expected = sum(weight * term for weight, term in pooled) / sum(weight for weight, _ in pooled)
    loss = losses.hierarchical_context(s, t)
    torch.testing.assert_close(*(torch.autograd.grad(value, s, retain_graph=True)[0] for value in (loss, expected)))
    assert torch.autograd.grad(loss, t, allow_unused=True) == (None,)


def test_golden_values():
    """A constant difference of 2, and one that averages to 0 at every lower resolution of a 2 x 2 map."""
    assert losses.hierarchical_context(torch.full((2, 3, 8, 8), 2.0), torch.zeros(2, 3, 8, 8)).item() == pytest.approx(
        4
    )
    checks = torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]]]])
    assert losses.hierarchical_context(checks, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(1 / 1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_maps_are_raised(dtype):
    s, t = maps(0, 2, 3, 5, 5, dtype=dtype), maps(1, 2, 3, 5, 5, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = losses.hierarchical_context(s, t)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, losses.hierarchical_context(s.float(), t.float()), rtol=0, atol=0)


def test_maps_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="bring the student's to the teacher's"):
        losses.hierarchical_context(maps(0, 2, 3, 5, 5), maps(0, 2, 3, 5, 1))


@pytest.mark.parametrize(
    ("own", "deeper", "out"), [((8, 8), (4, 4), (8, 8)), ((5, 6), (3, 3), (4, 7)), ((2, 2), (4, 4), (1, 1))]
)
def test_fusion_weighs_both_maps_by_one_convolution_over_both(own, deeper, out):
    torch.manual_seed(0)
    fusion = AttentionFusion(6, 4, (3, *out), deepest=False).double().eval()
    fusion.project[1].running_mean.normal_()
    x, y = maps(0, 2, 6, *own), maps(1, 2, 4, *deeper)
    a, b = fusion.project(x), F.interpolate(y, own)
    weights = fusion.attention(torch.cat([a, b], dim=1)).sigmoid()
    fused = F.interpolate(weights[:, :1] * a + weights[:, 1:] * b, out)
    torch.testing.assert_close(fusion(x, y), (fusion.output(fused), fused))


class Steps(nn.Module):
    """A backbone of 1 x 1 maps' worth of channels at the given sides."""

    def __init__(self, channels: list[int], sides: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(3, c, 1), nn.BatchNorm2d(c)) for c in channels)
        self.sides = sides

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [layer(F.adaptive_avg_pool2d(images, s)) for layer, s in zip(self.layers, self.sides, strict=True)]


def test_the_deepest_stages_are_paired_and_the_pooled_features_come_first():
    student, teacher = Steps([2, 4, 6], [8, 4, 2]), Steps([3, 5, 7, 9, 11], [16, 8, 4, 2, 1])
    assert [tuple(m.shape) for m in review_levels(student(torch.rand(2, 3, 8, 8)), 2)] == [
        (2, 6, 1, 1), (2, 6, 2, 2), (2, 4, 4, 4)
    ]  # fmt: skip
    for count, shapes in (
        (2, [(11, 1, 1), (11, 1, 1), (9, 2, 2)]),
        (4, [(11, 1, 1), (11, 1, 1), (9, 2, 2), (7, 4, 4)]),
    ):
        review = build_review(student, teacher, (8, 8), width=5, count=count)
        assert [tuple(level.shape[1:]) for level in review(student(torch.rand(2, 3, 8, 8)))] == shapes
        assert [level.attention is None for level in review.levels] == [True] + [False] * (len(shapes) - 1)


def test_looking_at_the_shapes_changes_no_network():
    student, teacher = Steps([2], [4]), Steps([3], [4]).eval()
    before = [{n: v.clone() for n, v in network.state_dict().items()} for network in (student, teacher)]
    build_review(student, teacher, (8, 8), width=5, count=4)
    assert (student.training, teacher.training) == (True, False)
    for network, state in zip((student, teacher), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_the_method_sums_over_levels_and_warms_up():
    y = torch.ones(2, 3, dtype=torch.int8)
    teacher = ModelOutput(maps(0, 2, 3), stages=[maps(1, 2, 5, 4, 4), maps(2, 2, 7, 2, 2)])
    student = ModelOutput(maps(3, 2, 3), reviewed=[maps(4, 2, 7, 1, 1), maps(5, 2, 7, 2, 2), maps(6, 2, 5, 4, 4)])
    taught = [teacher.stages[1].mean((2, 3), keepdim=True), *reversed(teacher.stages)]
    expected = sum(loop_hierarchical_context(s, t) for s, t in zip(student.reviewed, taught, strict=True))
    terms = values(build_method("reviewkd", lambda_review=3.0)(student, teacher, y, CONTEXT))
    assert list(terms) == ["bce", "review"]
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, y))
    assert terms["review"].item() == pytest.approx(3 * expected)
    summed = values(build_method("reviewkd", protocol="code")(student, teacher, y, CONTEXT))
    torch.testing.assert_close(summed["bce"], losses.bce(student.logits, y, reduction="sum"))
    for epoch, share in ((0, 0.0), (5, 0.25), (20, 1.0), (40, 1.0)):
        context = TrainingContext(epoch, 0, 10)
        warming = values(build_method("reviewkd", warmup_epochs=20)(student, teacher, y, context))
        assert warming["review"].item() == pytest.approx(share * expected)


def test_without_a_teacher_or_its_maps_it_says_so():
    method, student = build_method("reviewkd"), build_model("shufflenetv2", 3, width=0.5)
    with pytest.raises(ConfigError, match="none is given"):
        method.build_part(student, None, (32, 32))
    part = build_model("shufflenetv2", 3, width=0.5)
    with pytest.raises(ConfigError, match="merged from sub-tasks does not have"):
        method.build_part(student, MergedTeacher([[(range(3), part)]], 3), (32, 32))
    output = ModelOutput(maps(0, 2, 3))
    with pytest.raises(ConfigError, match="must hold `stages`"):
        method(output, output, torch.ones(2, 3, dtype=torch.int8), CONTEXT)


def test_a_cached_teacher_is_refused_before_anything_is_trained(cpsd_recipe):
    teacher = "teacher={model: {name: timm/test_resnet}, train: {epochs: 1}, cache: %s}"
    load_recipe(cpsd_recipe, assignments=["method=reviewkd", "tasks=null", teacher % "false"])
    with pytest.raises(
        ConfigError, match=r"command line: the method reads the teacher's `stages`.*teacher.cache: false"
    ):
        load_recipe(cpsd_recipe, assignments=["method=reviewkd", "tasks=null", teacher % "true"])


def test_evaluation_does_not_run_the_fusion():
    student = tint_model()
    part = build_method("reviewkd").build_part(student, tint_teacher(), (32, 32))
    images = torch.rand(2, 3, 32, 32)
    assert len(TrainedNetwork(student, part)(images).reviewed) == 5
    assert student(images).reviewed == []


def test_it_is_trained_continues_exactly_and_does_not_ship(tmp_path):
    """Two steps, a stop, and two more end with the bits of four; the checkpoint holds the plain network."""

    def start(name: str):
        job = tint_job(tmp_path / name, tint_dataset(64), epochs=1, lr=1e-2, workers=0)
        job = replace(job, method=build_method("reviewkd", mid_channels=8))
        model, teacher = tint_model(), tint_teacher()
        part = job.method.build_part(model, teacher, job.card.preprocessing.size)
        return job, prepare(job, model, LiveSource(teacher), Console(quiet=True), ALONE, part=part)

    def advance(prepared, steps: int) -> None:
        prepared.state.trained.train()
        for _, pieces in zip(range(steps), prepared.steps(), strict=False):
            prepared.step(pieces, TrainingContext(0, prepared.state.batch, prepared.total_steps))
            prepared.state.batch += 1

    _, whole = start("whole")
    fresh = {name: value.clone() for name, value in whole.state.part.state_dict().items()}
    advance(whole, 4)
    job, stopped = start("stopped")
    advance(stopped, 2)
    stopped.state.save(job.last, job.identity)
    _, continued = start("stopped")
    advance(continued, 2)
    for kept in ("model", "ema", "part"):
        ended, expected = (getattr(prepared.state, kept).state_dict() for prepared in (continued, whole))
        assert all(torch.equal(ended[name], value) for name, value in expected.items())
    moved = whole.state.part.state_dict()
    assert all(not torch.equal(moved[name], value) for name, value in fresh.items() if "weight" in name)
    save_student(tmp_path / "student.safetensors", whole.state.model, job.card)
    shipped = load_student(tmp_path / "student.safetensors").model
    assert shipped.state_dict().keys() == tint_model().state_dict().keys()
