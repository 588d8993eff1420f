import pytest
import torch
from torch import nn

from edgedistill.export import reparameterize


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("repvgg_a0", {}),
        ("mobilenetv2", {"width": 0.35}),
        ("shufflenetv2", {"width": 0.5}),
        ("timm/mobileone_s0", {}),
    ],
)
def test_train_form_equals_deploy_form(make_student, name, options):
    model = make_student(name, **options).model
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = model(images).logits
    assert expected.std() > 0.1  # else the comparison says nothing
    torch.testing.assert_close(reparameterize(model)(images).logits, expected, atol=1e-4, rtol=1e-4)


def test_parallel_branches_become_one_convolution_and_the_original_stays(make_student):
    model = make_student("repvgg_a0").model
    convolutions = sum(isinstance(m, nn.Conv2d) for m in model.modules())
    deployed = reparameterize(model)
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) == convolutions == 44
    assert sum(isinstance(m, nn.Conv2d) for m in deployed.modules()) == 22
    assert not any(isinstance(m, nn.BatchNorm2d) for m in deployed.modules())


def test_the_result_is_frozen_and_without_training_branches(make_student):
    model = make_student("repvgg_a0", branches=["ml_decoder"]).model.train()
    deployed = reparameterize(model)
    assert not deployed.branches
    assert model.branches
    assert not any(m.training for m in deployed.modules())
    assert not any(p.requires_grad for p in deployed.parameters())
    assert model.training
