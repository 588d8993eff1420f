"""What the command line's tests share: their helpers, and one study that has run."""

import os
import sys
from pathlib import Path

import pytest
import tiny_network
import yaml

sys.path.insert(0, str(Path(__file__).parent))

_NETWORK = {"name": "tiny"}
_STUDY = """
recipe: recipe.yaml
students:
  small:
  large: {student.model.name: timm/test_resnet}
methods:
  vanilla:
  strong: {method: {name: mld, lambda_mld: 5}}
seeds: [3, 4]
baseline: vanilla
"""


@pytest.fixture(scope="session")
def where(shared_folder, tinted_photographs, once) -> Path:
    """A folder with images, recipe.yaml and study.yaml, the same for all workers."""

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        tinted_photographs(folder, size=(32, 32), noise=200, tint=50)
        content = {
            "output": str(shared_folder / "study" / "runs"),
            "data": {
                "train": {"format": "csv", "path": "train.csv"},
                "test": {"format": "csv", "path": "test.csv"},
                "validation": 0.25,
            },
            "input": {"size": 32},
            "teacher": {
                "model": {**_NETWORK, "branches": ["calibration"]},
                "train": {"epochs": 1, "batch_size": 12, "workers": 0},
                "accept": True,
            },
            "student": {"model": _NETWORK, "train": {"epochs": 1, "batch_size": 12, "workers": 0}},
        }
        (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
        (folder / "study.yaml").write_text(_STUDY)

    return once(shared_folder / "study", write)


@pytest.fixture(scope="session")
def ran(where, shared_folder, once, command) -> Path:
    """The record after the small student's cells: the first in a process of its own, the others in this one."""

    def run(done: Path) -> None:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", "1")
            patch.setenv("EDGEDISTILL_PLUGINS", tiny_network.__name__)
            patch.setenv("PYTHONPATH", str(Path(tiny_network.__file__).parent), prepend=os.pathsep)
            for arguments in (["--only", "small/vanilla/3", "--jobs", "2"], ["--only", "small/*"]):
                code, _, err = command("study", where / "study.yaml", *arguments)
                assert code == 0, err
        torch.set_num_threads(threads)
        done.touch()

    once(shared_folder / "study.ran", run)
    return where / "runs" / "study.study.json"
