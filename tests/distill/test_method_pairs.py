"""Every method with every kind of teacher and student: wired as an experiment wires them, one step on plain tensors."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from edgedistill.distill import build_model
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.methods import METHODS, TrainingContext, build_method, values
from edgedistill.distill.models import Classifier, MergedTeacher
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.recipe.papers.rows import paper_recipes

SIZE, B, C = 32, 4, 3
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)


def with_head(head: str, name: str, options: dict) -> tuple[str, dict]:
    return name, {**options, "head": head}


SHUFFLENET = ("shufflenetv2", {"width": 0.5})
MOBILENET = ("mobilenetv2", {"width": 0.25, "stem": "small"})
PAIRS = {  # student, teacher
    "equal": (SHUFFLENET, SHUFFLENET),
    "other widths, sizes and numbers of maps": (MOBILENET, ("shufflenetv2", {})),
    "deeper teacher": (("cifar_resnet20", {}), ("cifar_resnet56", {})),
    "larger student": (("shufflenetv2", {}), SHUFFLENET),
    "coarser teacher": (("cifar_wrn16_2", {}), ("resnet18", {})),
    "teacher with two maps of one size": (("cifar_wrn40_1", {}), ("cifar_vgg13", {})),
    "parallel branches": (("repvgg_a0", {}), MOBILENET),
    "attention teacher": (SHUFFLENET, ("swin_t", {})),
    "attention student": (("swin_t", {}), SHUFFLENET),
    "maximum pooling": (with_head("linear_max", *SHUFFLENET), with_head("linear_max", *MOBILENET)),
    "decoders as heads": (with_head("ml_decoder", *SHUFFLENET), with_head("ml_decoder", *MOBILENET)),
    "named branches": (("shufflenetv2", {"width": 0.5, "branches": ["ml_decoder", "calibration"]}), SHUFFLENET),
}
FEW = list(PAIRS)[:4]
# Decoders over these, and networks of the papers that have hundreds of layers, take seconds.
LONG_WITH_L2D = ("attention teacher", "attention student", "parallel branches", "teacher with two maps of one size")
LONG = {"swin_s", "swin_t", "repvgg_a2", "vgg19_bn", "cifar_vgg13", "resnet101", "wide_resnet101"}
VARIANTS = [
    ("kd", {"form": "binary"}),
    ("l2d", {"protocol": "paper"}),
    ("reviewkd", {"max_stages": 1, "mid_channels": 8}),
    ("ud", {"protocol": "code"}),
]
WITHOUT_LABELS = [("kd", {"form": "binary"}), ("ud", {"alpha": 0, "beta": 0})]


def cases() -> list:
    """Every method; one that reads a vector of each image sees nothing of the networks' maps, so a few pairs do."""
    found = [(pair, *variant) for variant in VARIANTS for pair in FEW[1:2]]
    found += [("named branches", *variant) for variant in WITHOUT_LABELS]
    for name in METHODS.names():
        sees_maps = METHODS.get(name)().needs - {"pooled", "partition_logits"}
        found += [(pair, name, {}) for pair in (PAIRS if sees_maps else FEW)]
    return [
        pytest.param(
            *(pair, name, options),
            id=" ".join([name, *map(str, options.values()), pair]),
            marks=[pytest.mark.slow] if name == "l2d" and pair in LONG_WITH_L2D else [],
        )
        for pair, name, options in found
    ]


