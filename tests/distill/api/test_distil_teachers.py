"""`distil`: what may teach, and how it is judged."""

import numpy as np
import onnx
import pytest
import torch
from jobs import tint_dataset, tint_teacher
from onnx import TensorProto, helper, numpy_helper
from plain_training import SMALL, Net, Pairs, teach
from rich.console import Console

from edgedistill.distill.api.teaching import Own, open_teacher
from edgedistill.distill.methods import build_method
from edgedistill.runtime.errors import ConfigError, DataError, EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing


def shares(images):
    """How strong each colour is, in another order than the data's."""
    assert images.dtype == np.uint8
    red, green, blue = (images.mean((1, 2)) / 255).T
    return np.stack([red, blue, green], axis=1)


def write_constant(path, logits):
    """An ONNX graph that says the same of every image."""
    make, no_weights = helper.make_node, np.zeros((3 * 32 * 32, len(logits)), np.float32)
    tensors = [numpy_helper.from_array(no_weights, "w"), numpy_helper.from_array(np.float32(logits), "b")]
    nodes = [make("Flatten", ["image"], ["flat"]), make("Gemm", ["flat", "w", "b"], ["logits"])]
    takes = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(logits)])
    graph = helper.make_graph(nodes, "constant", [takes], [gives], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


MAPPED = {"teacher_classes": ["r", "b", "g"], "class_map": {"0": "r", "1": "g", "2": "b"}}


def test_a_function_a_graph_and_a_file_teach_what_they_say(tmp_path):
    """The same scores, said in three ways, teach the same."""
    data, teacher = Pairs(), Net()
    with torch.no_grad():
        teacher.fc.weight.zero_()
        teacher.fc.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    write_constant(tmp_path / "t.onnx", [1.0, -2.0, 0.5])
    scores = np.tile(np.float32([[1.0, -2.0, 0.5]]), (48, 1))
    np.savez(tmp_path / "t.npz", ids=[f"train-{number}" for number in range(48)], scores=scores)
    given = {
        "network": (teacher, {}),
        "graph": (tmp_path / "t.onnx", {"teacher_scale": "logits"}),
        "file": (str(tmp_path / "t.npz"), {"teacher_scale": "logits"}),
        "function": (lambda images: scores[: len(images), [0, 2, 1]], {"teacher_scale": "logits", **MAPPED}),
    }
    found = {name: teach(tmp_path / name, None, one, data, **options) for name, (one, options) in given.items()}
    for name, student in found.items():
        for key, value in student.model.state_dict().items():
            torch.testing.assert_close(value, found["network"].model.state_dict()[key], msg=name)


def test_a_teacher_has_its_own_normalisation_and_size(tmp_path):
    seen, size = [], Preprocessing(size=(48, 40))
    watched = lambda images: seen.append(images.shape[1:]) or shares(images)  # noqa: E731
    teach(tmp_path, None, watched, teacher_input=size, teacher_scale="probabilities", **MAPPED)
    assert set(seen) == {(48, 40, 3)}
    plain = Net()
    plain.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    own = Own(None, (), None, None, None)
    source = open_teacher(plain, build_method("mld"), tint_dataset(4), SMALL, own, mixes=False, max_bad_share=0.0)
    white = source.network.normalize(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(white, torch.ones(1, 3, 32, 32))


def test_a_teacher_that_is_asked_per_image_is_shown_no_view(tmp_path, capsys):
    """Its own size, and half of the images mirrored, in one pass before the first step."""
    shown = []

    def watched(images):
        shown.append(images.copy())
        return shares(images)

    options = {"teacher_scale": "probabilities", "augment": ["flip", "cutout"], "epochs": 2, **MAPPED}
    data, size = Pairs(48), Preprocessing(size=(48, 48))
    teach(tmp_path / "a", None, watched, data, teacher_per_image={}, teacher_input=size, **options)
    pixels = np.concatenate([one for one in shown if len(one) > 1])
    assert pixels.shape == (24 + 2 * 48, 48, 48, 3), "validation, then images and mirror images"
    asked = {one.tobytes() for one in pixels[24:]}
    assert len(asked) == 2 * 48
    assert {one[:, ::-1].tobytes() for one in pixels[24:]} == asked

    larger = {"size": 40, "tta": ["flip"]}
    teach(tmp_path / "b", None, tint_teacher(), data, teacher_per_image=larger, console=Console(width=200))
    assert "teacher: validation mAP" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("teacher", "options", "said"),
    [
        (shares, {"teacher_scale": "logits", "teacher_per_image": {"size": 40}}, "is for networks: give this one"),
        (Net(), {"teacher_per_image": {}, "method": "pkt"}, "of a teacher that is asked per image scores are all"),
        (Net(), {"teacher_per_image": {}, "mix": {"name": "mixup"}}, "`mix` asks about mixed images"),
        (Net(), {"teacher_per_image": {"views": 2}}, "teacher_per_image.*views"),
        (Net(), {"teacher_per_image": {"size": 8}}, "`teacher_per_image.size`: 8 x 8 is too small"),
        ("t.npz", {"teacher_per_image": {}, "teacher_scale": "logits"}, "`teacher_per_image`: the scores of"),
        (shares, {}, 'say what the teacher gives: `teacher_scale="logits"` or'),
        (Net(), {"teacher_scale": "logits"}, "`teacher_scale` is for functions, graphs and files"),
        (shares, {"teacher_scale": "logits", "method": "rkd"}, "pooled features, and of this teacher scores"),
        (shares, {"teacher_scale": "logits", "class_map": {"9": "r"}}, "'9' is no class of the data"),
        ("none.npz", {"teacher_scale": "logits"}, "none.npz"),
        (Net(4), {"teacher_classes": ["a", "b", "c", "d"]}, "none of the data's classes has a counterpart"),
        (Net(), {"teacher_input": Preprocessing(size=(48, 48)), "method": "reviewkd", "student_maps": "body",
                 "teacher_maps": "body"}, "place by place, which have one size only"),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_one_line(tmp_path, teacher, options, said):
    with pytest.raises(EdgedistillError, match=said) as told:
        teach(tmp_path, None, teacher, **options)
    assert "\n" not in str(told.value)


def test_scores_of_other_images_are_refused_before_the_training(tmp_path):
    np.savez(tmp_path / "t.npz", ids=["a", "b"], scores=np.zeros((2, 3)))
    with pytest.raises(DataError, match="48 of 48 images of train have no scores"):
        teach(tmp_path / "run", None, tmp_path / "t.npz", teacher_scale="logits")


def test_a_teacher_that_knows_nothing_stops_the_call(tmp_path):
    with pytest.raises(ConfigError, match=r"no better than chance.*`accept_teacher=True`"):
        teach(tmp_path, accept_teacher=False)


def test_a_teacher_is_judged_by_the_classes_that_it_knows(tmp_path, capsys):
    """Of the one that it says nothing of all images would be alike."""
    options = {"teacher_scale": "probabilities", "teacher_classes": ["r", "b", "g"], "console": Console(width=200)}
    teach(tmp_path, None, shares, class_map={"0": "r", "1": "g", "2": []}, accept_teacher=False, **options)
    told = capsys.readouterr().out
    assert "teacher: validation mAP 100.00" in told
    assert "it says nothing of 1 of 3 classes (2)" in told


@pytest.mark.parametrize("validation", [0.25, Pairs(24, 1)])
def test_a_file_of_scores_is_judged_where_it_holds_the_validation_images(tmp_path, capsys, validation):
    noise = np.random.default_rng(0).normal(size=(96, 3))
    np.savez(tmp_path / "t.npz", ids=[f"train-{number}" for number in range(96)], scores=noise)
    options = {"teacher_scale": "logits", "validation": validation, "console": Console(width=200)}
    call = lambda **more: teach(tmp_path / "run", None, tmp_path / "t.npz", Pairs(96), **options, **more)  # noqa: E731
    if validation == 0.25:
        with pytest.raises(ConfigError, match=r"no better than chance.*`accept_teacher=True`"):
            call(accept_teacher=False)
        assert "teacher: validation mAP" in capsys.readouterr().out
    else:
        call(accept_teacher=False)
        assert "teacher: says nothing of the validation images, so that nobody knows" in capsys.readouterr().out
