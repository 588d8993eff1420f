"""What every method promises the engine: which terms need the whole batch, and what it reads of a teacher."""

import itertools
import typing
from dataclasses import replace

import pytest
import torch

from edgedistill.distill import losses
from edgedistill.distill.methods import (
    METHODS,
    Method,
    Term,
    TrainingContext,
    build_method,
    total,
    values,
    without_warmup,
)
from edgedistill.distill.methods.class_weights import count_classes
from edgedistill.distill.models.output import ModelOutput

B, C, D = 8, 6, 7
TEACHER_WIDTH = 9
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)
DISTILLING = [name for name in METHODS.names() if METHODS.get(name).needs_teacher]
WEIGHTS = {
    "mdkd": [{"max_order": 5, "lambda_bd": {2: 0.5, 5: 2.0}}, {"lambda_bd": 0}, {"lambda_id": 0}],
    "l2d": [{"lambda_cd": 0}, {"lambda_id": 0}, {"lambda_cd": 0, "lambda_id": 0}],
    "rkd": [{"lambda_distance": 0}, {"lambda_angle": 0}],
    "ud": [{"beta": 0}, {"alpha": 0, "beta": 0}, {"lambda_kd": 0, "supervised": {"name": "asl", "clip": 0}}],
}


def output(seed: int, width: int, dtype: torch.dtype = torch.float64, partitions: int = 1) -> ModelOutput:
    """Everything that a model can return, with gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(B, *shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    maps = draw(width, 2, 2)
    return ModelOutput(
        logits=draw(C),
        features=maps,
        stages=[draw(width, 4, 4), maps],
        pooled=draw(width),
        embeddings=draw(C, D + width),
        embedding_logits=draw(C),
        calibration_logits=draw(C),
        attention=draw(2, 2),
        partition_logits=draw(partitions, C),
        reviewed=[draw(TEACHER_WIDTH, side, side) for side in (1, 2, 4)],
    )


def teacher_of(method: Method, dtype: torch.dtype = torch.float64) -> ModelOutput:
    """Outputs of a teacher that the method accepts."""
    return output(1, TEACHER_WIDTH, dtype, partitions=2 if getattr(method, "partitions", None) == "co_dis" else 1)


def labels(*, unknown: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(-1 if unknown else 0, 2, (B, C), generator=generator).to(torch.int8)


def mapped(whole: ModelOutput, change: typing.Callable[[torch.Tensor], torch.Tensor]) -> ModelOutput:
    """`change` of every tensor."""
    values = {name: value for name, value in vars(whole).items() if value is not None}
    return ModelOutput(**{n: [*map(change, v)] if isinstance(v, list) else change(v) for n, v in values.items()})


def rows(whole: ModelOutput, part: slice) -> ModelOutput:
    """Some images of a batch."""
    return mapped(whole, lambda tensor: tensor[part])


def relations_and_sums(method: Method, targets: torch.Tensor) -> tuple[set[str], set[str]]:
    """Terms whose value on the batch is neither the average nor the sum of their values on its halves; and the sums."""
    student, teacher = output(0, 5), teacher_of(method) if method.needs_teacher else None
    whole, *halves = (
        values(method(rows(student, part), teacher and rows(teacher, part), targets[part], CONTEXT))
        for part in (slice(B), slice(B // 2), slice(B // 2, B))
    )
    assert all(whole.keys() == half.keys() for half in halves)
    assert all(term.dtype == torch.float64 for term in whole.values())
    sums = {name: halves[0][name] + halves[1][name] for name in whole}
    summed = {name for name in whole if torch.isclose(whole[name], sums[name], rtol=1e-9, atol=0)}
    averaged = {name for name in whole if torch.isclose(whole[name], sums[name] / 2, rtol=1e-9, atol=0)}
    return whole.keys() - summed - averaged, summed


def choices(hint: typing.Any) -> list[str | None]:
    """The names that a field takes, alone or beside other types; None where it is another choice."""
    members = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
    names = [
        name for member in members if typing.get_origin(member) is typing.Literal for name in typing.get_args(member)
    ]
    return [*names, None] if names and type(None) in members else names


def variants() -> list[typing.Any]:
    """Every method under every combination of its named choices (`protocol`, `form`, ...), every loss, and weights."""
    cases = []
    for name in METHODS.names():
        hints = typing.get_type_hints(METHODS.get(name), include_extras=True)
        named = {key: chosen for key, hint in hints.items() if (chosen := choices(hint))}
        supervised = named.pop("supervised", [])
        combinations = itertools.product(*named.values())
        cases += [(name, dict(zip(named, values, strict=True))) for values in combinations]
        cases += [(name, {"supervised": loss}) for loss in supervised]
        cases += [(name, weights) for weights in WEIGHTS.get(name, ())]
    return [pytest.param(*case, id=f"{case[0]}-{'-'.join(map(str, case[1].values()))}") for case in cases]


@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize(("name", "options"), variants())
def test_terms_are_what_they_say_of_themselves(name, options, unknown):
    method = count_classes(build_method(name, **options), labels(unknown=unknown).numpy())
    terms = method(output(0, 5), teacher_of(method), labels(unknown=unknown), CONTEXT)
    relations, sums = relations_and_sums(method, labels(unknown=unknown))
    assert relations == {name for name, term in terms.items() if term.relates_images}
    assert sums == {name for name, term in terms.items() if term.reduction == "sum" and not term.relates_images}


def test_a_term_that_does_not_say_what_it_is_is_found():
    class Forgetful(Method):
        def __call__(self, student, teacher, targets, context):
            return {
                **self.supervised_terms(student, targets),
                "relation": Term(losses.pkt(student.pooled, teacher.pooled)),
                "total": Term(losses.mse(student.logits, teacher.logits, targets, reduction="sum")),
                "known": Term(losses.mse(student.logits, teacher.logits, targets, reduction="mean")),
            }

    assert relations_and_sums(Forgetful(), labels(unknown=True)) == ({"relation", "known"}, {"total"})


def cached(teacher: ModelOutput, method: Method, dtype: torch.dtype) -> ModelOutput:
    """What a cache gives back: logits and what the method names, without a graph."""
    needed = ModelOutput(**{name: getattr(teacher, name) for name in {"logits"} | method.needs})
    return mapped(needed, lambda tensor: tensor.detach().to(dtype))


@pytest.mark.parametrize("name", DISTILLING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_teacher_may_be_a_cache_of_what_the_method_needs(name, dtype):
    method, targets = build_method(name), labels(unknown=True)
    # The live teacher says the same rounded numbers, so the terms must agree to the bit.
    teacher = teacher_of(method, dtype)
    live = mapped(teacher, torch.Tensor.float)
    gradients = []
    for given in (live, cached(teacher, method, dtype)):
        student = output(0, 5, torch.float32)
        terms = method(student, given, targets, CONTEXT)
        total(terms).backward()
        gradients.append([values(terms), student.logits.grad, student.pooled.grad, student.embeddings.grad])
    (said, *live_gradients), (read, *read_gradients) = gradients
    assert said.keys() == read.keys()
    assert all(read[term].dtype == torch.float32 and torch.equal(read[term], said[term]) for term in said)
    for ours, theirs in zip(live_gradients, read_gradients, strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


@pytest.mark.parametrize("protocol", ["code", "paper"])
@pytest.mark.parametrize("filling", [0.0, float("nan")])
def test_l2d_reads_the_teachers_embeddings_at_positives_only(protocol, filling):
    method, targets = build_method("l2d", protocol=protocol), labels(unknown=True)
    whole = output(1, 9)
    sparse = replace(whole, embeddings=whole.embeddings.detach().masked_fill((targets != 1)[:, :, None], filling))
    results = []
    for teacher in (whole, sparse):
        student = output(0, 5)
        terms = method(student, teacher, targets, CONTEXT)
        total(terms).backward()
        results.append((values(terms), student.embeddings.grad, student.logits.grad))
    (terms, *gradients), (sparse_terms, *sparse_gradients) = results
    assert terms["cd"] > 0
    assert terms["id"] > 0
    assert terms == sparse_terms
    assert all(torch.equal(*pair) for pair in zip(gradients, sparse_gradients, strict=True))


WARMED = {
    "l2d": {"cd", "id"},
    "ud": {"attention"},
    "mdkd": {"bd2", "bd3", "bd4", "id2", "id3", "id4"},
    "rkd": {"rkd_distance", "rkd_angle"},
    "pkt": {"pkt"},
    "reviewkd": {"review"},
}


def test_terms_on_structure_may_begin_late():
    """ReviewKD's authors' schedule; without one a training has all its terms from the first step on."""
    assert {name for name in METHODS.names() if hasattr(METHODS.get(name), "warmup_epochs")} == WARMED.keys()
    student, targets = output(0, 5), labels(unknown=True)
    for name, late in WARMED.items():
        method, warming = build_method(name), build_method(name, warmup_epochs=4)
        whole = values(method(student, teacher_of(method), targets, CONTEXT))
        for epoch, share in ((0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0)):
            found = values(warming(student, teacher_of(method), targets, TrainingContext(epoch, 7, 10)))
            assert list(found) == list(whole)
            expected = {term: share * value if term in late else value for term, value in whole.items()}
            assert all(torch.equal(found[term], value) for term, value in expected.items()), (name, epoch)
        assert without_warmup(warming) == method
        assert warming.deciding()[1]["warmup_epochs"] == 4
        assert ("warmup_epochs" in method.deciding()[1]) == (name == "reviewkd"), "as runs of other versions know it"
