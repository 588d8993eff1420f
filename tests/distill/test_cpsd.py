"""CPSD: its objective against loops, its partitions, and the merging of sub-task teachers."""

import math

import numpy as np
import pytest
import torch

from edgedistill.distill.data.partition import partition_labels
from edgedistill.distill.methods import Terms, TrainingContext, total, values
from edgedistill.distill.methods.cpsd import CPSD
from edgedistill.distill.models import build_model
from edgedistill.distill.models.merged import MergedTeacher
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import ConfigError, DataError

B, C = 6, 5
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)
CO = [np.array([0, 3]), np.array([1, 2, 4])]
DIS = [np.array([0, 1, 4]), np.array([2]), np.array([3])]


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def merged(partitions: int, seed: int = 1) -> ModelOutput:
    logits = draw(B, partitions, C, seed=seed)
    return ModelOutput(logits=logits.mean(1), partition_logits=logits)


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.randint(-1, 2, (B, C), generator=torch.Generator().manual_seed(7)).to(torch.int8)


def plain_asl(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """CPSD Eq. 4 as the text has it: gamma+ 0, gamma- 4, threshold 0.05."""
    total = 0.0
    for score, label in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-score))
        shifted = max(p - 0.05, 0.0)
        total += {1: -math.log(p), 0: -(shifted**4) * math.log(1 - shifted), -1: 0.0}[label]
    return total


def plain_errors(student: torch.Tensor, partition_logits: torch.Tensor, targets: torch.Tensor) -> list[float]:
    """The squared norms of CPSD Eq. 6, summed over the images, one per partition."""
    sums = [0.0] * partition_logits.shape[1]
    for i in range(B):
        for p in range(len(sums)):
            for c in range(C):
                if targets[i, c] >= 0:
                    sums[p] += (float(student[i, c]) - float(partition_logits[i, p, c])) ** 2
    return sums


@pytest.mark.parametrize(("protocol", "share"), [("paper", 1.0), ("code", 0.5)])
def test_the_objective_is_equation_7(protocol, share, targets):
    student, teacher = ModelOutput(draw(B, C, seed=0)), merged(2)
    terms = values(CPSD(protocol=protocol)(student, teacher, targets, CONTEXT))
    assert list(terms) == ["asl", "kd_co", "kd_dis"]
    co, dis = plain_errors(student.logits, teacher.partition_logits, targets)
    assert float(terms["asl"]) == pytest.approx(share * plain_asl(student.logits, targets), rel=1e-12)
    assert float(terms["kd_co"]) == pytest.approx(share * 0.5 * co, rel=1e-12)
    assert float(terms["kd_dis"]) == pytest.approx(share * 0.5 * dis, rel=1e-12)


@pytest.mark.parametrize(
    ("partitions", "term"), [("co", "kd_co"), ("dis", "kd_dis"), ("random", "kd_random"), ("none", "kd_whole")]
)
def test_one_partition_weighs_as_much_as_two(partitions, term, targets):
    student, teacher = ModelOutput(draw(B, C, seed=0)), merged(1)
    terms = values(CPSD(partitions=partitions, lambda_kd=3.0)(student, teacher, targets, CONTEXT))
    assert list(terms) == ["asl", term]
    (error,) = plain_errors(student.logits, teacher.partition_logits, targets)
    assert float(terms[term]) == pytest.approx(3 * error, rel=1e-12)
    twice = ModelOutput(teacher.logits, partition_logits=teacher.partition_logits.expand(B, 2, C))
    both = values(CPSD(lambda_kd=3.0)(student, twice, targets, CONTEXT))
    torch.testing.assert_close(both["kd_co"] + both["kd_dis"], terms[term])


@pytest.mark.parametrize("partitions", ["co_dis", "co"])
def test_every_term_is_a_sum_over_the_batch_and_says_so(partitions, targets):
    logits, branch, taught = draw(B, C, seed=0), draw(B, C, seed=2), merged(2 if partitions == "co_dis" else 1)
    method, ranked = CPSD(partitions=partitions), draw(B, C, seed=3)

    def on(rows: slice) -> Terms:
        teacher = ModelOutput(taught.logits[rows], partition_logits=taught.partition_logits[rows])
        student = ModelOutput(logits[rows], embedding_logits=branch[rows], calibration_logits=ranked[rows])
        return method(student, teacher, targets[rows], CONTEXT)

    whole, first, second = on(slice(None)), on(slice(0, 2)), on(slice(2, None))
    for name, term in whole.items():
        assert term.reduction == "sum"
        torch.testing.assert_close(first[name].value + second[name].value, term.value)


