"""Recipes: every packaged one is valid, every mistake names the file and the key."""

import json
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
import yaml
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.models import build_from_spec
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError, DataError

BASE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 40, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 20, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {"model": {"name": "timm/test_efficientnet"}, "train": {"epochs": 1, "batch_size": 8}, "accept": True},
    "student": {"model": {"name": "timm/test_efficientnet"}, "train": {"epochs": 1, "batch_size": 8}},
    "method": "mdkd",
}


@pytest.fixture
def write(tmp_path):
    def make(**changes):
        path = tmp_path / "recipe.yaml"
        content = {**BASE, "output": str(tmp_path / "runs"), **changes}
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return make


def student(**train):
    return {"model": {"name": "shufflenetv2"}, "train": {"epochs": 1, **train}}


STILL = {"backbone": {"freeze_epochs": "all"}, "head": {"freeze_epochs": 2}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"studnet": {}}, r"unknown key `studnet`\. Did you mean `student`\? Allowed here: baseline, data"),
        ({"student": student(lr_max=1)}, r"unknown key `student\.train\.lr_max`"),
        ({"student": student(epochs="ten")}, r"`student\.train\.epochs`: expected `int`, got `str`"),
        ({"student": student(epochs=0)}, r"`student\.train\.epochs`: expected `int` >= 1"),
        ({"student": student(lr=-1.0)}, r"`student\.train\.lr`: expected `float` > 0"),
        ({"student": student(augment=["flop"])}, r"`student\.train\.augment\.name`: unknown augmentation 'flop'"),
        (
            {"student": {"model": {"name": "shufflenetv2", "pretrained": "no.pth"}, "train": {"epochs": 1}}},
            "is no file",
        ),
        (
            {"export": {"targets": ["onnxruntime-gpu-int4"]}},
            r"`export\.targets`: unknown target 'onnxruntime-gpu-int4'",
        ),
        (
            {"export": {"thresholds": "best"}},
            r"`export\.thresholds`: thresholds 'best': give a probability such as 0\.5",
        ),
        ({"export": {"thresholds": 1.5}}, r"`export\.thresholds`: thresholds '1\.5': give a probability such as 0\.5"),
        ({"input": {"size": -3}}, r"`input\.size`"),
        ({"student": student(schedule="cosin")}, r"`student\.train\.schedule`: .* Allowed: onecycle, cosine, constant"),
        ({"student": student(parts=STILL)}, r"`student\.train\.parts` freezes all that there is in the first epoch"),
        (
            {"student": student(parts={"head": {"lr_scale": float("inf")}})},
            r"`student\.train\.parts\.head`: lr_scale inf",
        ),
        ({"student": None}, "the key `student` is required"),
        ({"input": {"std": [0, 1, 1]}}, r"`input`: std \[0\.0, 1\.0, 1\.0\] needs finite numbers above 0"),
        ({"student": {"model": {"name": "shuflenetv2"}, "train": {"epochs": 1}}}, "did you mean 'shufflenetv2'"),
        ({"method": "mkdk"}, r"`method\.name`: unknown method 'mkdk': did you mean 'mdkd'"),
        ({"method": {"name": "mdkd", "lambda": 1}}, r"unknown key `method\.lambda`"),
        ({"teacher": None}, "`method` learns from a teacher: add a `teacher:` section"),
        ({"teacher": {}}, "`teacher` needs one of `checkpoint`, `model`, `onnx`, `callable`, `scores`, and has none"),
        ({"name": "../evil"}, r"`name`: '\.\./evil' is no folder below the output folder"),
        ({"name": "group/../../evil"}, "is no folder below the output folder"),
        ({"name": "/tmp/evil"}, "is no folder below the output folder"),
        ({"output": "${NOWHERE_SET}/runs"}, "the environment variable NOWHERE_SET is not set"),
        ({"data": {**BASE["data"], "validation": 1.5}}, r"`data\.validation` is a share between 0 and 1"),
    ],
)
def test_mistakes_name_the_key(write, changes, message):
    path = write(**changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


CPSD = ("teacher=null", "method=cpsd")


@pytest.mark.parametrize(
    ("assignments", "key"),
    [
        (("student.int8={train: {loggers: [wandbb]}}",), "student.int8.train.loggers"),
        ((*CPSD, "tasks={train: {loggers: [wandbb]}}"), "tasks.train.loggers"),
        (("teacher.train.loggers=[wandbb]",), "teacher.train.loggers"),
        ((*CPSD, "tasks={train: {augment: [v2.Nothing]}}"), "tasks.train.augment"),
        (("student.int8={train: {mix: {name: cutmix}}}", "teacher.cache=true"), "student.int8.train.mix"),
        ((*CPSD, "tasks={train: {class_weights: {zero_solid: 2}}}"), "tasks.train.class_weights"),
        (("train.parts={backbone: {freeze_epochs: 1}, head: {freeze_epochs: 1}}",), "student.train.parts"),
    ],
)
def test_what_is_wrong_with_a_later_training_is_told_before_the_first(write, assignments, key):
    with pytest.raises(ConfigError, match=rf"`{re.escape(key)}`"):
        load_recipe(write(), assignments=assignments)


def test_a_teachers_augmentation_is_tried_at_its_own_size(write):
    crop = "teacher.train.augment=[{name: v2.RandomCrop, size: 48, padding: 8}]"
    load_recipe(write(), assignments=["teacher.input={size: 48}", crop])
    with pytest.raises(ConfigError, match=r"`teacher\.train\.augment`: makes torch\.uint8 \(3, 48, 48\) of an image"):
        load_recipe(write(), assignments=[crop])


def test_a_name_may_group_runs_in_folders(write, tmp_path):
    assert load_recipe(write(name="group/trial..2")).folder == tmp_path / "runs" / "group" / "trial..2"


def test_broken_yaml_names_the_line(tmp_path):
    (tmp_path / "r.yaml").write_text("name: x\ndata: [\n")
    with pytest.raises(ConfigError, match=r"r\.yaml, line 3: not valid YAML"):
        load_recipe(tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="no such recipe file"):
        load_recipe("does_not_exist")


def test_a_teacher_that_lacks_what_the_method_needs_is_refused_with_the_way_out(write):
    loaded = load_recipe(write(method="l2d"))
    with pytest.raises(
        ConfigError, match=r"teacher\.model\.branches: \[ml_decoder\].*edgedistill train .*recipe\.yaml"
    ):
        Experiment(loaded, Console(quiet=True)).teacher()


@pytest.mark.parametrize("head", ["linear", "ml_decoder"])
def test_l2d_with_a_taught_decoder_ships_only_the_recipes_head(write, head):
    teacher = {**BASE["teacher"], "model": {"name": "timm/test_resnet", "branches": ["ml_decoder"]}}
    taught = {**BASE["student"], "model": {"name": "timm/test_efficientnet", "head": head}}
    experiment = Experiment(load_recipe(write(method="l2d", teacher=teacher, student=taught)), Console(quiet=True))
    master = experiment.teacher()
    record = json.loads((experiment.folder / "teacher" / "metrics.jsonl").read_text())
    assert set(record["terms"]) == {"bce", "decoder_bce"}, "an untrained decoder would teach noise"
    trained = experiment.student(master)
    assert not trained.model.branches
    assert trained.card.model.head == head
    outputs = experiment.test(trained)
    assert outputs.logits.shape == (20, len(experiment.splits.train.classes))


def test_classes_of_a_csv_come_from_its_training_split(write, tmp_path):
    from PIL import Image

    for shade, name in enumerate("abcdef"):
        Image.new("RGB", (8, 8), (40 * shade,) * 3).save(tmp_path / f"{name}.jpg")
    (tmp_path / "train.csv").write_text("path,labels\na.jpg,cat;dog\nb.jpg,dog\nc.jpg,cat\nd.jpg,\n")
    (tmp_path / "test.csv").write_text("path,labels\ne.jpg,dog\nf.jpg,\n")
    data = {
        "train": {"format": "csv", "path": "train.csv"},
        "test": {"format": "csv", "path": "test.csv"},
        "validation": 0.5,
    }
    splits = Experiment(load_recipe(write(data=data)), Console(quiet=True)).splits
    assert splits.train.classes == splits.test.classes == ("cat", "dog")
    assert splits.test.labels.tolist() == [[0, 1], [0, 0]]
    (tmp_path / "test.csv").write_text("path,labels\na.jpg,dog\n")
    with pytest.raises(DataError, match="data.test: 1 of its images are in data.train too"):
        Experiment(load_recipe(write(data={**data, "validation": 0.25})), Console(quiet=True)).splits  # noqa: B018
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "b.jpg").read_bytes())
    (tmp_path / "test.csv").write_text("path,labels\ncopy.jpg,dog\n")
    with pytest.raises(DataError, match=r"data.test: 1 of its images are in data.train too \(.*copy.jpg"):
        Experiment(load_recipe(write(data={**data, "validation": 0.25})), Console(quiet=True)).splits  # noqa: B018
    (tmp_path / "test.csv").write_text("path,labels\ne.jpg,dog\n")
    with pytest.raises(DataError, match="data.test: 1 of its images are in data.validation too"):
        Experiment(load_recipe(write(data={**data, "validation": data["test"]})), Console(quiet=True)).splits  # noqa: B018


