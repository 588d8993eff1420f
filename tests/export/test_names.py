"""Names that people give and files are called after: what cannot be is told before the work, not by the manifest."""

import numpy as np
import pytest

from edgedistill.export.references import write_references
from edgedistill.export.requested import resolve_targets
from edgedistill.runtime.bundle.check import path_problem
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import Target


def target(name: str) -> Target:
    return Target(name=name, backend="onnxruntime", precision="fp32")


@pytest.mark.parametrize("names", [("Kiosk", "kiosk"), ("STRASSE", "straße")])
def test_targets_whose_files_would_be_one_on_some_systems_are_refused(names):
    with pytest.raises(ConfigError, match=f"the target {names[1]} is given twice"):
        resolve_targets([target(name) for name in names])


@pytest.mark.parametrize("name", ["nul", "Com1", "kiosk\u200b", "x" * 252])
def test_a_name_that_no_file_can_have_everywhere_is_refused(name):
    with pytest.raises(ConfigError, match="is not possible on every system"):
        resolve_targets([target(name)])


def test_splits_of_any_name_are_stored_apart(student, tmp_path):
    pixels = np.zeros((1, *student.card.preprocessing.size, 3), np.uint8)
    classes = student.card.classes
    from edgedistill.export.sources.pytorch import from_student

    source = from_student(student)
    logits = source.logits(pixels)
    splits = []
    for row, name in enumerate(("test-2", "Test", "test", "con", "?", "long" * 100)):
        labels = np.full((1, len(classes)), row % 2, np.int8)
        splits.append((Dataset(name, classes, (f"{name}.jpg",), pixels, labels), logits))
    records, images = write_references(splits, source, tmp_path)
    paths = [record.file.path for record in records]
    assert len({path.casefold() for path in paths}) == len(images) == len(splits)
    assert not any(map(path_problem, paths))
    assert all((tmp_path / path).is_file() for path in paths)
