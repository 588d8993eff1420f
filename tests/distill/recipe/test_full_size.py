"""The papers' recipes train at their full size: networks, input and losses as they stand, two steps of two images."""

import importlib.util
import sys
from pathlib import Path

import pytest

from edgedistill.distill.recipe.papers.rows import find_paper_recipe, paper_recipes

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CHEAPEST = {
    "l2d/voc_resnet50_resnet18_l2d",
    "mdkd/voc_resnet50_resnet18_mdkd",
    "ud/voc_resnet101_resnet18_ud",
    "cpsd/coco_resnext50_cgpd",
}


@pytest.fixture(scope="module")
def trials():
    """benchmarks/recipe_trials.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        spec = importlib.util.spec_from_file_location("recipe_trials", BENCHMARKS / "recipe_trials.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "recipe_trials", module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def folder(trials):
    with trials.synthetic_data() as made:
        yield made


def marked(name: str):
    """One of each paper is `slow` too, which CI runs."""
    marks = [pytest.mark.recipes, *([pytest.mark.slow] if name in CHEAPEST else [])]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in paper_recipes()])
def test_it_trains_for_two_steps(name, trials, folder, tmp_path):
    terms = trials.try_recipe(name, tmp_path)
    method = find_paper_recipe(name).kind
    assert terms
    assert method == "vanilla" or len(terms) > 1 or "kd" in terms, "the teacher takes part"


def test_a_trial_changes_neither_networks_nor_input_nor_method(trials, folder, tmp_path):
    for name in paper_recipes():
        short, full = trials.shortened(name, tmp_path), trials.read_content(name)[0]
        for role in {"student", "teacher"} & full.keys():
            assert short[role]["model"] == full[role]["model"] | {"pretrained": None}, name
            kept = full[role]["train"].keys() - {"epochs", "schedule_epochs", "batch_size"}
            assert {key: short[role]["train"][key] for key in kept} == {key: full[role]["train"][key] for key in kept}
        assert short["input"] == full["input"]
        assert short["method"] == full["method"] | ({"k": 2} if "k" in full["method"] else {})
