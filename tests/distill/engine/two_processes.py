"""What test_distributed.py starts in two processes; a failed assertion is a failed exit."""

import contextlib
from pathlib import Path

import pytest
import step_cases
import torch
from jobs import shared_job, tint_dataset, tint_job, tint_model, tint_teacher
from rich.console import Console
from torch.nn.parallel import DistributedDataParallel

from edgedistill.distill.engine import LiveSource, current_world, fit, joined_world, predict_logits, trainer
from edgedistill.distill.engine.gathering import gather_output, gather_rows
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.engine.world import World
from edgedistill.distill.methods import METHODS, TrainingContext, build_method, total
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import InterruptedRunError

CONTEXT = TrainingContext(epoch=0, step=0, total_steps=1)
FIELDS = {
    "logits": (4,),
    "embeddings": (4, 6),
    "embedding_logits": (4,),
    "pooled": (5,),
    "calibration_logits": (4,),
    "attention": (2, 3),
}


def outputs(seed: int, rows: slice, *, graph: bool) -> ModelOutput:
    """Random outputs for a batch of 12, and this process's rows of it."""
    generator = torch.Generator().manual_seed(seed)
    whole = {
        name: torch.randn((12, *shape), generator=generator, dtype=torch.float64) for name, shape in FIELDS.items()
    }
    return ModelOutput(
        features=None, **{name: value[rows].clone().requires_grad_(graph) for name, value in whole.items()}
    )


def gathered_losses_equal_those_of_one_process() -> None:
    world = current_world()
    mine, everything = slice(world.rank * 6, world.rank * 6 + 6), slice(0, 12)
    targets = torch.randint(-1, 2, (12, 4), generator=torch.Generator().manual_seed(9)).to(torch.int8)
    compared = 0
    for name in METHODS.names():
        method = build_method(name)
        if not method.needs <= FIELDS.keys():
            continue
        whole, part = outputs(1, everything, graph=True), outputs(1, mine, graph=True)
        expected = method(whole, outputs(2, everything, graph=False), targets, CONTEXT)
        found = method(
            gather_output(part, method.needs, world),
            gather_output(outputs(2, mine, graph=False), method.needs, world),
            gather_rows(targets[mine], world),
            CONTEXT,
        )
        total(expected).backward()
        total(found).backward()
        for term in expected:
            assert torch.allclose(found[term].value, expected[term].value, rtol=1e-6, atol=1e-9), (name, term)
        for field in FIELDS:
            gradient = getattr(whole, field).grad
            if gradient is not None:
                own = getattr(part, field).grad
                assert torch.allclose(own, gradient[mine], rtol=1e-6, atol=1e-9), (name, field)
                compared += 1
    assert compared > 8


def a_decoder_that_is_the_head_has_one_supervised_term() -> None:
    world = current_world()
    mine = slice(world.rank * 6, world.rank * 6 + 6)
    method, targets = build_method("l2d"), torch.ones(12, 4, dtype=torch.int8)
    part, taught = outputs(1, mine, graph=True), outputs(2, mine, graph=False)
    part.embedding_logits = part.logits
    found = method(
        gather_output(part, method.needs, world), gather_output(taught, method.needs, world), targets, CONTEXT
    )
    assert {"bce", "cd", "id"} < found.keys()
    assert "decoder_bce" not in found


