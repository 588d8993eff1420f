"""Plain modules and data sets: what is taken, what is refused, and that it is the recipe's training."""

import pickle
import threading
import time

import numpy as np
import onnx
import pytest
import torch
from jobs import CLASSES, tint_dataset, tint_job, tint_model, tint_teacher
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.console import Console
from torch import nn

from edgedistill.distill import distil, load_student
from edgedistill.distill.api.datasets import as_dataset, to_pixels
from edgedistill.distill.api.teaching import Own, open_teacher
from edgedistill.distill.engine import fit
from edgedistill.distill.methods import build_method
from edgedistill.distill.models.plain import as_classifier
from edgedistill.distill.teacher_cache.source import CachedSource
from edgedistill.distill.teacher_cache.spec import dataset_digest
from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.errors import CheckpointError, ConfigError, DataError, EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

QUIET = Console(quiet=True)
SMALL = Preprocessing(size=(32, 32))


class Pairs(torch.utils.data.Dataset):
    """(image, labels) of the tints, in a form that a test chooses."""

    def __init__(self, count=48, seed=0, form=lambda pixels: pixels):
        self.tints, self.form = tint_dataset(count, seed), form

    def __len__(self):
        return len(self.tints)

    def __getitem__(self, index):
        return self.form(self.tints.images[index]), self.tints.labels[index]


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, classes)

    def forward(self, images):
        return self.fc(self.body(images).mean((2, 3)))


def teach(folder, student=None, teacher=None, data=None, **options):
    options = {
        "method": "mld",
        "epochs": 1,
        "batch_size": 16,
        "input": 32,
        "console": QUIET,
        "accept_teacher": True,
        **options,
    }
    torch.manual_seed(0)
    parts = data or Pairs(), options.pop("validation", Pairs(24, 1))
    return distil(student or Net(), teacher or tint_teacher(), *parts, folder=folder, **options)


@pytest.mark.parametrize(
    "form",
    [
        lambda pixels: pixels,
        Image.fromarray,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        lambda pixels: np.float32(pixels) / 255,
    ],
    ids=["array", "pillow", "tensor", "floats", "float array"],
)
def test_an_images_form_does_not_matter(form):
    dataset = as_dataset(Pairs(form=form), CLASSES, "train")
    assert all((one == other).all() for one, other in zip(dataset.images, tint_dataset(48).images, strict=True))
    assert (dataset.labels == tint_dataset(48).labels).all()


def test_a_subset_reads_nothing_and_keeps_its_images():
    reads = []
    data = Pairs(form=lambda pixels: reads.append(0) or pixels)
    dataset = as_dataset(data, CLASSES, "train")
    reads.clear()
    part = dataset.subset([5, 2]).subset([1])
    part.fingerprint()
    assert not reads
    assert (part.images[0] == tint_dataset(48).images[2]).all()
    assert part.ids == ("train-2",)


def test_labels_at_hand_spare_the_pass_and_a_changed_image_is_noticed():
    whole = Pairs()
    whole.labels = torch.from_numpy(whole.tints.labels)
    before = as_dataset(whole, CLASSES, "train").fingerprint()
    assert before == as_dataset(Pairs(), CLASSES, "train").fingerprint()
    changed = Pairs(form=lambda pixels: pixels ^ 1)
    assert before != as_dataset(changed, CLASSES, "train").fingerprint()


class Signed(Pairs):
    """Keeps its labels as 1 and -1, and gives them as 1 and 0."""

    def __init__(self, count=48):
        super().__init__(count)
        self.labels = 2 * self.tints.labels - 1


@pytest.mark.parametrize("most", [4096, 8])
def test_what_items_say_counts_more_than_a_matrix_beside_them(monkeypatch, most):
    monkeypatch.setattr("edgedistill.distill.api.datasets._ALL", most)
    monkeypatch.setattr("edgedistill.distill.api.datasets._SAMPLED", 4)
    signed = as_dataset(Signed(), CLASSES, "train")
    assert (signed.labels == tint_dataset(48).labels).all()
    assert signed.fingerprint() == as_dataset(Pairs(), CLASSES, "train").fingerprint()
    counted = Pairs()
    counted.labels = 3 * counted.tints.labels  # no labels at all
    assert (as_dataset(counted, CLASSES, "train").labels == counted.tints.labels).all()


