"""Pooled features of a data set."""

import numpy as np
import pytest
import torch
from jobs import tint_dataset, tint_model

from edgedistill.distill.engine import predict_logits
from edgedistill.distill.engine.evaluate import real_float32
from edgedistill.distill.engine.features import predict_features
from edgedistill.distill.models import MergedTeacher
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError, DataError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = Preprocessing(size=(32, 32))


def test_one_pass_gives_logits_and_the_mean_of_the_last_map():
    model, data, steps = tint_model(), tint_dataset(11), []
    model.train()
    found = predict_features(model, data, SMALL, batch_size=4, progress=lambda *at: steps.append(at))
    assert model.training
    assert steps == [(4, 11), (8, 11), (11, 11)]
    assert found.dataset is data
    np.testing.assert_allclose(found.logits, predict_logits(model, data, SMALL).logits, atol=1e-5)
    with torch.inference_mode():
        maps = model.eval().backbone(model.normalize(torch.from_numpy(data.images)))[-1]
    assert found.pooled.dtype == np.float32
    np.testing.assert_allclose(found.pooled, maps.mean((2, 3)), atol=1e-5)


def test_images_that_cannot_be_decoded_are_left_out_of_everything(tmp_path):
    data = tint_dataset(3)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    images = [data.images[0], tmp_path / "broken.jpg", data.images[2]]
    mixed = Dataset("mixed", data.classes, data.ids, images, data.labels)
    found = predict_features(tint_model(), mixed, SMALL, max_bad_share=0.5)
    assert found.dataset.ids == (data.ids[0], data.ids[2])
    assert (len(found.pooled), len(found.logits), len(found.skipped)) == (2, 2, 1)
    assert data.ids[1] in found.skipped[0]
    with pytest.raises(DataError):
        predict_features(tint_model(), mixed, SMALL, max_bad_share=0.0)


def test_a_merged_teacher_has_no_features():
    merged = MergedTeacher([[(np.arange(3), tint_model())]], 3)
    with pytest.raises(ConfigError, match="merged from several networks has no features of its own"):
        predict_features(merged, tint_dataset(2), SMALL)


def test_an_evaluation_on_a_gpu_takes_no_tf32():
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [kind.fp32_precision for kind in kinds]
    with real_float32(torch.device("cuda")):
        assert [kind.fp32_precision for kind in kinds] == ["ieee", "ieee"]
    assert [kind.fp32_precision for kind in kinds] == before
