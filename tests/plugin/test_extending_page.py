"""docs/extending.md shows the very files that the other tests here install and run."""

import re
from pathlib import Path

from edgedistill.distill.engine.loggers import LOGGERS
from edgedistill.distill.methods import METHODS
from edgedistill.distill.models import BACKBONES
from edgedistill.export.builders import BUILDERS
from edgedistill.export.conversions import CONVERSIONS
from edgedistill.export.packages import PACKAGES
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.datasets import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
TOY = Path(__file__).parent / "edgedistill_toy"


def test_each_block_is_a_file_of_the_distribution_and_none_is_left_out():
    blocks = dict(re.findall(r"^`([\w.-]+)`\n\n```\w+\n(.*?)```$", PAGE, re.MULTILINE | re.DOTALL))
    files = {path.name: path for path in TOY.rglob("*") if path.suffix in (".py", ".toml", ".yaml")}
    del files["__init__.py"]
    assert blocks == {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def test_the_table_lists_every_registry_with_its_group():
    rows = dict(re.findall(r"^\| `(edgedistill\.\w+)` \| `[\w.]+\.(\w+)` \|", PAGE, re.MULTILINE))
    registries = {
        "BACKBONES": BACKBONES, "BACKENDS": BACKENDS, "BUILDERS": BUILDERS, "CONVERSIONS": CONVERSIONS,
        "FORMATS": FORMATS, "LOGGERS": LOGGERS, "METHODS": METHODS, "PACKAGES": PACKAGES,
    }  # fmt: skip
    assert rows == {registry.group: name for name, registry in registries.items()}