@cache
def images() -> torch.Tensor:
    """uint8 (B, H, W, 3)."""
    return torch.randint(0, 256, (B, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@cache
def targets() -> torch.Tensor:
    return torch.tensor([[1, 0, 1], [1, -1, 0], [1, 1, 0], [0, 1, -1]], dtype=torch.int8)


@cache
def network(role: str, pair: str) -> Classifier:
    """Not to be changed."""
    torch.manual_seed(len(role))
    if role == "student":
        name, options = PAIRS[pair][0]
        return build_model(name, C, **options)
    name, options = PAIRS[pair][1]
    branches = ["calibration"] if options.get("head") == "ml_decoder" else ["ml_decoder", "calibration"]
    teacher = build_model(name, C, branches=branches, **options)
    for module in teacher.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # one batch sets the statistics, as a training would have
    with torch.no_grad():
        teacher(teacher.normalize(images()))
    return teacher.eval().requires_grad_(False)


def sharing_weights(model: Classifier) -> Classifier:
    """A copy with branches of its own."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def wired(pair: str, name: str, options: dict) -> tuple:
    """Method, student and teacher, as `Experiment` prepares them."""
    method, student, teacher = build_method(name, **options), copy.deepcopy(network("student", pair)), None
    if method.needs_teacher:
        teacher = sharing_weights(network("teacher", pair))
        if method.trains_teachers:
            whole = [(np.arange(C), teacher)]
            teacher = MergedTeacher([whole, whole], C).eval()
        teacher.detach_branches(keep=method.needs)
        method.prepare_teacher(teacher)
    part = method.build_part(student, teacher, (SIZE, SIZE))
    return method, TrainedNetwork(student, part), teacher


@pytest.mark.filterwarnings("error:3 classes have no label sequence")
@pytest.mark.parametrize(("pair", "name", "options"), cases())
def test_a_step_reaches_every_parameter_and_leaves_a_plain_network(pair, name, options):
    method, student, teacher = wired(pair, name, options)
    plain, inputs = network("student", pair), student.normalize(images())
    assert student.training
    with torch.no_grad():
        alone, beside = (sharing_weights(model).eval()(inputs).logits for model in (plain, student))
        taught = teacher(inputs) if teacher is not None else None
    assert torch.equal(alone, beside), "what ships does not see what the method adds"
    terms = values(method(student(inputs), taught, targets(), CONTEXT))
    assert all(torch.isfinite(term) for term in terms.values())
    sum(terms.values()).backward()
    # One that no term reaches would stop several processes, which wait for its gradient.
    unreached = [n for n, parameter in student.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert unreached == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in student.parameters() if parameter.requires_grad)
    assert student.student.state_dict().keys() == plain.state_dict().keys()


def papers_pairs() -> list:
    """Of the papers' tables, once whichever of the two teaches."""
    found = {(recipe.teacher, recipe.student) for recipe in paper_recipes().values() if recipe.teacher}
    pairs = sorted({tuple(sorted(pair)) for pair in found})
    return [pytest.param(*pair, marks=[pytest.mark.slow] if LONG & set(pair) else []) for pair in pairs]


@cache
def unfilled(name: str) -> Classifier:
    """Shapes without values: the largest network costs nothing."""
    with torch.device("meta"):
        return build_model(name, C)


@cache
def teaching(name: str) -> tuple[Classifier, ModelOutput]:
    """Another one, frozen, and what it says of images of 64 x 96 pixels."""
    with torch.device("meta"), torch.no_grad():
        model = build_model(name, C).eval().requires_grad_(False)
        return model, model(torch.zeros(2, 3, 64, 96))


@pytest.mark.parametrize(("one", "other"), papers_pairs())
def test_all_maps_are_compared_for_every_pair_of_the_papers_and_reversed(one, other, monkeypatch, shapes_alone):
    """ReviewKD, the method that reads all maps, on images of 64 x 96 pixels; a step reaches every parameter."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # knows no device without values
    method = build_method("reviewkd")
    for teacher_name, student_name in {(one, other), (other, one)}:
        (teacher, taught), student = teaching(teacher_name), unfilled(student_name)
        with torch.device("meta"):
            trained = TrainedNetwork(student, method.build_part(student, teacher, (64, 96)))
            said = method(trained(torch.zeros(2, 3, 64, 96)), taught, torch.zeros(2, C, dtype=torch.int8), CONTEXT)
            terms = values(said)
        assert terms.keys() == {"bce", "review"}
        sum(terms.values()).backward()
        assert [name for name, parameter in trained.named_parameters() if parameter.grad is None] == []
        student.zero_grad()
