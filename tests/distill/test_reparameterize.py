"""The network that ships: branches and normalisations summed, and the same outputs."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgedistill.distill import build_model
from edgedistill.distill.models.reparameterize import reparameterize

pytestmark = pytest.mark.usefixtures("one_thread")

# Every BatchNorm of these stands in something that timm can sum; of the others those of plain convolutions stay.
ALL_FUSED = [("timm/repvit_m0_9", 64), ("timm/levit_128s", 224), ("timm/shvit_s1", 64), ("timm/tiny_vit_5m_224", 224)]
ALL_FUSED += [("timm/efficientvit_m0", 224), ("timm/mobileone_s0", 64), ("timm/iformer_t", 64), ("repvgg_a0", 64)]
SOME_FUSED = [("timm/fastvit_t8", 64), ("timm/repghostnet_050", 64), ("timm/nextvit_small", 64)]


def shaken(model: nn.Module) -> nn.Module:
    """With statistics as after a training; as they are built, a BatchNorm that is left out is not missed."""
    generator = torch.Generator().manual_seed(0)
    for module in batchnorms(model):
        module.running_mean.uniform_(-0.3, 0.3, generator=generator)
        module.running_var.uniform_(0.6, 1.6, generator=generator)
        nn.init.uniform_(module.weight, 0.6, 1.4, generator=generator)
        nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
    return model


def batchnorms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@pytest.mark.parametrize(("name", "pixels"), ALL_FUSED + SOME_FUSED)
def test_it_computes_the_same_with_fewer_normalisations(name, pixels):
    torch.manual_seed(0)
    model = build_model(name, 3)
    shaken(model).eval()
    images = torch.randn(2, 3, pixels, pixels)
    expected = model(images)  # with gradients: timm then keeps attention biases that cannot be copied
    before = len(batchnorms(model))
    deployed = reparameterize(model)
    with torch.no_grad():
        output = deployed(images)
    scale = expected.logits.abs().max().item()
    torch.testing.assert_close(output.logits, expected.logits.detach(), rtol=0.0, atol=1e-5 * scale)
    assert [stage.shape for stage in output.stages] == [stage.shape for stage in expected.stages]
    assert (name, pixels) in SOME_FUSED or batchnorms(deployed) == []
    assert len(batchnorms(deployed)) < before == len(batchnorms(model)), "the model is left as it is"
    assert not any(module.training for module in deployed.modules())
    assert not any(parameter.requires_grad for parameter in deployed.parameters())


class ConvNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3))

    def fuse(self) -> nn.Module:
        return nn.utils.fuse_conv_bn_eval(*self)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner: nn.Module = ConvNorm()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def switch_to_deploy(self) -> None:
        self.inner = self.inner.fuse()


class FusesMaps(ConvNorm):
    """Its `fuse` is something else."""

    def fuse(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Fails(ConvNorm):
    def fuse(self) -> nn.Module:
        del self[1]
        raise RuntimeError("cannot sum these\nsecond line")


@pytest.mark.parametrize(
    ("model", "left"),
    [(ConvNorm(), 0), (InPlace(), 0), (nn.Sequential(InPlace(), ConvNorm()), 0), (FusesMaps(), 1)],
)
def test_a_networks_own_method_is_called_where_it_wants_no_arguments(model, left):
    model = shaken(copy.deepcopy(model)).eval()
    images = torch.randn(2, 3, 4, 4)
    deployed = reparameterize(model)
    assert len(batchnorms(deployed)) == left
    torch.testing.assert_close(deployed(images), model(images))


def test_what_stands_in_two_places_is_replaced_in_both():
    shared = ConvNorm()
    model = shaken(nn.Sequential(shared, nn.Sequential(shared), shared)).eval()
    deployed = reparameterize(model)
    assert batchnorms(deployed) == []
    assert deployed[0] is deployed[2] is deployed[1][0]
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(deployed(images), model(images))


def test_a_part_that_cannot_be_summed_stays_as_it_was_and_is_named():
    model = shaken(nn.Sequential(ConvNorm(), Fails())).eval()
    images = torch.randn(2, 3, 4, 4)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        deployed = reparameterize(model)
    assert [str(one.message).split(":")[0] for one in told] == ["Fails.fuse() failed (RuntimeError"]
    assert len(batchnorms(deployed)) == 1
    torch.testing.assert_close(deployed(images), model(images))
