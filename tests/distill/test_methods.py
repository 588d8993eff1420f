"""Every method: its terms, its weights, and that it runs with every pair of models."""

import msgspec
import pytest
import torch

from edgedistill.distill import losses
from edgedistill.distill.methods import METHODS, Method, TrainingContext, build_method, values
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import ConfigError

B, C = 6, 5
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)


def output(seed: int, width: int, *, decoder: str | None = "branch", calibrated: bool = False) -> ModelOutput:
    """Outputs of a model with `width` channels and of a teacher merged from two partitions; its decoder is the head, a
    branch beside it, or absent."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(B, width, 2, 2, generator=generator)
    logits = (torch.randn(B, C, generator=generator) * 2).requires_grad_()
    model = ModelOutput(logits=logits, features=maps, pooled=maps.mean((2, 3)).requires_grad_())
    model.stages = [torch.randn(B, 3, 2, 2, generator=generator).requires_grad_()]
    model.reviewed = [torch.randn(B, 3, side, side, generator=generator).requires_grad_() for side in (1, 2)]
    model.partition_logits = (torch.randn(B, 2, C, generator=generator) * 2).requires_grad_()
    if calibrated:
        model.calibration_logits = torch.randn(B, C, generator=generator).requires_grad_()
        model.attention = torch.randn(B, width, 3, generator=generator).requires_grad_()
    if decoder:
        model.embeddings = torch.randn(B, C, width, generator=generator).requires_grad_()
        branch = torch.randn(B, C, generator=generator).requires_grad_()
        model.embedding_logits = logits if decoder == "head" else branch
    return model


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.randint(-1, 2, (B, C), generator=torch.Generator().manual_seed(7)).to(torch.int8)


@pytest.mark.parametrize("name", METHODS.names())
@pytest.mark.parametrize("widths", [(8, 8), (4, 16)])
@pytest.mark.parametrize("supervised", ["bce", "asl", "pal", "label_smoothing", "softmax"])
def test_runs_with_every_pair_and_trains_the_student_only(name, widths, supervised, targets):
    student, teacher = (output(seed, width, calibrated=name == "ud") for seed, width in enumerate(widths))
    method = build_method(name, supervised=supervised)
    terms = values(method(student, teacher if method.needs_teacher else None, targets, CONTEXT))
    assert supervised in terms
    assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())
    sum(terms.values()).backward()
    assert torch.isfinite(student.logits.grad).all()
    assert student.logits.grad.abs().sum() > 0
    assert teacher.logits.grad is None
    assert teacher.embeddings.grad is None
    assert teacher.pooled.grad is None
    assert teacher.partition_logits.grad is None


@pytest.mark.parametrize("name", METHODS.names())
def test_declarations(name):
    method = METHODS.get(name)
    assert issubclass(method, Method)
    assert method.equations
    assert method().needs <= {"embeddings", "pooled", "stages", "calibration_logits", "attention", "partition_logits"}
    assert method.needs_teacher or not method.trains_teachers
    assert method.trains_teachers == (name == "cpsd")
    assert msgspec.convert(msgspec.to_builtins(build_method(name)), method) == build_method(name)


def test_vanilla_is_bce_over_the_batch(targets):
    student = output(0, 4, decoder=None)
    assert values(build_method("vanilla")(student, None, targets, CONTEXT)) == {
        "bce": losses.bce(student.logits, targets)
    }
    summed = values(build_method("vanilla", reduction="sum", supervised="asl")(student, None, targets, CONTEXT))
    assert summed == {"asl": losses.asymmetric(student.logits, targets, reduction="sum")}


def test_a_decoder_beside_the_head_learns_from_the_labels_under_every_method(targets):
    student, teacher = output(0, 4, calibrated=True), output(1, 8, calibrated=True)
    for name in METHODS.names():
        terms = values(build_method(name, supervised="bce")(student, teacher, targets, CONTEXT))
        reduction = "sum" if name in ("l2d", "rkd", "ud", "cpsd") else "batchmean"
        expected = losses.bce(student.embedding_logits, targets, reduction=reduction)
        torch.testing.assert_close(terms["decoder_bce"], expected)
        head = output(0, 4, decoder="head", calibrated=True)
        assert "decoder_bce" not in build_method(name, supervised="bce")(head, teacher, targets, CONTEXT)


def test_mse_weights_the_squared_error(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8)
    terms = values(build_method("mse", lambda_mse=3.0)(student, teacher, targets, CONTEXT))
    assert list(terms) == ["bce", "mse"]
    torch.testing.assert_close(terms["mse"], 3 * losses.mse(student.logits, teacher.logits, targets))


def test_mld_protocols_differ_in_the_supervised_reduction(targets):
    student, teacher = output(0, 4), output(1, 8)
    paper = values(build_method("mld")(student, teacher, targets, CONTEXT))
    code = values(build_method("mld", protocol="code")(student, teacher, targets, CONTEXT))
    torch.testing.assert_close(code["bce"], B * paper["bce"])
    torch.testing.assert_close(code["mld"], paper["mld"])
    torch.testing.assert_close(paper["mld"], 10 * losses.mld(student.logits, teacher.logits, targets))


def test_l2d_with_the_decoder_as_head_is_the_papers_objective(targets):
    student, teacher = output(0, 4, decoder="head"), output(1, 8, decoder="head")
    terms = values(build_method("l2d")(student, teacher, targets, CONTEXT))
    assert list(terms) == ["bce", "mld", "cd", "id"]
    pair = student.embeddings, teacher.embeddings, targets
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, targets, reduction="sum"))
    torch.testing.assert_close(terms["mld"], 10 * losses.mld(student.logits, teacher.logits, targets))
    torch.testing.assert_close(terms["cd"], 100 * losses.class_aware(*pair))
    torch.testing.assert_close(terms["id"], 1000 * losses.instance_aware(*pair))


def test_l2d_teaches_a_training_only_decoder_by_its_own_term(targets):
    student = output(0, 4, decoder="branch")
    terms = values(build_method("l2d", supervised="asl")(student, output(1, 8), targets, CONTEXT))
    assert list(terms) == ["asl", "decoder_asl", "mld", "cd", "id"]
    expected = losses.asymmetric(student.embedding_logits, targets, reduction="sum")
    torch.testing.assert_close(terms["decoder_asl"], expected)
    assert torch.autograd.grad(terms["mld"], student.embedding_logits, allow_unused=True) == (None,)


@pytest.mark.parametrize("weights", [{"lambda_cd": 0}, {"lambda_id": 0}, {"lambda_cd": 0, "lambda_id": 0}])
def test_l2d_leaves_out_what_has_no_weight(weights, targets):
    method, kept = build_method("l2d", **weights), {"cd", "id"} - {name.removeprefix("lambda_") for name in weights}
    student, teacher = (output(seed, 4, decoder="head" if kept else None) for seed in (0, 1))
    named = method(student, teacher, targets, CONTEXT)
    terms = values(named)
    assert terms.keys() == {"bce", "mld"} | kept
    assert {name for name, term in named.items() if term.relates_images} == kept & {"cd"}
    assert method.needs == ({"embeddings"} if kept else set())
    if kept:
        both = values(build_method("l2d")(student, teacher, targets, CONTEXT))
        assert all(torch.allclose(terms[name], both[name]) for name in terms)


@pytest.mark.parametrize("lacking", ["student", "teacher"])
def test_l2d_names_who_lacks_embeddings(lacking, targets):
    outputs = {"student": output(0, 4), "teacher": output(1, 8), lacking: output(2, 4, decoder=None)}
    with pytest.raises(ConfigError, match=f"the {lacking} has none"):
        build_method("l2d")(outputs["student"], outputs["teacher"], targets, CONTEXT)


def test_mdkd_sums_orders_two_to_four_with_unit_weights(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8, decoder=None)
    terms = values(build_method("mdkd")(student, teacher, targets, CONTEXT))
    assert list(terms) == ["bce", "mld", "bd2", "bd3", "bd4", "id2", "id3", "id4"]
    pair = student.logits, teacher.logits
    for order in (2, 3, 4):
        torch.testing.assert_close(terms[f"bd{order}"], losses.batch_dependency(*pair, order, targets))
        torch.testing.assert_close(terms[f"id{order}"], losses.instance_dependency(*pair, order, targets))
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, targets))
    torch.testing.assert_close(terms["mld"], 10 * losses.mld(*pair, targets))


def test_mdkd_weights_per_order_and_form(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8)
    method = build_method("mdkd", max_order=5, lambda_bd={2: 0.5, 5: 2.0}, lambda_id=0, batch_dependency="squared_sum")
    terms = values(method(student, teacher, targets, CONTEXT))
    assert list(terms) == ["bce", "mld", "bd2", "bd5"]
    expected = losses.batch_dependency(student.logits, teacher.logits, 5, targets, form="squared_sum")
    torch.testing.assert_close(terms["bd5"], 2 * expected)


def test_mld_softens_both_logits_and_keeps_the_gradients_size(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8)
    terms = values(build_method("mld", temperature=3, lambda_mld=2)(student, teacher, targets, CONTEXT))
    torch.testing.assert_close(terms["mld"], 2 * 9 * losses.mld(student.logits / 3, teacher.logits / 3, targets))
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, targets))
    # What docs/which_method.md calls `mld_T3`, in the terms of UD.
    ud = build_method("ud", protocol="paper", supervised="bce", alpha=0, beta=0, lambda_kd=2 * C * 9)
    softened = values(ud(student, teacher, targets, CONTEXT))
    torch.testing.assert_close(softened["kd"] + softened["bce"], terms["mld"] + terms["bce"])


@pytest.mark.parametrize("name", ["mdkd", "l2d", "reviewkd"])
def test_others_soften_their_mld_alike_and_change_nothing_else(name, targets):
    student, teacher = output(0, 4), output(1, 8)

    def of(name, **options):
        return values(build_method(name, **options)(student, teacher, targets, CONTEXT))

    plain, softened = of(name), of(name, lambda_mld=2, temperature=3)
    torch.testing.assert_close(softened.pop("mld"), of("mld", lambda_mld=2, temperature=3)["mld"])
    assert ("mld" in plain) == (name != "reviewkd"), "the combination is ours, and off"
    torch.testing.assert_close(softened, {key: value for key, value in plain.items() if key != "mld"})


def test_rkd_and_pkt_weigh_relations_of_the_pooled_features(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8)
    pair = student.pooled, teacher.pooled
    own = {"protocol": "paper", "lambda_distance": 25, "lambda_angle": 50}
    rkd = values(build_method("rkd", **own)(student, teacher, targets, CONTEXT))
    pkt = values(build_method("pkt")(student, teacher, targets, CONTEXT))
    assert list(rkd) == ["bce", "rkd_distance", "rkd_angle"]
    assert list(pkt) == ["bce", "pkt"]
    torch.testing.assert_close(rkd["rkd_distance"], 25 * losses.rkd_distance(*pair))
    torch.testing.assert_close(rkd["rkd_angle"], 50 * losses.rkd_angle(*pair))
    torch.testing.assert_close(pkt["pkt"], 30000 * losses.pkt(*pair))
    for terms in (rkd, pkt):
        torch.testing.assert_close(terms["bce"], losses.bce(student.logits, targets))
    assert list(build_method("rkd", lambda_angle=0)(student, teacher, targets, CONTEXT)) == ["bce", "rkd_distance"]


def test_rkd_is_weighed_as_l2ds_authors_do(targets):
    student, teacher = output(0, 4, decoder=None), output(1, 8)
    method = build_method("rkd")
    terms = values(method(student, teacher, targets, CONTEXT))
    relative = [d / (d.sum() / (B * (B - 1))) for d in (torch.cdist(x, x) for x in (student.pooled, teacher.pooled))]
    expected = torch.nn.functional.smooth_l1_loss(*relative, reduction="sum") / B
    torch.testing.assert_close(terms["rkd_distance"], 10 * expected)
    torch.testing.assert_close(terms["rkd_angle"], 10 * losses.rkd_angle(student.pooled, teacher.pooled))
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, targets, reduction="sum"))


@pytest.mark.parametrize("name", ["rkd", "pkt"])
@pytest.mark.parametrize("lacking", ["student", "teacher"])
def test_rkd_and_pkt_name_who_lacks_pooled_features(name, lacking, targets):
    outputs = {"student": output(0, 4), "teacher": output(1, 8)}
    outputs[lacking].pooled = None
    with pytest.raises(ConfigError, match=f"{name}.* the {lacking} has none"):
        build_method(name)(outputs["student"], outputs["teacher"], targets, CONTEXT)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mdkd", {"lamda_mld": 1.0}, "Did you mean `lambda_mld`"),
        ("mdkd", {"lambda_bd": {5: 1.0}}, r"lambda_bd names order 5, outside 2..max_order \(4\)"),
        ("mdkd", {"lambda_id": -1.0}, "lambda_id"),
        ("mdkd", {"max_order": 1}, "max_order"),
        ("mdkd", {"batch_dependency": "mean"}, "Allowed: mean_square, squared_sum"),
        ("vanilla", {"supervised": "ce"}, "Allowed: bce, asl"),
        ("mdk", {}, "did you mean 'mdkd'"),
    ],
)
def test_wrong_hyper_parameters_are_named(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_method(name, **arguments)


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).needs_teacher])
def test_a_missing_teacher_is_named(name, targets):
    with pytest.raises(ConfigError, match="none is given"):
        build_method(name)(output(0, 4), None, targets, CONTEXT)


def test_hyper_parameters_are_immutable():
    with pytest.raises(AttributeError):
        build_method("mld").lambda_mld = 1.0
