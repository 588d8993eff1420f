"""Teachers by their scores: a file, an ONNX graph, a function, a network of other classes."""

import sys

import numpy as np
import onnx
import pytest
import timm
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.console import Console

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine.images import build_views
from edgedistill.distill.engine.world import ALONE
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.evaluation import finished_checkpoint
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.pipeline import Chain
from edgedistill.runtime.errors import ConfigError, DataError, EdgedistillError

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("red", "green", "blue")
NETWORK = {"name": "tiny"}
PROGRAM = '''
import numpy as np

def shares(images):
    """How strong each colour is, 0 to 1; one class more than ours has two names."""
    assert images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3)
    red, green, blue = (images.mean((1, 2)) / 255).T
    return np.stack([red, blue, 0 * red, green], axis=1)

shares.classes = ["rouge", "bleu", "noir", "green"]

def broken(images):
    raise RuntimeError("no connection")

def flat(images):
    return np.full((len(images), 3), 0.5)

def logits(images):
    return 20 * (images.mean((1, 2)) / 255 - 0.4)
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photographs whose present classes brighten their own channel; with labels in csv files."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 12)):
        labels = (rng.random((count, 3)) < 0.5).astype(int)
        rows = [",".join(("path", *CLASSES))]
        for number, present in enumerate(labels):
            pixels = rng.integers(0, 90, (32, 32, 3)) + 140 * present
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}{number}.png")
            rows.append(f"{split}{number}.png," + ",".join(map(str, present)))
        (folder / f"{split}.csv").write_text("\n".join(rows))
        scores = np.clip(0.1 + 0.8 * labels + rng.normal(0, 0.05, labels.shape), 0, 1)
        table = [f"{split}{number}.png," + ",".join(map(str, row)) for number, row in enumerate(scores)]
        (folder / f"{split}_scores.csv").write_text("\n".join(["id,red,green,blue", *table]))
    train, test = ((folder / f"{split}_scores.csv").read_text() for split in ("train", "test"))
    (folder / "scores.csv").write_text(train + "\n" + test.partition("\n")[2])
    (folder / "colour_program.py").write_text(PROGRAM)
    (folder / "leaves.py").write_text("raise SystemExit('no key')")
    (folder / "text.npz").write_text("no archive")
    (folder / "nan.csv").write_text("id,red,green,blue\ntrain0.png,0.1,nan,0.2")
    write_graph(folder / "colours.onnx")
    content = {
        "name": "any",
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.375,
        },
        "input": {"size": 32},
        "student": {"model": NETWORK, "train": {"epochs": 1, "batch_size": 20}},
        "method": "mld",
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder


def write_graph(path):
    """float32 (N, 3, 32, 32) -> the mean of each channel, four times as steep; names as our exports write them."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32) * 4, "weight")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "colours", [image], [scores], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def open_(data, tmp_path):
    """An experiment with this teacher; KEY=VALUE arguments change the recipe."""

    def make(teacher, *changes):
        section = "teacher=" + yaml.safe_dump(teacher, default_flow_style=True, width=10**6).strip()
        loaded = load_recipe(data / "recipe.yaml", assignments=[f"output={tmp_path}", section, *changes])
        return Experiment(loaded, Console(file=(tmp_path / "told.txt").open("w"), width=400))

    return make


KINDS = {
    "scores": {"scores": "scores.csv", "scale": "probabilities"},
    "onnx": {"onnx": "colours.onnx", "scale": "logits"},
    "callable": {
        "callable": "colour_program:shares",
        "scale": "probabilities",
        "class_map": {"red": "rouge", "blue": ["bleu", "noir"]},
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_learns_from_it_on_the_command_line(kind, data, tmp_path, command):
    section = "teacher=" + yaml.safe_dump(KINDS[kind], default_flow_style=True, width=10**6).strip()
    given = (data / "recipe.yaml", f"output={tmp_path}", section)
    code, out, err = command("distill", *given, "--dry-run")
    assert code == 0, err
    assert f"mld, {'scores' if kind == 'scores' else 'live'} teacher" in out
    assert ("the same for every view" in out) == (kind == "scores")
    code, out, err = command("distill", *given)
    assert code == 0, err
    assert "teacher: validation mAP 100.00" in err
    assert "on 24 images, where chance is " in err
    assert (tmp_path / "any" / "student" / "student.safetensors").is_file()
    code, out, err = command("evaluate", *given, "--teacher", "run")
    assert code == 0, err
    assert "mAP 100.00" in out


def test_what_outside_teachers_say_is_what_their_scores_are_as_logits(open_, data):
    """Probabilities are clamped; of several classes the highest counts; equal names need no entry."""
    teacher = open_(KINDS["callable"]).untrained_teacher().model
    images = torch.randint(256, (5, 32, 32, 3), dtype=torch.uint8)
    images[0], images[1, :, :, 2] = 255, 0
    said = teacher(teacher.normalize(images)).logits
    shares = images.float().mean((1, 2)) / 255
    expected = torch.logit(shares.double().clamp(1e-6, 1 - 1e-6)).float()
    torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-4)
    assert said[0, 0] == pytest.approx(13.8155, abs=1e-3)

    graph = open_({**KINDS["onnx"]}, "input.mean=[0, 0, 0]", "input.std=[1, 1, 1]").untrained_teacher().model
    torch.testing.assert_close(graph(graph.normalize(images)).logits, 4 * shares, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["onnx", "callable"])
def test_it_is_stored_like_a_network_and_another_program_is_another_cache(kind, open_, tmp_path):
    experiment = open_({**KINDS[kind], "cache": True}, "student.train.views=1")
    experiment.student(experiment.teacher())
    (cache,) = (tmp_path / "caches" / "teachers").iterdir()
    assert (cache / "logits.f16").stat().st_size == 40 * 3 * 2
    other = open_({**KINDS[kind], "scale": "logits", "class_map": {"red": 0, "green": 0, "blue": 0}})
    assert other.untrained_teacher().weights_sha256 != experiment.untrained_teacher().weights_sha256


def test_a_class_without_counterpart_is_not_taught_and_is_named(open_, tmp_path):
    experiment = open_({**KINDS["callable"], "class_map": {"red": "rouge", "blue": []}})
    teacher = experiment.teacher()
    experiment.console.file.flush()
    told = (tmp_path / "told.txt").read_text()
    assert "it says nothing of 1 of 3 classes (blue)" in told
    job, _, source, _ = experiment.training("student", teacher)
    opened = source.open(job, build_views(job), torch.device("cpu"), ALONE, Console(quiet=True))
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    targets = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.int8)
    said = opened(Batch(images, targets, torch.tensor([0, 1]), 0, []), images, targets)
    assert said.targets.tolist() == [[1, 0, -1], [0, 1, -1]]


def test_a_network_of_other_classes_teaches_ours(open_, data, tmp_path):
    """A checkpoint, and weights as they are: nine tags to three classes."""
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", num_classes=9).eval()
    torch.save(network.state_dict(), tmp_path / "tags.pth")
    tags = [f"tag{number}" for number in range(9)]
    section = {
        "model": {"name": "timm/test_efficientnet", "pretrained": str(tmp_path / "tags.pth")},
        "classes": tags,
        "class_map": {"red": ["tag1", "tag7"], "green": "tag4", "blue": "tag0"},
        "accept": True,
    }
    experiment = open_(section)
    teacher = experiment.teacher()
    images = torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8)
    normalised = teacher.model.normalize(images)
    own = network(normalised)
    expected = torch.stack([own[:, [1, 7]].amax(1), own[:, 4], own[:, 0]], dim=1)
    torch.testing.assert_close(teacher.model(normalised).logits, expected, rtol=1e-4, atol=1e-5)
    stored = open_({"checkpoint": str(teacher.path), "class_map": section["class_map"], "accept": True})
    assert torch.equal(stored.teacher().model(normalised).logits, teacher.model(normalised).logits)
    experiment.student(teacher)
    beside = finished_checkpoint(experiment, "teacher")
    assert np.array_equal(experiment.test(beside).logits, experiment.test(teacher).logits)
    with pytest.raises(ConfigError, match=r"other classes than train.* `teacher.class_map`"):
        open_({"checkpoint": str(teacher.path)}).teacher()


def test_images_without_scores_are_named_counted_and_refused_where_they_are_many(open_, data, tmp_path):
    lines = (data / "scores.csv").read_text().splitlines()
    lacking = open_(KINDS["scores"]).splits.train.ids[7]
    (data / "some.csv").write_text("\n".join(line for line in lines if not line.startswith(f"{lacking},")))
    experiment = open_({"scores": "some.csv", "scale": "probabilities"}, "data.max_bad_share=0.05")
    experiment.student(experiment.teacher())
    experiment.console.file.flush()
    told = (tmp_path / "told.txt").read_text()
    assert f"student: 1 of 40 training images have no scores ({lacking}, ...): the teacher says nothing of them" in told
    (data / "some.csv").write_text("\n".join(lines[:30]))
    experiment = open_({"scores": "some.csv", "scale": "probabilities"}, "name=few")
    with pytest.raises(DataError, match=r"training part\) have no scores .*its ids are like 'train0.png'"):
        experiment.untrained_teacher()  # before anything is trained, and by --dry-run


def test_a_teacher_that_knows_nothing_stops_a_run_before_its_baseline_is_trained(open_, data, tmp_path):
    header, *rows = (data / "scores.csv").read_text().splitlines()
    wrong = [",".join([row.split(",")[0], *(str(1 - float(cell)) for cell in row.split(",")[1:])]) for row in rows]
    (data / "wrong.csv").write_text("\n".join([header, *wrong]))
    experiment = open_({"scores": "wrong.csv", "scale": "probabilities"}, "baseline=true")
    with pytest.raises(ConfigError, match="no better than chance"):
        Chain(experiment.loaded, experiment.console).run()
    assert not (experiment.folder / "baseline").exists()


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_other_files_say_the_same(suffix, open_, data):
    rows = [line.split(",") for line in (data / "scores.csv").read_text().splitlines()]
    ids, values = [row[0] for row in rows[1:]], np.array([row[1:] for row in rows[1:]], np.float64)
    if suffix == "npz":
        mirrored = {"scores": values[:, ::-1], "classes": np.array(CLASSES[::-1])}
        np.savez(data / "scores.npz", ids=np.array(ids).astype(bytes), **mirrored)
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
        from pyarrow import parquet

        columns = {"id": ids, **dict(zip(CLASSES, values.T, strict=True))}
        parquet.write_table(pyarrow.table(columns), data / "scores.parquet")
    found = open_({"scores": f"scores.{suffix}", "scale": "probabilities"}).untrained_teacher().model
    expected = open_(KINDS["scores"]).untrained_teacher().model
    assert found.rows == expected.rows
    torch.testing.assert_close(found.logits, expected.logits)


def test_parquet_without_pyarrow_says_what_to_install(open_, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (data / "absent.parquet").touch()
    with pytest.raises(EdgedistillError, match=r'pip install "edgedistill\[parquet\]", or write .npz or .csv'):
        open_({"scores": "absent.parquet", "scale": "logits"}).teacher()


@pytest.mark.parametrize(
    ("teacher", "changes", "message"),
    [
        ({"scores": "scores.csv"}, [], "`teacher.scores` needs `teacher.scale: logits` or `probabilities`"),
        ({"scores": "scores.csv", "onnx": "colours.onnx"}, [], "`teacher` needs one of .* has `onnx` and `scores`"),
        ({"scores": "none.csv", "scale": "logits"}, [], "`teacher.scores`: .*none.csv is no file"),
        (KINDS["scores"], ["method=l2d"], "reads the teacher's embeddings, and of `teacher.scores` scores are all"),
        (KINDS["onnx"], ["method=rkd"], "reads the teacher's pooled features, and of `teacher.onnx` scores are all"),
        (KINDS["scores"], ["student.start=teacher"], "continues a network, and this teacher shows none"),
        ({**KINDS["onnx"], "train": {"epochs": 1}}, [], "`teacher.train` trains a `teacher.model`"),
        ({**KINDS["callable"], "class_map": {"rde": "rouge"}}, [], "'rde' is no class of the data. Did you mean 'red'"),
        ({**KINDS["callable"], "class_map": {"red": "roug"}}, [], "'roug' is none of the teacher's 4 .*mean 'rouge'"),
        ({"callable": "colour_program:none", "scale": "logits"}, [], "cannot be imported .*no attribute 'none'"),
        ({"callable": "colour_program:broken", "scale": "logits"}, [], "broken: failed .RuntimeError: no connection"),
        ({"callable": "colour_program:logits", "scale": "probabilities"}, [], "no probabilities: set .*scale: logits"),
        ({"onnx": "colours.onnx", "scale": "logits", "classes": ["a", "b"]}, [], "3 scores, and 2 class names"),
        ({**KINDS["onnx"], "classes": ["a", "a", "b"]}, [], "yaml.*`teacher.classes`: the class 'a' is listed twice"),
        ({**KINDS["onnx"], "input": {"size": 8}}, [], "`teacher.input.size`: 8 x 8 is too small"),
        ({**KINDS["onnx"], "input": {"std": [1, 0, 1]}}, [], "`teacher.input`: std .* needs finite numbers above 0"),
        ({**KINDS["scores"], "cache": True}, [], "`teacher.cache` has no effect on scores"),
        ({"checkpoint": "recipe.yaml", "classes": ["a"]}, [], "`teacher.classes` are in the checkpoint already"),
        ({"callable": "colour_program", "scale": "logits"}, [], "'colour_program' is not written as package.module:f"),
        ({"callable": "leaves:score", "scale": "logits"}, [], "cannot be imported .SystemExit: no key"),
        (KINDS["scores"], ["student.int8={train: {mix: {name: mixup}}}"], "`student.int8.train.mix` asks the teacher"),
        ({"scores": "text.npz", "scale": "logits"}, [], "text.npz: is no .npz, or damaged: np.savez"),
        ({"scores": "nan.csv", "scale": "logits"}, [], "the scores of 1 of 1 images are NaN .*first of 'train0.png'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_a_line(open_, teacher, changes, message):
    with pytest.raises(EdgedistillError, match=message) as told:
        open_(teacher, *changes).teacher()
    assert "\n" not in str(told.value)
