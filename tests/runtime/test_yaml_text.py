"""What is written as YAML is read back as it was."""

import pytest

from edgedistill.runtime.yaml_text import format_yaml, parse_yaml


@pytest.mark.parametrize(
    "value", ["1e3", "1E-3", "+1e5", ".5e1", "1e", "e3", "null", "0012", 1e-3, 1e30, 3, None, True]
)
def test_texts_stay_texts_and_numbers_numbers(value):
    found = parse_yaml(format_yaml({"name": value}))["name"]
    assert found == value
    assert type(found) is type(value)


def test_people_may_write_a_rate_without_a_dot():
    assert parse_yaml("lr: 1e-3") == {"lr": 1e-3}
