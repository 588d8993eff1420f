"""Each network has the mean and deviation that its weights learned with, unless the recipe says otherwise."""

import pytest
import yaml

from edgedistill.distill.models import ModelSpec
from edgedistill.distill.models.library_inputs import other_inputs, own_normalisation
from edgedistill.distill.recipe.inputs import student_preprocessing, teacher_preprocessing
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

HALF = (0.5, 0.5, 0.5)
LITE = {"name": "timm/tf_efficientnet_lite1", "pretrained": "imagenet"}
DIGITS = {"format": "digit_scenes", "split": "train", "images": 20}
BASE = {
    "name": "own",
    "data": {"train": DIGITS, "test": {**DIGITS, "split": "test"}},
    "student": {"model": {"name": "mobilenetv2", "pretrained": "imagenet"}, "train": {"epochs": 1}},
    "teacher": {"model": LITE, "train": {"epochs": 1}},
    "method": "mld",
}


@pytest.fixture
def opened(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(BASE))
    return lambda *changes: load_recipe(tmp_path / "recipe.yaml", assignments=changes).recipe


def numbers(preprocessing):
    return preprocessing.mean, preprocessing.std


@pytest.mark.parametrize(
    ("changes", "teacher", "student"),
    [
        ([], (HALF, HALF), (IMAGENET_MEAN, IMAGENET_STD)),
        (["input.mean=[0, 0, 0]"], ((0, 0, 0), HALF), ((0, 0, 0), IMAGENET_STD)),
        (["teacher.input.mean=[0.1, 0.1, 0.1]"], ((0.1, 0.1, 0.1), HALF), (IMAGENET_MEAN, IMAGENET_STD)),
        (["teacher.model.pretrained=null"], (IMAGENET_MEAN, IMAGENET_STD), (IMAGENET_MEAN, IMAGENET_STD)),
        (["student.start=teacher", f"student.model={{name: {LITE['name']}}}"], (HALF, HALF), (HALF, HALF)),
    ],
)
def test_the_recipe_says_it_or_the_library_does(opened, changes, teacher, student):
    recipe = opened(*changes)
    assert numbers(teacher_preprocessing(recipe)) == teacher
    assert numbers(student_preprocessing(recipe)) == student


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("timm/tf_efficientnet_lite1", HALF, HALF),
        ("timm/vit_tiny_patch16_224", HALF, HALF),
        ("torchvision/resnet50", IMAGENET_MEAN, IMAGENET_STD),
        ("tresnet_l", (0, 0, 0), (1, 1, 1)),
        ("mobilenetv2", IMAGENET_MEAN, IMAGENET_STD),
    ],
)
def test_a_file_is_taken_to_be_the_librarys(name, mean, std):
    assert own_normalisation(ModelSpec(name=name, pretrained="some.pth")) == (mean, std)
    assert own_normalisation(ModelSpec(name=name)) == (IMAGENET_MEAN, IMAGENET_STD)


def test_what_else_is_different_about_the_librarys_images_is_told():
    lite = ModelSpec(**LITE)
    own = "240x240 px, bicubic resizing, the middle 88 % of a side, mean 0.5, std 0.5"
    assert other_inputs(lite, Preprocessing(size=(224, 224))) == own
    same = Preprocessing(size=(240, 240), interpolation="bicubic", mean=HALF, std=HALF)
    assert other_inputs(lite, same) == "the middle 88 % of a side"
    assert other_inputs(ModelSpec(name=LITE["name"]), Preprocessing(size=(224, 224))) == ""
