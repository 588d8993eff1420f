"""`list recipes`: some hundred recipes are found by what they are."""

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from edgedistill.cli.recipe_list import recipe_overview
from edgedistill.distill.recipe.papers.rows import paper_recipes


def names(command, *wanted):
    code, out, _ = command("list", "recipes", *wanted, "--json")
    assert code == 0
    return [row["recipe"] for row in json.loads(out)]


def test_all_recipes_are_on_a_few_screens_with_their_figures_and_the_way_to_fewer(command):
    code, out, _ = command("list", "recipes")
    assert code == 0
    lines = out.splitlines()
    assert len(names(command)) > 250
    assert len(lines) < 90
    assert max(map(len, lines)) <= 160
    (line,) = [line for line in lines if line.startswith("mdkd/voc_resnet50_resnet18 ")]
    assert "mdkd 87.01" in line
    assert "edgedistill list recipes voc" in out
    assert any(line.startswith("demo") for line in lines)


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_of_a_terminal_breaks_between_a_method_and_its_figure(width):
    drawn = io.StringIO()
    recipes = list(paper_recipes("mdkd").values())
    recipe_overview(recipes, Console(file=drawn, width=width, force_terminal=True, highlight=False))
    lines = [Text.from_ansi(line).plain.rstrip() for line in drawn.getvalue().partition("\n\n")[0].splitlines()]
    assert max(map(len, lines)) <= width
    for recipe in recipes:
        if recipe.mean_ap is not None:
            assert any(f"{recipe.method} {recipe.mean_ap:.2f}" in line for line in lines), recipe.name


def test_recipes_are_found_by_text_and_by_every_part(command):
    both = ["--paper", "l2d", "--dataset", "coco", "--teacher", "resnet101", "--student", "resnet34"]
    variants = ["l2d", "l2d_no_id", "l2d_no_cd", "l2d_linear"]
    assert names(command, *both, "--method", "l2d") == [f"l2d/coco_resnet101_resnet34_{one}" for one in variants]
    assert names(command, *both, "--method", "l2d_no_id") == ["l2d/coco_resnet101_resnet34_l2d_no_id"]
    assert names(command, "nuswide_resnet34") == ["l2d/nuswide_resnet34_vanilla", "mdkd/nuswide_resnet34_vanilla"]
    assert names(command, "demo") == ["demo"]


def test_the_rows_without_a_teacher_are_found_too(command):
    pair = ["--student", "mobilenetv2"]
    alone = names(command, *pair, "--teacher", "none")
    labels_alone = names(command, *pair, "--method", "vanilla")
    assert alone == [name for name in labels_alone if not name.endswith("_self")], "self-distillation has one"
    assert len(alone) > 1


def test_a_row_says_what_is_published_and_where(command):
    _, out, _ = command("list", "recipes", "mdkd/coco_resnet101_resnet34_mdkd", "--method", "mdkd")
    (line,) = [line for line in out.splitlines() if line.startswith("mdkd/coco_resnet101_resnet34_mdkd ")]
    where = "MDKD, Table 1; MDKD, Table 4"
    assert " ".join(line.split()) == f"mdkd/coco_resnet101_resnet34_mdkd 73.35 {where}"
    _, out, _ = command("list", "recipes", "cpsd/nuswide_resnet101_sd")
    assert out.splitlines()[1].split()[:2] == ["cpsd/nuswide_resnet101_sd", "-"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("--dataset", "voc7"), "no packaged recipe has the dataset 'voc7'. Did you mean 'voc'? There are coco,"),
        (("--dataset", "nuswide", "--method", "ud"), "no packaged recipe has dataset 'nuswide' and method 'ud'"),
        (("no_such",), "no packaged recipe has 'no_such' in its name: `edgedistill list recipes` shows all."),
    ],
)
def test_what_is_not_there_is_told_with_what_is(command, wanted, message):
    code, _, err = command("list", "recipes", *wanted)
    assert code == 2
    assert message in " ".join(err.split())


def test_other_listings_take_no_filter(command):
    code, _, err = command("list", "models", "--student", "resnet18")
    assert code == 2
    assert "pick recipes, not models" in " ".join(err.split())
