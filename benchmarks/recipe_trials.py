"""Do the papers' recipes train as they stand? Two steps of each at its full size, on synthetic photographs.

    python benchmarks/recipe_trials.py                              # all, which takes hours on a CPU
    python benchmarks/recipe_trials.py 'ud/voc_*' 'mdkd/*_swin_*'   # those whose names match

Networks, input size, augmentation, losses and rates are the recipe's. Otherwise are: a batch of 2, one epoch of two
steps, no ImageNet weights, and for CPSD two subsets, each with a network of the full size. Exit code 1 where one fails.
"""

import argparse
import contextlib
import gc
import json
import math
import os
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from recipe_data import write_data
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe.load import build_recipe
from edgedistill.distill.recipe.packaged import read_content
from edgedistill.distill.recipe.papers.rows import paper_recipes
from edgedistill.runtime.errors import EdgedistillError

_SHORT = {"epochs": 1, "schedule_epochs": None, "batch_size": 2, "workers": 0, "loggers": []}
_VALIDATION = 0.375  # three of the eight photographs; of the five others an epoch takes two steps


@contextlib.contextmanager
def synthetic_data() -> Iterator[Path]:
    """A folder for runs, in which the data sets are that the recipes' variables name."""
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        os.environ.update(write_data(Path(folder) / "data"))
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


def shortened(name: str, output: Path) -> dict[str, Any]:
    """A paper's recipe as plain data, for two steps."""
    content, _, _ = read_content(name)
    content["output"] = str(output)
    content["data"]["validation"] = _VALIDATION
    for section in (content["student"], content.get("teacher")):
        if section is not None:
            section["model"]["pretrained"] = None
            section["train"] |= _SHORT
    if "teacher" in content:
        content["teacher"]["accept"] = True
    if "tasks" in content:
        content["tasks"] |= {"accept": True, "train": content["tasks"].get("train", {}) | {"epochs": 1}}
        if "k" in content["method"]:
            content["method"]["k"] = 2
    return content


def try_recipe(name: str, output: Path) -> dict[str, float]:
    """Train it; the student's terms.

    Raises:
        EdgedistillError: it cannot be trained, or a step was skipped, or a term is not finite.
    """
    experiment = Experiment(build_recipe(shortened(name, output), name, output), Console(quiet=True))
    experiment.student(experiment.teacher())
    records = (experiment.folder / "student" / "metrics.jsonl").read_text().splitlines()
    last = json.loads(records[-1])
    terms: dict[str, float] = last["terms"]
    odd = [term for term, value in terms.items() if not math.isfinite(value)]
    if odd or last["skipped_steps"]:
        raise EdgedistillError(f"{name}: {last['skipped_steps']} steps were skipped; not finite: {', '.join(odd)}.")
    return terms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    arguments = parser.parse_args()
    names = [name for name in paper_recipes() if any(fnmatchcase(name, pattern) for pattern in arguments.patterns)]
    if not names:
        raise SystemExit(f"no recipe is called {' or '.join(arguments.patterns)}: `edgedistill list recipes`")
    failed = []
    with synthetic_data() as folder:
        for number, name in enumerate(names, start=1):
            try:
                terms = try_recipe(name, folder / "runs")
                said = ", ".join(f"{term} {value:.4g}" for term, value in terms.items())
            except (EdgedistillError, RuntimeError) as error:
                failed.append(name)
                said = f"FAILED: {error}"
            print(f"[{number}/{len(names)}] {name}: {said}", flush=True)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if failed:
        raise SystemExit(f"{len(failed)} of {len(names)} failed: {', '.join(failed)}")
    print(f"all {len(names)} train")


if __name__ == "__main__":
    main()
