"""BatchNorm over several processes; that it equals one process is test_distributed.py's."""

import copy

import pytest
import torch
from torch import nn

from edgedistill.distill.engine.batchnorm import GatheredBatchNorm2d, GatheredBatchNormAct2d, synchronise_batchnorm
from edgedistill.distill.models import build_model
from edgedistill.runtime.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "repvgg_a0", "timm/efficientnet_b0"])
def test_every_batchnorm_of_a_network_is_synchronised_and_evaluates_as_before(name):
    model = build_model(name, 3).eval()
    images = torch.rand(2, 3, 32, 32)
    before = model(images).logits
    synchronise_batchnorm(model, CPU)
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    assert kinds <= {GatheredBatchNorm2d, GatheredBatchNormAct2d}
    assert torch.equal(model(images).logits, before)


@pytest.mark.parametrize("name", ["mobilenetv2", "repvgg_a0"])
def test_in_one_process_it_trains_as_the_layer_it_replaces(name, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        plain = build_model(name, 3, branches=["calibration"]).double().train()
        gathered = copy.deepcopy(plain)
        synchronise_batchnorm(gathered, CPU)
        images = torch.rand(4, 3, 32, 32, dtype=torch.float64)
        for model in (plain, gathered):
            torch.manual_seed(9)  # of dropout
            output = model(images)
            (output.logits.square().sum() + output.calibration_logits.square().mean()).backward()
        for (key, one), other in zip(plain.named_parameters(), gathered.parameters(), strict=True):
            if one.grad is not None:
                assert torch.allclose(one.grad, other.grad, rtol=1e-6, atol=1e-9), key
        for (key, one), other in zip(plain.named_buffers(), gathered.buffers(), strict=True):
            assert torch.allclose(one, other, rtol=1e-9), key
    finally:
        torch.distributed.destroy_process_group()


def test_a_batchnorm_of_another_kind_is_refused_on_a_cpu():
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(ConfigError, match="Own cannot be synchronised between processes on CPUs"):
        synchronise_batchnorm(nn.Sequential(Own(3)), CPU)


def test_on_a_gpu_the_activations_that_timm_keeps_in_its_layers_stay():
    def activations(model: nn.Module) -> int:
        return sum(isinstance(module, nn.SiLU) for module in model.modules())

    model = build_model("timm/efficientnet_b0", 3)
    before = activations(model)
    synchronise_batchnorm(model, torch.device("cuda"))
    assert activations(model) == before > 0
    assert not any(type(module) is nn.BatchNorm2d for module in model.modules())