def test_classes_in_another_order_are_brought_to_the_training_parts(tmp_path):
    """Validation labels would else be those of other classes, and select another epoch."""
    ordered, turned, others = Pairs(24, 1), Pairs(24, 1), Pairs(24, 1)
    turned.classes, others.classes = ("blue", "red", "green"), ("blue", "red", "grey")
    found = as_dataset(turned, CLASSES, "validation")
    assert found.classes == CLASSES
    assert (found.labels == as_dataset(ordered, CLASSES, "validation").labels[:, [1, 2, 0]]).all()
    named = Pairs()
    named.classes = CLASSES
    with pytest.raises(DataError, match=r"validation: its classes differ from the expected 3: missing 'green'; extra"):
        teach(tmp_path, data=named, validation=others)
    assert as_dataset(turned, ("0", "1", "2"), "validation").classes == ("0", "1", "2")


def test_what_is_learned_selects_no_epoch(tmp_path):
    """Two loaders around one data set, and splits of ours that share images, as in a recipe."""
    one, other = (torch.utils.data.DataLoader(Pairs(), batch_size=4, shuffle=shuffle) for shuffle in (True, False))
    with pytest.raises(ConfigError, match="`train` and `validation` are the same data"):
        teach(tmp_path, data=one, validation=other)
    tints = tint_dataset(48)
    with pytest.raises(DataError, match="validation: 8 of its images are in train too"):
        teach(tmp_path, data=tints, validation=tints.subset(range(8), "validation"))


def test_a_store_of_a_teachers_outputs_asks_for_no_image_to_be_known(tmp_path):
    reads = []
    data = as_dataset(Pairs(form=lambda pixels: reads.append(0) or pixels), CLASSES, "train")
    reads.clear()
    dataset_digest(data, np.arange(48)[::-1], tmp_path / "digests.json", remember=True)
    assert not reads


def test_it_is_the_training_of_a_recipe(tmp_path):
    """The same network, data, teacher and settings as a job give the same weights."""
    settings = {"epochs": 2, "batch_size": 16, "lr": 3e-3, "augment": ["shift", "cutout"], "ema": 0.9}
    student = distil(
        tint_model(), tint_teacher(), tint_dataset(64), tint_dataset(32, seed=1, name="validation"),
        method="mld", input=32, folder=tmp_path / "api", seed=3, console=QUIET, accept_teacher=True, **settings,
    )  # fmt: skip
    expected = load_student(
        fit(tint_job(tmp_path / "job", method="mld"), tint_model(), CachedSource(tint_teacher()), QUIET)
    ).model.state_dict()
    found = student.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert student.card.model.name == "timm/test_efficientnet"
    assert load_student(student.path).weights_sha256 == student.weights_sha256  # its name builds it


def test_a_plain_module_is_trained_in_place_and_loads_into_another(tmp_path):
    mine = Net()
    student = teach(tmp_path, mine)
    assert student.model.backbone.model is mine
    again = load_student(student.path, network=Net())
    assert again.weights_sha256 == student.weights_sha256
    with pytest.raises(CheckpointError, match=r"load_student\(path, network=...\)"):
        load_student(student.path)
    with pytest.raises(CheckpointError, match=r"do not fit the given Sequential: it lacks backbone\.model\.1\.weight"):
        load_student(student.path, network=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))


def test_the_same_call_does_nothing_twice_and_another_is_refused(tmp_path):
    first = teach(tmp_path)
    written = first.path.stat().st_mtime_ns
    assert teach(tmp_path).weights_sha256 == first.weights_sha256
    assert first.path.stat().st_mtime_ns == written
    with pytest.raises(CheckpointError, match="another"):
        teach(tmp_path, lr=1e-3)


@pytest.mark.parametrize("method", ["rkd", "pkt", "reviewkd"])
def test_maps_by_name_teach(tmp_path, method):
    student = teach(tmp_path, teacher=Net(), method=method, student_maps="body", teacher_maps="body")
    assert student.model.has_maps
    assert not [name for name in student.model.state_dict() if "review" in name]


def test_a_loader_gives_its_data_set(tmp_path):
    loader = torch.utils.data.DataLoader(Pairs(), batch_size=4, shuffle=True)
    assert teach(tmp_path, data=loader).card.classes == ("0", "1", "2")
    weighted = torch.utils.data.DataLoader(Pairs(), sampler=torch.utils.data.WeightedRandomSampler([1.0] * 48, 48))
    with pytest.raises(ConfigError, match="WeightedRandomSampler would not be used"):
        teach(tmp_path, data=weighted)
    collating = torch.utils.data.DataLoader(Pairs(), collate_fn=lambda items: items)
    with pytest.raises(ConfigError, match="train: the loader's `collate_fn` would not be used: give the data set"):
        teach(tmp_path, data=collating)
    dropping = torch.utils.data.DataLoader(Pairs(), batch_size=5, drop_last=True)
    with pytest.raises(ConfigError, match="validation: the loader's `drop_last` would not be used"):
        as_dataset(dropping, None, "validation")


class InDict(Net):
    """As networks of other libraries give what they find."""

    def forward(self, images):
        return {"logits": super().forward(images)}


