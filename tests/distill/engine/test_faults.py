"""What PyTorch says about memory, determinism and compilation becomes one line with the way out; bugs stay bugs."""

import pytest
import torch
from rich.console import Console

from edgedistill.distill.engine import fit
from edgedistill.distill.engine.faults import explained
from edgedistill.runtime.errors import EdgedistillError, MissingDependencyError


def test_a_gpu_that_is_too_small_is_told_with_the_way_out():
    told = r"student: the GPU's memory is too small .*`batch_size`.*`accumulate`"
    with pytest.raises(EdgedistillError, match=told), explained("student"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")


def test_an_operation_without_a_deterministic_form_is_named():
    torch.use_deterministic_algorithms(True)
    try:
        told = "`deterministic: true` cannot be kept: .*kthvalue"
        with pytest.raises(EdgedistillError, match=told), explained("student"):
            raise RuntimeError("kthvalue CUDA does not have a deterministic implementation")
        with explained("student"):
            torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8), torch.rand(2, 3, 3, 3))
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_compiler_that_is_missing_is_told(make_job, make_model, monkeypatch):
    whole = torch.nn.Module.compile

    def backend(graph, inputs):
        raise FileNotFoundError("g++")

    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: whole(module, backend=backend))
    with pytest.raises(MissingDependencyError, match=r"student: `compile: true` failed .*g\+\+.*set it to false"):
        fit(make_job(compile=True), make_model(), None, Console(quiet=True))


def test_other_faults_are_not_hidden():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explained("student"):
        torch.rand(2, 3) @ torch.rand(2, 3)


def test_a_deterministic_training_on_a_cpu_is_an_ordinary_one(make_job, make_model):
    try:
        job = make_job(deterministic=True, epochs=1)
        assert fit(job, make_model(), None, Console(quiet=True)).is_file()
    finally:
        torch.use_deterministic_algorithms(False)
