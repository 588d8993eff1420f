"""Two processes with gloo are one process with the union of their batches."""

import io
import json
import os
import subprocess
import sys

import forked
import pytest
import torch.distributed.run
import two_processes
import yaml
from jobs import shared_job, tint_model, tint_teacher
from rich.console import Console
from safetensors.torch import load_file

from edgedistill.distill.engine import LiveSource, fit


def together(function, *arguments):
    """In two processes, which torchrun's environment makes one training."""
    environments = forked.torchrun_environments(2)
    for process in [forked.Forked(function, *arguments, **variables) for variables in environments]:
        ended = process.wait()
        assert ended.code == 0, ended.err[-3000:]


def test_gathered_terms_and_gradients_equal_those_of_the_union_batch():
    together(two_processes.everything_that_is_shared)


def test_two_processes_then_one_end_with_the_weights_of_one(tmp_path, one_thread):
    """In float64: in float32 the sums' order flips ReLUs, and the gradient of 53 layers differs by 0.4 %."""
    found = []
    for folder in ("alone", "shared"):
        job, told = shared_job(tmp_path / folder), io.StringIO()
        if folder == "shared":
            together(two_processes.training, job.folder)
        console = Console(file=told, width=500)
        checkpoint = fit(job, tint_model().double(), LiveSource(tint_teacher().double()), console)
        found.append((load_file(checkpoint), [json.loads(line) for line in (job.folder / "metrics.jsonl").open()]))
    assert "processes: 2 -> 1" in told.getvalue()
    (weights, records), (shared_weights, shared_records) = found
    for name, value in weights.items():
        assert (value - shared_weights[name]).abs().max() < 1e-8, name
    for one, other in zip(records, shared_records, strict=True):
        assert one["terms"] == pytest.approx(other["terms"], rel=1e-6)
        assert one["val_mAP"] == pytest.approx(other["val_mAP"], abs=1e-3)


@pytest.mark.slow
def test_torchrun_distils_from_the_command_line(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    digits = {"format": "digit_scenes", "size": 32}
    small = {
        "model": {"name": "timm/test_efficientnet"},
        "train": {"epochs": 1, "batch_size": 16, "augment": [], "workers": 0},
    }
    content = {
        "output": str(tmp_path / "runs"),
        "data": {
            "train": {**digits, "split": "train", "images": 40},
            "test": {**digits, "split": "test", "images": 20},
        },
        "input": {"size": 32},
        "teacher": {**small, "accept": True},
        "student": small,
        "method": "mld",
    }
    recipe.write_text(yaml.safe_dump(content))
    arguments = ["--standalone", "--nproc-per-node", "2", "-m", "edgedistill", "distill", str(recipe)]
    done = forked.Forked(torch.distributed.run.main, arguments, OMP_NUM_THREADS="1").wait()
    assert done.code == 0, done.err[-3000:]
    assert done.out.count("validation mAP") == 1, "one process speaks"
    assert (tmp_path / "runs" / "recipe" / "student" / "student.safetensors").is_file()


def test_what_runs_in_one_process_refuses_several_in_one_line():
    told = ""
    for variables in forked.torchrun_environments(2):
        refused = run([sys.executable, "-m", "edgedistill", "run", "demo"], **variables)
        assert refused.returncode == 2
        told += refused.stderr
    assert told.count("\n") == told.count("runs in one process, and torchrun started 2") == 1


def run(command, **environment):
    return subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
