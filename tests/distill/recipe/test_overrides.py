"""KEY=VALUE arguments change a recipe as an edit of its file would, and a mistake in one says so."""

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.distill.recipe.load import load_recipe
from edgedistill.distill.recipe.overrides import apply_assignments, parse_assignment
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.yaml_text import parse_yaml

BASE = {
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 40, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 20, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {"model": {"name": "shufflenetv2"}, "train": {"epochs": 1}},
    "student": {"model": {"name": "shufflenetv2", "width": 0.5}, "train": {"epochs": 1, "augment": ["flip", "cutout"]}},
    "method": "mdkd",
}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(BASE))
    return path


def changed(path, *assignments):
    return load_recipe(path, assignments=assignments).recipe


def applied(content, *texts):
    return apply_assignments(content, [parse_assignment(text) for text in texts])


def test_values_are_typed_as_in_the_file(recipe):
    found = changed(
        recipe,
        "train.epochs=10",
        "teacher.train.epochs=4",
        "student.train.lr=1e-3",
        "train.ema=null",
        "train.augment=[shift]",
        "data.validation={format: digit_scenes, split: validation, images: 8}",
        "name=trial=2",
        "baseline=true",
        "export.bench=demo",
    )
    assert (found.student.train.epochs, found.teacher.train.epochs) == (10, 4)
    assert found.student.train.lr == 0.001
    assert found.student.train.augment == ["shift"]
    assert found.data.validation["images"] == 8
    assert (found.name, found.baseline, found.export.bench) == ("trial=2", True, "demo")
    assert found.student.model.width == 0.5, "what is not named stays"


def test_a_method_by_name_takes_a_hyperparameter(recipe):
    assert changed(recipe, "method.max_order=3").method == {"name": "mdkd", "max_order": 3}
    assert load_recipe(recipe, assignments=["method.max_order=3"]).method().max_order == 3
    loss = load_recipe(recipe, assignments=["method.supervised=asl", "method.supervised.clip=0.1"]).method().supervised
    assert (loss.name, loss.clip, loss.gamma_neg) == ("asl", 0.1, 4.0)
    assert changed(recipe, "method=mld").method == "mld"
    assert changed(recipe, "method={name: mld, supervised: bce}", "method.name=mdkd").method["name"] == "mdkd"
    assert changed(recipe, "teacher=null", "method=vanilla").teacher is None


def test_elements_of_a_list_by_index(recipe):
    assert changed(recipe, "train.augment.0=shift").student.train.augment == ["shift", "cutout"]
    assert changed(recipe, "train.augment.1.factor=0.25").student.train.augment[1] == {"name": "cutout", "factor": 0.25}


def test_the_last_of_two_holds_and_nothing_given_is_changed():
    content = {"method": {"name": "mdkd"}}
    texts = ["seed=1", "method={name: mld}", "method.a=1", "seed=2"]
    assignments = [parse_assignment(text) for text in texts]
    for _ in range(2):
        assert apply_assignments(content, assignments) == {"method": {"name": "mld", "a": 1}, "seed": 2}
    assert content == {"method": {"name": "mdkd"}}


def test_the_result_equals_the_edited_file(recipe, tmp_path):
    edited = tmp_path / "edited" / "recipe.yaml"
    edited.parent.mkdir()
    student = {**BASE["student"], "train": {"epochs": 7, "augment": ["flip", "cutout"]}}
    edited.write_text(yaml.safe_dump({**BASE, "student": student, "method": {"name": "mdkd", "lambda_mld": 5}}))
    loaded = load_recipe(recipe, assignments=["train.epochs=7", "method.lambda_mld=5"])
    assert loaded.recipe == load_recipe(edited).recipe
    assert loaded.digest() == load_recipe(edited).digest()
    assert loaded.command("train") == f"edgedistill train {recipe} train.epochs=7 method.lambda_mld=5"


def test_variables_in_a_value_are_expanded(recipe, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEDISTILL_RUNS", str(tmp_path / "elsewhere"))
    assert changed(recipe, "output=${EDGEDISTILL_RUNS}/a").output == f"{tmp_path}/elsewhere/a"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(categories=["L", "N"])),
)


