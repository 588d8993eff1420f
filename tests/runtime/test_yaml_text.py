"""What is written as YAML is read back as it was, and what people write is read as they mean it or refused."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime.config import Config, decode, read_yaml
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.yaml_text import format_yaml, parse_yaml

TEXTS = ["1e3", "1E-3", "+1e5", ".5e1", "1e", "e3", "null", "0012", "0089", "-.5", "0o17", "0x1F", "1:30", "2024-01-01"]
WORDS = [
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "n",
    "true",
    "~",
    "",
    " cat",
    "<<",
    "=",
    "- x",
    "#",
    "a: b",
    "*a",
    "&a",
    "!x",
    "\t",
]


@pytest.mark.parametrize("value", [*TEXTS, *WORDS, 1e-3, 1e30, 3, None, True, -math.inf, 10**30])
def test_texts_stay_texts_and_numbers_numbers(value):
    written = format_yaml({"name": value})
    found = parse_yaml(written)["name"]
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, str):
        assert yaml.safe_load(written)["name"] == value  # readers of YAML 1.1


NAMES = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(value=PLAIN)
def test_plain_data_survives(value):
    assert parse_yaml(format_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("[yes, no, on, off, Yes, NO, y, n]", ["yes", "no", "on", "off", "Yes", "NO", "y", "n"]),
        ("[true, False, TRUE]", [True, False, True]),
        ("[2024-01-01, 2001-12-14t21:59:43.10-05:00]", ["2024-01-01", "2001-12-14t21:59:43.10-05:00"]),
        ("[12:30, 190:20:30.5]", ["12:30", "190:20:30.5"]),
        ("[0012, 09, 0o17, 0x1F]", [12, 9, 15, 31]),
        ("[1_000, 0b11]", ["1_000", "0b11"]),
        ("[None, nan, null, ~]", ["None", "nan", None, None]),
        ("{a: &d {x: 1, y: 2}, b: {<<: *d, y: 3}}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_what_people_mean(text, value):
    assert parse_yaml(text) == value


BOMB = "a0: &a0 [x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000))
FAULTY = {
    "a: 1\nb: 2\na: 3": "line 3: not valid YAML (the key 'a' stands there twice, first on line 1)",
    "a:\n  b: 1\n  'b': 2": "line 3: not valid YAML (the key 'b' stands there twice, first on line 2)",
    "1: a\n1.0: b": "line 2: not valid YAML (the key '1.0' stands there twice",
    BOMB: "aliases make more than 1,000,000 values of it",
    MERGES: "aliases make more than 1,000,000 values of it",
    CHAIN: "aliases nest it more than 100 deep",
    "a: &a [*a]": "the alias 'a' stands in itself",
    "a: " + "[" * 100_000: "line 1: not valid YAML (nested more than 100 deep)",
    "- " * 100_000: "nested more than 100 deep",
    "a:\n\tb: 1": "line 2: not valid YAML (found character '\\t' that cannot start any token)",
    "a: 1\nb: \x07": "line 2: not valid YAML (the character '\\x07' is not allowed)",
    "a: !!int x": "'x' cannot be read as int",
    "a: !!timestamp x": "cannot be read as timestamp",
    "a: " + "9" * 5000: "cannot be read as int",
    "? [a]\n: 1": "unhashable key",
    "? !!seq a\n: 1": "unhashable key",
    "a: 1\n---\nb: 2": "line 2: not valid YAML (but found another document)",
    "a: *b": "undefined alias",
    "a: !!python/object:os.system x": "could not determine a constructor",
    "- a": "expected a mapping of keys at the top, found list",
    "": "expected a mapping of keys at the top, found NoneType",
}


@pytest.mark.parametrize("text", FAULTY, ids=range(len(FAULTY)))
def test_a_faulty_file_gives_one_line_with_file_and_line(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert FAULTY[text] in str(caught.value)
    assert "\n" not in str(caught.value)


class Options(Config):
    names: list[str] = []
    flip: bool = False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("names: [cat, true]", "`names[1]`: expected `str`, got `bool`. Put it in quotes if it is meant as text."),
        ("names: [cat, null]", "`names[1]`: expected `str`, got `null`. Put it in quotes if it is meant as text."),
        ("names: [12]", "`names[0]`: expected `str`, got `int`. Put it in quotes if it is meant as text."),
        ("flip: yes", "`flip`: expected `bool`, got `str`. Write true or false."),
        ("1: 2", "`the file`: a key is not text; put it in quotes."),
        ('"a\\nb": 2', "unknown key `a\\nb`. Allowed here: flip, names."),
    ],
)
def test_a_value_of_another_type_says_what_to_write(text, expected):
    with pytest.raises(ConfigError) as caught:
        decode(parse_yaml(text), Options, where="recipe.yaml")
    assert str(caught.value) == f"recipe.yaml: {expected}"


def test_words_of_yaml_1_1_are_class_names():
    assert decode(parse_yaml("names: [yes, no, on, off, 2024-01-01, None, nan]"), Options, where="x").names == [
        "yes",
        "no",
        "on",
        "off",
        "2024-01-01",
        "None",
        "nan",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    (tmp_path / "recipe.yaml").write_text("name: vélo\r\n", encoding=encoding)
    assert read_yaml(tmp_path / "recipe.yaml") == {"name": "vélo"}


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=60) | st.text("ab:-[]{},&*!?|>%@ \n\t'\"#<~01.", max_size=40).map(str.encode))
def test_any_bytes_give_a_mapping_or_a_config_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        found = read_yaml(path)
    except ConfigError as error:
        found = error
    assert isinstance(found, dict) or "\n" not in str(found)
