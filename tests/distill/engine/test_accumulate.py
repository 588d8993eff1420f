"""A batch taken in pieces: the gradient of the whole, and what a piece cannot give."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from edgedistill.distill.engine import LiveSource, fit
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.distill.plan.time import estimate
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_accumulated_pieces_give_the_gradient_of_the_whole_batch(make_job, make_model, protocol):
    """For terms that are means or (the supervised one under `code`) sums over images, without batch statistics."""
    found = []
    for accumulate in (1, 4):
        model = make_model()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode=True, module=module: module  # stays in eval mode
                module.training = False
        job = make_job(f"by{accumulate}", accumulate=accumulate, ema=None, optimizer="sgd", lr=1e-4)
        job = replace(job, method=build_method("mld", protocol=protocol))
        fit(job, model, LiveSource(make_model()), QUIET)
        found.append(model.state_dict())
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-5), name


def test_terms_that_see_a_piece_of_the_batch_are_named(make_job, make_model):
    told = io.StringIO()
    fit(make_job(method="mdkd", accumulate=4), make_model(), LiveSource(make_model()), Console(file=told, width=200))
    assert "bd2, bd3, bd4 see 4 images at a time, not the whole batch of 16" in told.getvalue()
    told = io.StringIO()
    fit(make_job("plain", accumulate=4), make_model(), None, Console(file=told, width=200))
    assert "at a time" not in told.getvalue()


ONE_AT_A_TIME = [
    ({"batch_size": 4, "accumulate": 4}, 64, r"a step of 4 images, `accumulate` 4"),
    ({"batch_size": 1}, 64, r"a step of 1 images, `accumulate` 1"),
    ({"batch_size": 16, "accumulate": 2}, 3, r"a step of 2 of the 3 images, `accumulate` 2"),
]


@pytest.mark.parametrize(("settings", "images", "told"), ONE_AT_A_TIME)
def test_one_image_at_a_time_is_refused_before_the_start_where_there_are_batchnorms(
    make_job, make_model, tint_dataset, settings, images, told
):
    job = make_job(train=tint_dataset(images), **settings)
    for start in (lambda: fit(job, make_model(), None, QUIET), lambda: estimate(job, make_model(), None)):
        with pytest.raises(ConfigError, match=rf"student: BatchNorm would see one image at a time \({told}\)"):
            start()


def test_one_image_at_a_time_is_enough_without_batchnorms(make_job, tint_dataset):
    torch.manual_seed(0)
    model = build_from_spec(ModelSpec(name="timm/convnext_atto"), 3)
    job = make_job(train=tint_dataset(8), epochs=1, batch_size=2, accumulate=2)
    assert fit(job, model, None, QUIET).is_file()