def test_gradients(targets):
    teacher, logits = merged(2), draw(B, C, seed=0).requires_grad_()
    method = CPSD(supervised="bce")  # ASL's focusing weights carry no gradient, so it has no finite difference

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return total(method(ModelOutput(logits), teacher, targets, CONTEXT))

    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_the_gradient_pulls_to_the_partitions_mean(protocol, targets):
    logits, teacher = draw(B, C, seed=0).requires_grad_(), merged(2)
    teacher.partition_logits.requires_grad_()
    terms = values(CPSD(protocol=protocol)(ModelOutput(logits), teacher, targets, CONTEXT))
    (gradient,) = torch.autograd.grad(terms["kd_co"] + terms["kd_dis"], logits, retain_graph=True)
    pull = 2 * (logits - teacher.logits) * (targets >= 0)
    torch.testing.assert_close(gradient, pull if protocol == "paper" else pull / 2)
    assert torch.autograd.grad(sum(terms.values()), teacher.partition_logits, allow_unused=True) == (None,)


def test_half_precision_teachers_are_compared_in_float32(targets):
    student, teacher = ModelOutput(draw(B, C, seed=0).float()), merged(2)
    teacher.partition_logits = teacher.partition_logits.bfloat16()
    terms = values(CPSD()(student, teacher, targets, CONTEXT))
    assert all(term.dtype == torch.float32 for term in terms.values())
    co, _ = plain_errors(student.logits, teacher.partition_logits, targets)
    assert float(terms["kd_co"]) == pytest.approx(0.5 * co, rel=1e-5)


@pytest.mark.parametrize(
    ("partitions", "teacher"), [("co_dis", merged(1)), ("co", merged(2)), ("co", ModelOutput(draw(B, C, seed=1)))]
)
def test_a_teacher_of_other_partitions_is_refused(partitions, teacher, targets):
    with pytest.raises(ConfigError, match=f"`partitions: {partitions}` learns from the merged logits"):
        CPSD(partitions=partitions)(ModelOutput(draw(B, C, seed=0)), teacher, targets, CONTEXT)


def test_a_missing_teacher_is_named(targets):
    with pytest.raises(ConfigError, match="none is given"):
        CPSD()(ModelOutput(draw(B, C, seed=0)), None, targets, CONTEXT)


def label_rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 12)) < 0.1).astype(np.int8)
    for image, group in enumerate(rng.integers(0, 3, 200)):
        labels[image, 4 * group : 4 * group + 4] |= rng.random(4) < 0.6
    return labels


@pytest.mark.parametrize(
    ("partitions", "kinds"),
    [("co_dis", ["co", "dis"]), ("co", ["co"]), ("dis", ["dis"]), ("random", ["random"]), ("none", ["whole"])],
)
def test_subsets_are_those_of_the_partitions(partitions, kinds):
    labels, method = label_rows(), CPSD(partitions=partitions, k=3, tau=2.0)
    subsets = method.subsets(labels, seed=4)
    assert list(subsets) == kinds
    for kind, found in subsets.items():
        expected = [np.arange(12)] if kind == "whole" else partition_labels(labels, 3, kind, 2.0, seed=4)
        assert [s.tolist() for s in found] == [s.tolist() for s in expected]


def test_subsets_refuse_an_impossible_k():
    with pytest.raises(ConfigError, match="12 classes cannot be split into 13"):
        CPSD(k=13).subsets(label_rows(), seed=0)
    with pytest.raises(DataError, match="too few for k = 5"):
        CPSD().subsets(np.zeros((4, 12), np.int8), seed=0)


def classifier(num_classes: int, seed: int):
    torch.manual_seed(seed)
    return build_model("shufflenetv2", num_classes, width=0.5).eval()


