"""docs/models.md names all that a recipe's `model:` may hold."""

import re
from pathlib import Path

import pytest

from edgedistill.distill.methods import METHODS
from edgedistill.distill.models import ModelSpec
from edgedistill.distill.models.branches import BRANCHES
from edgedistill.distill.models.heads import HEADS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="an installed package has no docs")
def test_keys_heads_and_branches_are_all_there():
    tables = {}
    for row in re.findall(r"^\| (.*) \|$", PAGE.read_text(), re.MULTILINE):
        first, *others = (cell.strip() for cell in row.split("|"))
        if first.strip("`") in ("key", "head", "branches") and others[0] == "":
            found = tables[first.strip("`")] = {}
        else:
            found[first.strip("`")] = others
    assert set(tables["key"]) == set(ModelSpec.__struct_fields__)
    assert {name: others[-1] == "yes" for name, others in tables["head"].items()} == {
        name: head.gives == "embeddings" for name, head in HEADS.items()
    }
    readers = {
        name: {method for method in METHODS.names() if branch.gives in METHODS.get(method)().needs}
        for name, branch in BRANCHES.items()
    }
    assert {name: set(re.findall(r"\w+", others[-1])) for name, others in tables["branches"].items()} == readers