class Squashed(Net):
    """As a network trained by `BCELoss` has it."""

    def __init__(self, squash=torch.sigmoid):
        super().__init__()
        self.squash = squash

    def forward(self, images):
        return self.squash(super().forward(images))


@pytest.mark.parametrize(
    ("squash", "said"),
    [
        (torch.sigmoid, "ends in a sigmoid"),
        (nn.Hardsigmoid(), "ends in a hard sigmoid"),
        (lambda logits: logits.softmax(1).unsqueeze(0)[0], "ends in a softmax"),
    ],
)
@pytest.mark.parametrize("whose", ["student", "teacher"])
def test_probabilities_are_no_logits(tmp_path, squash, said, whose):
    with pytest.raises(ConfigError, match=rf"the {whose} Squashed {said} and gives probabilities: training takes"):
        teach(tmp_path, **{whose: Squashed(squash)})


def test_probabilities_of_a_hidden_end_are_told(caplog):
    hidden = Squashed(lambda logits: logits.detach().sigmoid())
    as_classifier(hidden, 3, SMALL, who="teacher")
    assert "the teacher Squashed gives values from 0." in caplog.text
    assert "Are they probabilities?" in caplog.text
    caplog.clear()
    as_classifier(Squashed(lambda logits: 20 * logits.detach()), 3, SMALL)
    as_classifier(Squashed(lambda logits: logits.flatten(1)), 3, SMALL)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epoch": 3}, r"did you mean `epochs`\?$"),
        ({"student_map": "body"}, "did you mean `student_maps`"),
        ({"learning_rate": 1}, "it is `lr`"),
        ({"temperature": 3}, 'a method has it: `method={"name": "mld", "temperature": ...}`.$'),
        ({"lambda_cd": 3}, 'a method has it: `method={"name": "l2d", "lambda_cd": ...}`.$'),
        ({"augment": [nn.Identity()]}, "a list of names or mappings"),
        ({"student": "mobilenetv2"}, "a torch.nn.Module, is wanted"),
        ({"method": "rkd", "student_maps": "body", "teacher": Net()}, 'teacher_maps="layer4"'),
        ({"method": "mlt"}, "mld"),
        ({"input": 32.0}, r"`input` is 32\.0: a side in pixels, \(height, width\) or a Preprocessing"),
        ({"input": (32, 0)}, r"`input` is \(32, 0\)"),
        ({"input": True}, "`input` is True"),
        ({"teacher_input": 32}, "`teacher_input` is 32: a Preprocessing is wanted"),
        ({"classes": "abc"}, "`classes`: expected `array | null`, got `str`"),
        ({"teacher_classes": ["a", 3]}, r"`teacher_classes\[1\]`: expected `str`, got `int`"),
        ({"class_map": {"0": {"a": 1}}}, r"`class_map\[...\]`: expected `int | str | array`"),
        ({"teacher_maps": 5}, "`teacher_maps`: "),
        ({"seed": -1}, "`seed`: expected `int` >= 0"),
        ({"max_bad_share": 2.0}, "`max_bad_share`: expected `float` <= 1"),
        ({"method": None}, "`method`: "),
        ({"validation": 10}, "`validation` is 10: give data, or a share of `train`"),
        ({"method": "cpsd"}, "write a recipe, which `edgedistill distill`"),
        ({"student": Net(5)}, r"gives \(1, 5\) for one image, and the data have 3 classes"),
        ({"student": InDict()}, "InDict gives a dict for one image.* Wrap it in a module that returns them alone"),
        ({"student": Net().half()}, r"student's weights are float16 \(.*\), and are wanted in float32: call `.float"),
        ({"teacher": Net().bfloat16()}, "the teacher's weights are bfloat16"),
        ({"method": "l2d", "teacher": Net(), "teacher_maps": "body"}, r"no embeddings.*branches=\[\"ml_decoder\"\]"),
        ({"method": "ud", "teacher": tint_model()}, r"no calibration logits.*branches=\[\"calibration\"\]"),
        ({"student": nn.Linear(2, 3)}, "does not take an image of 32 x 32 px"),
        ({"student_maps": "trunk"}, "no submodule 'trunk'; its own are: body, fc"),
        ({"student_maps": "fc"}, "'fc' gives no feature map"),
        ({"method": "rkd", "teacher": Net()}, "feature maps"),
        ({"teacher": tint_model(), "classes": ("a", "b", "c", "d")}, "3 labels an image, and 4 class names"),
        ({"data": iter([])}, "no length"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path, options, said):
    with pytest.raises((ConfigError, DataError), match=said):
        teach(tmp_path, **options)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.randn(3, 8, 8), "normalised already"),
        (torch.full((3, 8, 8), 254.0), "divide by 255"),
        (np.zeros((8, 8), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
    ],
)
def test_images_that_cannot_be_shown_are_named(image, said):
    with pytest.raises(DataError, match=f"item 7.*{said}"):
        to_pixels(image, "item 7")