@pytest.fixture(scope="module")
def parts():
    return [
        [(classes, classifier(len(classes), 10 * p + i)) for i, classes in enumerate(partition)]
        for p, partition in enumerate((CO, DIS))
    ]


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_merging_puts_every_logit_in_its_class(parts, pixels):
    teacher = MergedTeacher(parts, C).eval()
    output = teacher(teacher.normalize(pixels))
    assert output.partition_logits.shape == (3, 2, C)
    for p, partition in enumerate(parts):
        for classes, model in partition:
            own = model(model.normalize(pixels)).logits
            for j, c in enumerate(classes):
                assert torch.equal(output.partition_logits[:, p, c], own[:, j])
    torch.testing.assert_close(output.logits, (output.partition_logits[:, 0] + output.partition_logits[:, 1]) / 2)


@torch.no_grad()
def test_the_order_of_the_parts_and_of_a_parts_classes_is_the_callers(parts, pixels):
    teacher = MergedTeacher(parts, C).eval()
    shuffled = MergedTeacher([parts[0][::-1], parts[1][::-1]], C).eval()
    images = teacher.normalize(pixels)
    assert torch.equal(teacher(images).partition_logits, shuffled(images).partition_logits)
    (first, model), rest = parts[0][0], parts[0][1:]
    reversed_part = MergedTeacher([[(first[::-1].copy(), model), *rest]], C).eval()
    swapped = teacher(images).partition_logits[:, 0].clone()
    swapped[:, [0, 3]] = swapped[:, [3, 0]]
    assert torch.equal(reversed_part(images).logits, swapped)


@torch.no_grad()
def test_a_model_of_two_partitions_runs_once(pixels):
    models = {size: classifier(size, size) for size in (2, 3)}
    partition = [(np.array([0, 3]), models[2]), (np.array([1, 2, 4]), models[3])]
    calls = []
    for model in models.values():
        model.register_forward_hook(lambda *_: calls.append(1))
    teacher = MergedTeacher([partition, partition], C).eval()
    output = teacher(teacher.normalize(pixels))
    assert len(calls) == 2
    assert torch.equal(output.partition_logits[:, 0], output.partition_logits[:, 1])


def test_a_merged_teacher_teaches_the_student_alone(parts, pixels):
    student = classifier(C, 99).train()
    teacher = MergedTeacher(parts, C).eval()
    with torch.no_grad():
        taught = teacher(teacher.normalize(pixels))
    targets = torch.tensor([[1, 0, 0, 1, -1]] * 3, dtype=torch.int8)
    total(CPSD()(student(student.normalize(pixels)), taught, targets, CONTEXT)).backward()
    assert student.head.linear.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("subsets", "sizes", "message"),
    [
        ([[0, 1], [2, 3]], [2, 2], "each of the 5 classes once; class 4 is held 0 times"),
        ([[0, 1, 2], [2, 3, 4]], [3, 3], "class 2 is held 2 times"),
        ([[0, 1], [2, 3, 4, 5]], [2, 4], "each of the 5 classes once; class 5"),
        ([[0, 1], [2, 3, 4]], [2, 2], "a part of 3 classes has a model with 2 outputs"),
    ],
)
def test_parts_that_are_no_partition_are_refused(subsets, sizes, message):
    parts = [(np.array(s), classifier(n, 0)) for s, n in zip(subsets, sizes, strict=True)]
    with pytest.raises(ConfigError, match=message):
        MergedTeacher([parts], C)


def test_branches_are_detached_from_every_model():
    parts = [(np.array(s), classifier(len(s), 0)) for s in ([0, 1], [2, 3, 4])]
    for _, model in parts:
        model.attach("ml_decoder")
    MergedTeacher([parts], C).detach_branches()
    assert not any("embeddings" in model.gives for _, model in parts)


def test_parts_with_other_normalisation_are_refused():
    first, second = classifier(2, 0), classifier(3, 1)
    second.shift.add_(1.0)
    with pytest.raises(ConfigError, match="normalise images differently"):
        MergedTeacher([[(np.array([0, 1]), first), (np.array([2, 3, 4]), second)]], C)


def test_nothing_to_merge_is_refused():
    with pytest.raises(ConfigError, match="at least one partition"):
        MergedTeacher([], C)
