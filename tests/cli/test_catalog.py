"""`edgedistill list` as documentation."""

import json

from edgedistill.distill.methods.reference import markdown


def test_the_page_of_the_methods_is_printed_as_it_is(command):
    assert command("list", "methods", "--markdown")[:2] == (0, markdown())
    code, _, err = command("list", "models", "--markdown")
    assert code == 2
    assert "--markdown is for methods, not models" in err


def test_what_is_wide_is_told_in_json_alone(command):
    assert "lambda_mld=10.0" in command("list", "methods", "--json")[1]
    table = command("list", "methods")[1]
    assert "bd2* bd3* bd4*" in table
    assert "lambda_mld" not in table


def test_a_data_set_is_told_in_one_sentence(command):
    rows = json.loads(command("list", "datasets", "--json")[1])
    assert len(rows) > 4
    assert [row["format"] for row in rows if not row["description"].endswith(".")] == []