def test_a_network_of_ones_own_teaches_as_it_is(write, tmp_path):
    import torch
    from torchvision.models import shufflenet_v2_x0_5

    own = shufflenet_v2_x0_5(num_classes=20).eval()
    own(torch.randn(1, 3, 32, 32))
    torch.save(own.state_dict(), tmp_path / "own.pth")
    model = {"name": "shufflenetv2", "width": 0.5, "pretrained": "own.pth"}
    recipe = write(teacher={"model": model, "input": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}})
    teacher = Experiment(load_recipe(recipe), Console(quiet=True)).teacher()
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    normalised = (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert torch.allclose(teacher.model(teacher.model.normalize(images)).logits, own(normalised), atol=1e-4)
    torch.save(shufflenet_v2_x0_5(num_classes=7).state_dict(), tmp_path / "own.pth")
    with pytest.raises(ConfigError, match="holds no linear classifier .* the 20 classes of .* Add `teacher.train`"):
        Experiment(load_recipe(recipe), Console(quiet=True)).teacher()
    with pytest.raises(ConfigError, match="`teacher` needs `train`, or `model.pretrained`"):
        load_recipe(write(teacher={"model": {"name": "shufflenetv2"}}))


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_examples_are_valid(path, named_photographs):
    assert load_recipe(path).recipe.baseline


def test_a_seed_and_a_size_make_another_run(write):
    """Other pixels under the same labels must never be mistaken for a finished training."""
    small = Experiment(load_recipe(write()), Console(quiet=True))
    data = {**BASE["data"], "test": {**BASE["data"]["test"], "size": 48}}
    large = Experiment(load_recipe(write(data=data)), Console(quiet=True))
    from PIL import Image

    assert Image.open(small.test_files.images[0]).size != (48, 48)
    assert Image.open(large.test_files.images[0]).size == (48, 48)
    assert (
        small.splits.train.fingerprint()
        != Experiment(
            load_recipe(write(data={**data, "train": {**data["train"], "size": 48}})), Console(quiet=True)
        ).splits.train.fingerprint()
    )


def test_an_adopted_teacher_does_not_block_a_run_after_an_edit_of_the_export(write, tmp_path):
    import torch
    from torchvision.models import shufflenet_v2_x0_5

    torch.save(shufflenet_v2_x0_5(num_classes=20).state_dict(), tmp_path / "own.pth")
    teacher = {"model": {"name": "shufflenetv2", "width": 0.5, "pretrained": "own.pth"}, "accept": True}
    for images in (4, 2):
        experiment = Experiment(
            load_recipe(write(teacher=teacher, export={"selftest_images": images})), Console(quiet=True)
        )
        trained = experiment.student(experiment.teacher())
    backwards = tuple(reversed(trained.card.classes))
    turned = replace(trained, card=msgspec.structs.replace(trained.card, classes=backwards))
    assert experiment.test(turned).dataset.classes == backwards, "labels follow the checkpoint's order of classes"


def test_a_step_that_cannot_be_cut_into_equal_pieces_is_told_before_anything_runs():
    with pytest.raises(ConfigError, match=r"`student.train`: batch_size 32 .* 5 equal pieces"):
        load_recipe("demo", assignments=["train.accumulate=5"])
    with pytest.raises(ConfigError, match=r"`teacher.train`: batch_size 32"):
        load_recipe("demo", assignments=["teacher.train.accumulate=3"])


def test_a_seed_that_no_generator_takes_is_refused():
    with pytest.raises(ConfigError, match="seed"):
        load_recipe("demo", assignments=[f"seed={2**32}"])


def test_a_students_job_is_another_when_its_teacher_normalises_otherwise(tint_dataset):
    from edgedistill.distill.experiment.jobs import describe_job
    from edgedistill.distill.experiment.splits import Splits
    from edgedistill.distill.teacher_cache import CachedSource

    loaded = load_recipe("demo")
    splits = Splits(tint_dataset(8), tint_dataset(4, seed=1), tint_dataset(4, seed=2))

    def identity(**normalisation):
        torch.manual_seed(0)
        spec = loaded.recipe.student.model
        return describe_job(
            loaded,
            splits,
            title="student",
            folder=loaded.folder,
            checkpoint="student.safetensors",
            spec=spec,
            preprocessing=loaded.recipe.input.preprocessing(),
            settings=loaded.recipe.student.train,
            method=loaded.method(),
            seed=0,
            teacher=CachedSource(build_from_spec(spec, 3, **normalisation)).identity(),
        ).identity

    assert identity() == identity()
    assert identity() != identity(mean=(0.5, 0.5, 0.5))


def test_paths_typed_for_a_packaged_recipe_start_where_you_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.safetensors").touch()
    loaded = load_recipe("demo", assignments=["teacher={checkpoint: teacher.safetensors}"])
    assert loaded.resolve(loaded.recipe.teacher.checkpoint) == str(tmp_path / "teacher.safetensors")
