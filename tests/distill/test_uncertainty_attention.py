"""Uncertainty attention against finite differences, and where it is computed."""

import copy
import math

import pytest
import torch
from torch import nn

from edgedistill.distill.models import Classifier
from edgedistill.distill.teacher_cache import teacher_digest
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


class OneLayer(nn.Module):
    """The least backbone: maps of 3 channels, half the image's size."""

    channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 2, 2)

    def forward(self, images):
        return [self.layer(images)]


def network(head: str = "linear", *, weights: str | None = "gradient", branches=("calibration",)) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(OneLayer(), 4, head=head, branches=branches).double()
    if weights:
        model.attend(weights)
    return model.eval()


IMAGES = 2 * torch.randn(3, 3, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def divergences(model: Classifier, maps: torch.Tensor) -> torch.Tensor:
    """KL(softmax(calibration) || softmax(logits)) of every image, from the definition."""
    vector, logits = model.head(maps)
    if vector.ndim != 2:
        vector = maps.mean((2, 3))
    p, q = model.branches["calibration"](vector).softmax(1), logits.softmax(1)
    return (p * (p / q).log()).sum(1)


@torch.no_grad()
def attention_by_differences(model: Classifier, maps: torch.Tensor, channel_weights: str) -> torch.Tensor:
    """Eq. 15-16, one position after the other; with BatchNorm in training mode of the sum over the batch."""
    model, step = copy.deepcopy(model), 1e-6
    slopes = torch.zeros_like(maps)
    for place in torch.cartesian_prod(*map(torch.arange, maps.shape)).tolist():
        moved = [maps.clone(), maps.clone()]
        moved[0][tuple(place)] += step
        moved[1][tuple(place)] -= step
        after, before = (divergences(model, one) for one in moved)
        slopes[tuple(place)] = (after - before).sum() / (2 * step)
    result = torch.zeros(len(maps), *maps.shape[2:], dtype=maps.dtype)
    for image, (slope, channels) in enumerate(zip(slopes, maps, strict=True)):
        weights = [float(of_channel.sum()) for of_channel in slope]
        if channel_weights == "softmax":
            weights = [math.exp(w) / sum(map(math.exp, weights)) for w in weights]
        for weight, channel in zip(weights, channels, strict=True):
            result[image] += weight * channel
    return result


@pytest.mark.parametrize(
    ("head", "channel_weights", "training"),
    [
        ("linear", "gradient", False),
        ("linear", "gradient", True),
        ("linear", "softmax", False),
        ("linear_max", "gradient", False),
        ("linear_max", "softmax", True),
        ("ml_decoder", "gradient", False),
    ],
)
def test_attention_is_that_of_finite_differences(head, channel_weights, training):
    model = network(head, weights=channel_weights)
    model.branches.train(training)  # dropout of a decoder would draw anew
    output = model(IMAGES[:2])
    expected = attention_by_differences(model, output.features.detach(), channel_weights)
    assert expected.std() > 1e-3
    torch.testing.assert_close(output.attention.detach(), expected, rtol=1e-5, atol=1e-7)


def test_the_students_gradient_flows_through_its_maps_alone():
    """A_hw = sum_c w_c Z_chw with constant w: the slope is w, at the same position only."""
    output = network().train()(IMAGES)
    chosen = output.attention[1, 0, 2]
    gradient, *others = torch.autograd.grad(
        chosen, [output.features, output.logits, output.calibration_logits], allow_unused=True
    )
    assert others == [None, None]
    weights = gradient[1, :, 0, 2].clone()
    torch.testing.assert_close(chosen, (weights * output.features[1, :, 0, 2]).sum())
    gradient[1, :, 0, 2] = 0
    assert not gradient.any()


def test_a_forward_pass_leaves_no_gradients_and_batchnorm_counts_a_batch_once():
    plain, attending = network(weights=None).train(), network().train()
    for model in (plain, attending):
        model(IMAGES)
    for (name, one), other in zip(plain.named_buffers(), attending.buffers(), strict=True):
        assert torch.equal(one, other), name
    assert attending.branches["calibration"].layers[1].num_batches_tracked == 1
    assert all(parameter.grad is None for parameter in attending.parameters())


def test_a_frozen_teacher_attends_without_gradients_and_an_evaluation_does_not():
    model = network()
    expected = model(IMAGES).attention.detach()
    model.requires_grad_(False)
    with torch.no_grad():
        output = model(IMAGES)
    assert torch.equal(output.attention, expected)
    assert not output.attention.requires_grad
    with torch.inference_mode():
        assert model(IMAGES).attention is None


def test_attention_is_computed_in_float32_under_autocast():
    model = network().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(IMAGES.float())
    assert (output.features.dtype, output.attention.dtype) == (torch.bfloat16, torch.float32)
    maps = output.features.detach().double()
    expected = attention_by_differences(network(), maps, "gradient")
    torch.testing.assert_close(output.attention, expected.float(), rtol=1e-4, atol=1e-6)


def test_a_compiled_student_attends_too():
    plain, compiled = network().train(), network().train()
    compiled.compile(backend="eager")
    for _ in range(2):
        outputs = plain(IMAGES), compiled(IMAGES)
    torch.testing.assert_close(outputs[1].attention, outputs[0].attention)
    gradients = [torch.autograd.grad(o.attention.square().sum(), m.backbone.layer.weight)[0]
                 for o, m in zip(outputs, (plain, compiled), strict=True)]  # fmt: skip
    torch.testing.assert_close(*gradients)
    with torch.inference_mode():
        assert compiled(IMAGES).attention is None


def test_attention_is_asked_for_and_goes_with_its_branch():
    model = network(weights=None)
    digest = teacher_digest(model)
    assert model(IMAGES).attention is None
    assert model.gives == {"pooled", "calibration_logits"}
    digests = {digest}
    for weights in ("gradient", "softmax"):  # stored maps of one kind are not read as the other
        model.attend(weights)
        digests.add(teacher_digest(model))
    assert len(digests) == 3
    assert "attention" in model.gives
    model.detach_branches(keep={"embeddings"})
    assert model(IMAGES).attention is None
    with pytest.raises(ConfigError, match="needs a calibration branch"):
        model.attend("gradient")
