"""What only a GPU shows: no step waits, its precisions, the same bits twice, NCCL, and batches made in its memory."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from jobs import SMALL, tint_teacher
from rich.console import Console
from step_cases import CLASSES, CONTEXT, IMAGES, METHOD_CASES, READING, SIZE, batch, network, ready

from edgedistill.distill import losses
from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.loader import EpochSampler, training_loader
from edgedistill.distill.data.on_device import DeviceLoader, device_images, release_device_memory
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine import fit, predict_logits
from edgedistill.distill.engine.averaging import follow_at_once
from edgedistill.distill.engine.gathering import gather_rows
from edgedistill.distill.engine.world import World
from edgedistill.distill.methods import Term
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CUDA = torch.device("cuda", 0)
QUIET = Console(quiet=True)
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, `deterministic` comes later here
QUIET_METHODS = [(name, options) for name, options in METHOD_CASES if name not in READING]


@pytest.fixture
def no_waiting():
    """Inside, PyTorch raises where the host would wait for the GPU."""

    class NoWaiting:
        def __enter__(self):
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *_):
            torch.cuda.set_sync_debug_mode("default")

    yield NoWaiting()
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(("name", "options"), QUIET_METHODS, ids=lambda value: value if isinstance(value, str) else "")
def test_no_step_waits_for_the_gpu(name, options, precision, no_waiting):
    step = ready(name, options, CUDA, precision=precision)
    given = [batch().pin_memory()]
    for _ in range(2):
        step(given, CONTEXT).read()  # allocates the moments; fp16 may look for its scale
    with no_waiting:
        launched = step(given, CONTEXT)
    assert math.isfinite(sum(launched.read().terms.values()))


def test_the_mode_sees_waiting(no_waiting):
    with pytest.raises(RuntimeError), no_waiting:
        torch.ones(3, device=CUDA).sum().item()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_step_that_is_not_finite_leaves_everything(optimizer):
    step = ready("kd", {}, CUDA, optimizer=optimizer, precision="fp32")
    given, honest = [batch()], step.method
    step(given, CONTEXT)

    def broken(*arguments):
        return {name: Term(term.value * math.nan) for name, term in honest(*arguments).items()}

    def everything():
        state = step.state
        moments = [tensor for each in state.optimizer.state.values() for tensor in each.values()]
        return [tensor.clone() for tensor in (*state.trained.state_dict().values(), *moments)] + [
            tensor.clone() for tensor in state.ema.state_dict().values()
        ]

    before = everything()
    step.method = broken
    assert not step(given, CONTEXT).read().finite
    for a, b in zip(before, everything(), strict=True):
        assert torch.equal(a, b)


def test_the_moving_average_is_a_lerp():
    averages, values = ([torch.randn(70, device=CUDA), torch.randn(9, 8, device=CUDA)] for _ in range(2))
    expected = [a.lerp(b, 0.3) for a, b in zip(averages, values, strict=True)]
    follow_at_once(averages, values, torch.tensor(0.3, device=CUDA))
    torch.testing.assert_close(averages, expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_in_the_gpus_memory_are_those_of_the_host(tint_dataset, workers):
    data = tint_dataset(40)
    decoded = DecodedImages(data, Preprocessing(size=(32, 32)), cache="off")
    views = Views(data, decoded, ["flip", "shift", "random_erasing", "cutout"], seed=1)
    sampler = EpochSampler(views, 8, seed=0)
    ours = DeviceLoader(data, device_images(decoded, CUDA, 0), views, sampler, workers=workers)
    for expected, found in zip(training_loader(data, views, sampler, workers=0, device=CUDA), ours, strict=True):
        assert found.images.is_cuda
        assert torch.equal(found.images.cpu(), expected.images)
        assert torch.equal(found.targets, expected.targets)
    release_device_memory()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_heads_and_losses_are_in_float32_where_the_backbone_is_not(dtype):
    model, images = network(4, 0, ("calibration",)).to(CUDA).eval(), torch.rand(IMAGES, 3, SIZE, SIZE, device=CUDA)
    targets = batch().targets.to(CUDA)
    with torch.no_grad(), torch.autocast("cuda", dtype):
        said = model(images)
        loss = losses.bce(said.logits.to(dtype), targets)
    assert said.features.dtype == dtype
    assert torch.equal(said.logits, model.head(said.features.float())[1])
    assert said.calibration_logits.dtype == loss.dtype == torch.float32
    assert torch.equal(loss, losses.bce(said.logits.to(dtype).float(), targets))


def trained(make_job, make_model, folder, **settings):
    """The weights of a training, and its records."""
    job = make_job(folder, method="mld", **{"views": 2, "epochs": 3, "model": SMALL.name, **settings})
    student = load_student(fit(job, make_model(name=SMALL.name), CachedSource(tint_teacher()), QUIET))
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    release_device_memory()
    return student.model.state_dict(), records


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_learns_in_every_precision(make_job, make_model, precision):
    _, records = trained(make_job, make_model, precision, precision=precision, epochs=6)
    assert records[-1]["terms"]["bce"] < records[0]["terms"]["bce"]
    assert records[-1]["val_mAP"] > 50


def test_deterministic_gives_the_same_bits_from_either_memory(make_job, make_model):
    first, _ = trained(make_job, make_model, "first", deterministic=True, decoded_cache="device")
    again, _ = trained(make_job, make_model, "again", deterministic=True, decoded_cache="off")
    torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_compiled_training_learns(make_job, make_model):
    try:
        _, records = trained(make_job, make_model, "compiled", compile=True)
    except EdgedistillError as error:
        pytest.skip(f"no compiler: {error}")
    assert records[-1]["terms"]["bce"] < records[0]["terms"]["bce"]


def test_nccl_with_one_process(tmp_path):
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        plain = network(4, 0).to(CUDA)
        shared = torch.nn.parallel.DistributedDataParallel(network(4, 0).to(CUDA), device_ids=[0])
        images = torch.rand(8, 3, 8, 8, device=CUDA)
        for model in (plain, shared):
            model(images).logits.square().sum().backward()
        for a, b in zip(plain.parameters(), shared.module.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
        rows = torch.rand(8, CLASSES, device=CUDA)
        assert torch.equal(gather_rows(rows, World(0, 1)), rows)
        assert World(0, 1).gather(3) == [3]
    finally:
        dist.destroy_process_group()


def test_the_validation_part_is_scored_as_on_the_host(make_job, make_model, tint_dataset):
    """TF32 is off: a logit is the CPU's to float32's rounding."""
    data, card = replace(tint_dataset(16), name="validation"), make_job().card
    there = predict_logits(make_model().to(CUDA), data, card.preprocessing).logits
    here = predict_logits(make_model(), data, card.preprocessing).logits
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-4)