def test_a_file_that_cannot_be_read_is_named_and_skipped(tmp_path):
    gone = []
    data = as_dataset(Pairs(form=lambda pixels: Image.open(gone[0]) if gone else pixels), CLASSES, "train")
    gone.append(tmp_path / "none.jpg")
    with pytest.raises(DataError, match=r"train: item 3 cannot be read \(FileNotFoundError: .*none\.jpg"):
        data.images[3]
    with pytest.raises(DataError, match="train: item 0 cannot be read"):
        as_dataset(Pairs(form=lambda pixels: Image.open(gone[0])), CLASSES, "train")
    batches = decode_batches(data.images[:2], SMALL, 8, ids=data.ids[:2], max_bad_share=1.0)
    assert list(batches) == []
    assert [image.id for image in batches.skipped] == ["train-0", "train-1"]
    assert "none.jpg" in batches.skipped[0].reason


def test_threads_that_decode_ask_for_one_item_at_a_time():
    """As of a data set that reads one open file."""
    inside = threading.Lock()

    def read(pixels):
        assert inside.acquire(blocking=False), "another thread reads"
        time.sleep(0.002)
        inside.release()
        return pixels

    data = as_dataset(Pairs(form=read), CLASSES, "train").subset(range(24))
    (batch,) = decode_batches(data.images, SMALL, 24, threads=4)
    assert (batch.images == tint_dataset(48).images[:24]).all()
    plain = as_dataset([(pixels, labels) for _, pixels, labels in tint_dataset(8)], CLASSES, "train")
    sent = pickle.loads(pickle.dumps(plain.subset([7]).images))  # to a loading process
    assert (sent[0] == plain.images[7]).all()


def test_labels_that_are_none_are_named():
    with pytest.raises(DataError, match="train: the labels of item 0 are"):
        as_dataset([(np.zeros((8, 8, 3), np.uint8), [0, 2])], None, "train")


def test_a_network_keeps_its_modes():
    network = Net().train()
    network.fc.eval()
    as_classifier(network, 3, SMALL)
    assert network.body.training
    assert not network.fc.training


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mix": {"name": "mixup"}, "method": {"name": "mld", "supervised": "pal"}}, "`mix`: the loss 'pal' ranks"),
        ({"class_weights": "inverse_frequency", "method": {"name": "mld", "supervised": "pal"}}, "'pal' ranks"),
        ({"class_weights": {"3": 2.0}}, "no class '3'"),
    ],
)
def test_what_the_method_does_not_know_is_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        teach(tmp_path, **options)


def test_classes_are_weighed_as_in_a_recipe(tmp_path):
    plain, weighed = (teach(tmp_path / f"{w}", class_weights={"0": w}).weights_sha256 for w in (1.0, 5.0))
    assert plain != weighed


def test_networks_can_be_taught_on_and_teach_again(tmp_path):
    """Nothing of the call stays on them: not what it froze, and not which branches it had no use for."""
    teacher = tint_model(("ml_decoder", "calibration"))
    parts = {"backbone": {"freeze_epochs": "all"}}
    for method in ("l2d", "ud"):
        teach(tmp_path / method, teacher=teacher, student=tint_model(), method=method)
    student = teach(tmp_path / "frozen", teacher=teacher, student=tint_model(), parts=parts).model
    assert all(parameter.requires_grad for parameter in student.parameters())
    before = student.state_dict()["backbone.model.conv_stem.weight"].clone()
    teach(tmp_path / "on", student)
    assert not torch.equal(student.state_dict()["backbone.model.conv_stem.weight"], before)
    teach(tmp_path / "teacher", teacher)


def test_what_a_method_adds_begins_as_the_seed_has_it(tmp_path):
    found = []
    for state in (0, 1):
        student, teacher = tint_model(), tint_teacher()
        torch.manual_seed(state)
        options = {"method": "reviewkd", "epochs": 1, "batch_size": 16, "input": 32, "console": QUIET}
        options["accept_teacher"] = True
        found.append(distil(student, teacher, Pairs(), Pairs(24, 1), folder=tmp_path / f"{state}", **options))
    assert found[0].weights_sha256 == found[1].weights_sha256


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


@pytest.mark.parametrize(
    ("teacher", "options", "said"),
    [
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


def test_a_finished_training_says_so(tmp_path, capsys):
    teach(tmp_path)
    teach(tmp_path, console=Console())
    assert "is finished; its result is read from" in capsys.readouterr().out