def attention_leaves_shared_gradients_as_they_are() -> None:
    """Those of a student that computes it are the mean over the processes, each with its own images."""
    world, generator = current_world(), torch.Generator().manual_seed(5)
    images = torch.randn(8, 3, 32, 32, generator=generator, dtype=torch.float64)
    targets = torch.randint(-1, 2, (8, 3), generator=generator).to(torch.int8)
    teacher = {
        name: torch.randn(8, *shape, generator=generator, dtype=torch.float64)
        for name, shape in (("logits", (3,)), ("calibration_logits", (3,)), ("attention", (1, 1)))
    }
    method = build_method("ud")

    def gradients(network: torch.nn.Module, model: torch.nn.Module, rank: int) -> list[torch.Tensor]:
        rows = slice(4 * rank, 4 * rank + 4)
        taught = ModelOutput(**{name: value[rows] for name, value in teacher.items()})
        total(method(network(images[rows]), taught, targets[rows], CONTEXT)).backward()
        return [parameter.grad for parameter in model.parameters()]

    def student() -> torch.nn.Module:
        model = tint_model()
        return TrainedNetwork(model, method.build_part(model, None, (32, 32))).double()

    apart = [gradients(model, model, rank) for rank in range(world.size) for model in (student(),)]
    model = student()
    together = gradients(DistributedDataParallel(model), model, world.rank)
    for one, *others in zip(together, *apart, strict=True):
        assert torch.allclose(one, sum(others) / world.size, rtol=1e-9, atol=1e-12)


def steps_equal_those_of_one_process() -> None:
    """Value and gradient of every method, whole and in two pieces each; what is not gathered is each process's."""
    world = current_world()
    for name, options in step_cases.METHOD_CASES:
        method, student, teacher = step_cases.wired(name, options)
        step_cases.without_chance(student)
        terms, gradients = step_cases.plainly(method, student, teacher)
        for count in (1, 2):
            taken, found = step_cases.take(method, student, teacher, count, world=world, wrap=DistributedDataParallel)
            told = [process[term] for term in terms for process in world.gather(taken.terms)]
            means = [sum(pair) / 2 for pair in zip(told[::2], told[1::2], strict=True)]
            assert means == pytest.approx([*terms.values()], rel=1e-10, abs=1e-12), (name, count)
            step_cases.require_equal(found, gradients)


def local_relations_are_those_of_a_process() -> None:
    """`relations: local` means the images of one process, in however many pieces it takes them."""
    world = current_world()
    method, student, teacher = step_cases.wired("mdkd", {})
    step_cases.without_chance(student)
    halves = []
    for rank in range(2):
        rows = [image for piece in step_cases.pieces(2, World(rank, 2)) for image in piece.indices.tolist()]
        halves.append(step_cases.plainly(method, student, teacher, rows))
    taken, found = step_cases.take(
        method, student, teacher, 2, world=world, wrap=DistributedDataParallel, relations="local"
    )
    assert taken.terms == pytest.approx(halves[world.rank][0], rel=1e-10, abs=1e-12)
    (_, one), (_, other) = halves
    step_cases.require_equal(found, {name: (one[name] + other[name]) / 2 for name in one})


class AskedAfter:
    """Stands in for a signal that one process alone got."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def training_is_interrupted(folder: Path) -> None:
    """In the second of two epochs; test_distributed.py goes on in one process."""
    steps = 6 if current_world().rank == 1 else 1000
    trainer.catch_interrupt = lambda _: contextlib.nullcontext(AskedAfter(steps))
    try:
        fit(shared_job(folder), tint_model().double(), LiveSource(tint_teacher().double()), Console(quiet=True))
    except InterruptedRunError:
        return
    raise AssertionError("nobody stopped")


def evaluation_counts_every_image_once() -> None:
    data, model = tint_dataset(13), tint_model()
    preprocessing = tint_job(Path()).card.preprocessing
    alone = predict_logits(model, data, preprocessing)
    shared = predict_logits(model, data, preprocessing, world=current_world())
    assert shared.logits.shape == (13, 3)
    assert abs(shared.logits - alone.logits).max() < 1e-5
    assert shared.dataset is data


def everything_that_is_shared() -> None:
    torch.set_num_threads(1)
    with joined_world():
        gathered_losses_equal_those_of_one_process()
        a_decoder_that_is_the_head_has_one_supervised_term()
        attention_leaves_shared_gradients_as_they_are()
        evaluation_counts_every_image_once()
        steps_equal_those_of_one_process()
        local_relations_are_those_of_a_process()


def training(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined_world():
        training_is_interrupted(folder)
