"""A step of every method on a network of two layers in double precision, for one process and for several."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine import TrainSettings
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.engine.prepare import build_state
from edgedistill.distill.engine.relations import relating_terms
from edgedistill.distill.engine.state import TrainState
from edgedistill.distill.engine.step import Step
from edgedistill.distill.engine.stopwatch import Stopwatch
from edgedistill.distill.engine.taken import Taken
from edgedistill.distill.engine.teachers import HeardTeacher, LiveTeacher
from edgedistill.distill.engine.world import ALONE, World
from edgedistill.distill.methods import METHODS, Method, TrainingContext, build_method, total, values
from edgedistill.distill.models import Classifier, MergedTeacher
from edgedistill.distill.models.backbone import Backbone

IMAGES, CLASSES, SIZE = 8, 4, 8
CONTEXT = TrainingContext(epoch=0, step=3, total_steps=10)
CPU = torch.device("cpu")
METHOD_CASES = [*((name, {}) for name in METHODS.names()), ("mld", {"protocol": "code"}), ("ud", {"protocol": "paper"})]

# Methods whose losses wait for the device, as they say, with the operator: shapes depend on which labels are present.
READING = {"l2d": {"nonzero"}}


def network(width: int, seed: int, branches: tuple[str, ...] = ()) -> Classifier:
    """Two maps, of 8 x 8 and 4 x 4."""
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.Tanh())
    return Classifier(Backbone([first, second], channels=2 * width), CLASSES, branches=branches)


def wired(name: str, options: dict) -> tuple[Method, TrainedNetwork, Classifier | MergedTeacher | None]:
    """Method, student with what the method adds, and teacher as an experiment prepares them, in double precision."""
    method, student, teacher = build_method(name, **options), network(4, 0), None
    if method.needs_teacher:
        teacher = network(6, 1, ("ml_decoder", "calibration"))
        if method.trains_teachers:
            teacher = MergedTeacher([[(np.arange(CLASSES), teacher)], [(np.arange(CLASSES), teacher)]], CLASSES)
        teacher.detach_branches(keep=method.needs)
        method.prepare_teacher(teacher)
        teacher = teacher.double().eval().requires_grad_(False)
    part = method.build_part(student, teacher and teacher.float(), (SIZE, SIZE))
    return method, TrainedNetwork(student, part).double().train(), teacher and teacher.double()


def without_chance(model: nn.Module) -> nn.Module:
    """No dropout, and BatchNorms that keep their statistics: what would tell a piece from a batch."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def batch(rows: slice | list[int] = slice(None)) -> Batch:
    """Rows of the step's images, with unknown labels among theirs."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(256, (IMAGES, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    targets = torch.randint(-1, 2, (IMAGES, CLASSES), generator=generator).to(torch.int8)
    targets[:, 0] = 1  # a class and images with pairs of positives
    return Batch(images[rows], targets[rows], torch.arange(IMAGES)[rows], 0, [])


def pieces(count: int, world: World = ALONE) -> list[Batch]:
    """Those of one process."""
    size = IMAGES // (count * world.size)
    starts = [(number * world.size + world.rank) * size for number in range(count)]
    return [batch(slice(start, start + size)) for start in starts]


class Recorded:
    """Stands in for the optimiser and keeps the gradient that it is given."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.param_groups = model, []
        self.gradients: dict[str, Tensor | None] = {}

    def step(self) -> None:
        self.gradients = {name: parameter.grad for name, parameter in self.model.named_parameters()}

    def zero_grad(self, *, set_to_none: bool) -> None:
        assert set_to_none
        self.model.zero_grad()


def take(
    method: Method,
    student: TrainedNetwork,
    teacher: Classifier | MergedTeacher | None,
    count: int,
    *,
    world: World = ALONE,
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
    **settings: object,
) -> tuple[Taken, dict[str, Tensor | None]]:
    """A step in `count` pieces by the engine: what it tells, and its gradient."""
    training = [module.training for module in student.modules()]
    asked = LiveTeacher(teacher, CPU, None) if teacher is not None else None
    relations = relating_terms(method, student, asked, batch(slice(2)))
    for module, mode in zip(student.modules(), training, strict=True):
        module.training = mode
    optimizer = Recorded(student)
    schedule = SimpleNamespace(step=lambda: None)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    state = TrainState(student.student, None, None, optimizer, schedule, scaler, part=student.part)
    step = Step(
        state=state,
        network=wrap(state.trained),
        teacher=asked,
        method=method,
        settings=TrainSettings(epochs=1, batch_size=IMAGES, accumulate=count, precision="fp32", **settings),
        device=CPU,
        world=world,
        stopwatch=Stopwatch(CPU),
        seed=0,
        relations=relations,
    )
    return step(pieces(count, world), CONTEXT).read(), optimizer.gradients


def ready(name: str, options: dict, device: torch.device, **settings: object) -> Step:
    """The engine's step as it trains, in float32, with all that a step may do besides."""
    method, student, teacher = wired(name, options)
    student.float()
    asked = None
    if teacher is not None:
        live = LiveTeacher(teacher.float().to(device), device, None)
        asked = HeardTeacher(live, distils=True, silent=torch.arange(CLASSES) == 1)
    chosen = TrainSettings(**{"epochs": 1, "batch_size": IMAGES, "ema": 0.9, "clip_grad_norm": 1.0, **settings})
    state = build_state(student.student, chosen, device, 20, student.part)
    return Step(
        state=state,
        network=state.trained.train(),
        teacher=asked,
        method=method,
        settings=chosen,
        device=device,
        world=ALONE,
        stopwatch=Stopwatch(device),
        seed=0,
        relations=frozenset(),
    )


def plainly(
    method: Method,
    student: TrainedNetwork,
    teacher: Classifier | MergedTeacher | None,
    rows: slice | list[int] = slice(None),
) -> tuple[dict[str, float], dict[str, Tensor | None]]:
    """The same without the engine, all images at once."""
    given = batch(rows)
    with torch.no_grad():
        taught = teacher(teacher.normalize(given.images)) if teacher is not None else None
    terms = method(student(student.normalize(given.images)), taught, given.targets, CONTEXT)
    student.zero_grad()
    total(terms).backward()
    gradients = {name: parameter.grad for name, parameter in student.named_parameters()}
    student.zero_grad()
    return {name: value.item() for name, value in values(terms).items()}, gradients


def require_equal(found: dict[str, Tensor | None], expected: dict[str, Tensor | None]) -> None:
    """Of gradients, to rounding in double precision."""
    scale = max(gradient.abs().max().item() for gradient in expected.values() if gradient is not None)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
            continue
        assert found[name] is not None, name
        assert (found[name] - gradient).abs().max() < 1e-10 * scale, name