@given(SCALARS)
def test_a_scalar_as_yaml_or_json_writes_it_is_read_back(value):
    assert parse_assignment(f"a.b={msgspec.json.encode(value).decode()}").value == value
    if not isinstance(value, str):  # safe_dump leaves "1e3" unquoted: YAML 1.1 takes it for text
        assert parse_assignment(f"a.b={yaml.safe_dump(value)}").value == value
    assert applied({"a": {"c": 1}}, f"a.b={msgspec.json.encode(value).decode()}") == {"a": {"b": value, "c": 1}}


@pytest.mark.parametrize("text", ["1e-3", "1E+3", "-.5e2", "1.e2", "3e0", "1.5e-07"])
def test_exponents_are_numbers_without_a_dot(text):
    assert parse_yaml(f"{{lr: {text}}}") == {"lr": float(text)}


@pytest.mark.parametrize("text", ["e3", "1e", "v1e3", "1e3x", "'1e3'", ".e3"])
def test_text_stays_text(text):
    assert parse_yaml(text) == text.strip("'")


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["epochs"], "command line: `epochs` is no KEY=VALUE, such as train.epochs=10."),
        (["=5"], "command line: `=5`: `` is no key"),
        (["train..epochs=5"], "command line: `train..epochs=5`: `train..epochs` is no key"),
        (["train.augment=[flip"], "command line: `train.augment=[flip`: the value is not valid YAML (expected ',' or"),
        (["train.augment.2=flip"], "`train.augment.2=flip`: the list `student.train.augment` holds 0 to 1, not '2'"),
        (["train.augment.-1=flip"], "the list `student.train.augment` holds 0 to 1, not '-1'"),
        (["teacher.train.augment.0=flip"], "`teacher.train.augment` is no list in the recipe; give the whole list"),
        (["data.validation.format=csv"], "command line: `data.validation.format=csv`: `data.validation` is 0.25 in"),
    ],
)
def test_an_assignment_that_cannot_be_made(recipe, assignments, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe, assignments=assignments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignments", "mistaken", "message"),
    [
        (["seed=1", "train.epochs=ten"], "train.epochs=ten", "`student.train.epochs`: expected `int`, got `str`."),
        (["train.epochs=0", "seed=1"], "train.epochs=0", "`student.train.epochs`: expected `int` >= 1."),
        (["train.lr_max=1"], "train.lr_max=1", "unknown key `student.train.lr_max`."),
        (["studnet.train.lr=1"], "studnet.train.lr=1", "unknown key `studnet`. Did you mean `student`?"),
        (["method.max_ordr=3"], "method.max_ordr=3", "unknown key `method.max_ordr`. Did you mean `max_order`?"),
        (["method=mkdk"], "method=mkdk", "`method.name`: unknown method 'mkdk': did you mean 'mdkd'"),
        (["student=null"], "student=null", "`student`: expected `object`, got `null`."),
        (["teacher=null"], "teacher=null", "`method` learns from a teacher: add a `teacher:` section."),
        (["train.augment.0=flop"], "train.augment.0=flop", "`student.train.augment.name`: unknown augmentation 'flop'"),
        (["output=${NOWHERE_SET}"], "output=${NOWHERE_SET}", "the environment variable NOWHERE_SET is not set"),
        (["export.targets=[nowhere]"], "export.targets=[nowhere]", "`export.targets`: unknown target 'nowhere'"),
        (["train.lr=a", "train.lr=b"], "train.lr=a train.lr=b", "`student.train.lr`: expected `float`, got `str`."),
    ],
)
def test_a_mistake_names_the_assignment_that_makes_it(recipe, assignments, mistaken, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe, assignments=assignments)
    assert str(caught.value).startswith(f"{recipe} with {mistaken} from the command line: {message}")
    assert "\n" not in str(caught.value)


def test_a_mistake_of_the_file_is_not_laid_on_the_command_line(recipe):
    recipe.write_text(yaml.safe_dump({**BASE, "seed": "one"}))
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe, assignments=["train.epochs=2"])
    assert str(caught.value) == f"{recipe}: `seed`: expected `int`, got `str`."
    assert load_recipe(recipe, assignments=["seed=1"]).recipe.seed == 1
