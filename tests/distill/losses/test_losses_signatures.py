"""What a user sees of a loss: signatures that are alike, and docstrings that say every shape."""

import inspect

import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel

from edgedistill.distill import losses

every_loss = pytest.mark.parametrize("name", losses.__all__)
PER_CLASS = {"partial_softmax", "class_aware", "instance_aware", "class_and_instance_aware"}  # of the present labels


@every_loss
def test_what_is_compared_comes_first_and_labels_may_be_left_out(name):
    parameters = inspect.signature(getattr(losses, name)).parameters
    first, second, *_ = parameters
    assert (first, second) == ("logits", "targets") or (first[:7], second[:7]) == ("student", "teacher")
    if first != "logits" and "targets" in parameters:
        assert parameters["targets"].default is (inspect.Parameter.empty if name in PER_CLASS else None)
    for key in {"temperature", "protocol", "form"} & parameters.keys():
        assert parameters[key].default is not inspect.Parameter.empty
    assert "reduction" not in parameters or parameters["reduction"].default == "batchmean"


@every_loss
def test_every_argument_is_explained_with_its_shape(name):
    loss = getattr(losses, name)
    says = inspect.getdoc(loss).partition("Args:\n")[2]
    for key, parameter in inspect.signature(loss).parameters.items():
        (line,) = [line for line in says.splitlines() if line.startswith(f"    {key}: ")]
        assert "Tensor" not in str(parameter.annotation) or "(" in line, f"{key} has no shape"
    assert "Returns:\n" in says
    assert "_known`" not in says, "what is private is no explanation"


def test_the_asymmetric_loss_is_timms_where_every_label_is_known():
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(16, 20, generator=generator)
    targets = (torch.rand(16, 20, generator=generator) < 0.2).to(logits.dtype)
    theirs = AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05, disable_torch_grad_focal_loss=True)
    reduction = getattr(theirs, "reduction", "sum")  # its older versions know the sum alone
    ours = losses.asymmetric(logits, targets, gamma_pos=1.0, reduction=reduction)
    assert ours.item() == pytest.approx(theirs(logits, targets).item(), rel=1e-5)
