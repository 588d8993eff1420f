"""UD: uncertainty attention by finite differences, terms by the equations, trainings through the engine."""

import copy
import json
import math

import pytest
import torch
import yaml
from rich.console import Console
from torch import nn

from edgedistill.distill import losses
from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import TrainingContext, build_method
from edgedistill.distill.models import Classifier
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.recipe import load_recipe
from edgedistill.distill.teacher_cache import teacher_digest
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

f64 = torch.float64
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=1)
B, C = 3, 4


def draw(*shape: int, seed: int, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=f64)


class OneLayer(nn.Module):
    """The least backbone: maps of 3 channels, half the image's size."""

    channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 2, 2)

    def forward(self, images):
        return [self.layer(images)]


def network(head: str = "linear", *, weights: str | None = "gradient", branches=("calibration",)) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(OneLayer(), C, head=head, branches=branches).double()
    if weights:
        model.attend(weights)
    return model.eval()


IMAGES = draw(B, 3, 4, 6, seed=1)


def divergences(model: Classifier, maps: torch.Tensor) -> torch.Tensor:
    """KL(softmax(calibration) || softmax(logits)) of every image, from the definition."""
    vector, logits = model.head(maps)
    if vector.ndim != 2:
        vector = maps.mean((2, 3))
    p, q = model.branches["calibration"](vector).softmax(1), logits.softmax(1)
    return (p * (p / q).log()).sum(1)


@torch.no_grad()
def attention_by_differences(model: Classifier, maps: torch.Tensor, channel_weights: str) -> torch.Tensor:
    """Eq. 15-16, one position after the other; with BatchNorm in training mode of the sum over the batch."""
    model, step = copy.deepcopy(model), 1e-6
    slopes = torch.zeros_like(maps)
    for place in torch.cartesian_prod(*map(torch.arange, maps.shape)).tolist():
        moved = [maps.clone(), maps.clone()]
        moved[0][tuple(place)] += step
        moved[1][tuple(place)] -= step
        after, before = (divergences(model, one) for one in moved)
        slopes[tuple(place)] = (after - before).sum() / (2 * step)
    result = torch.zeros(len(maps), *maps.shape[2:], dtype=maps.dtype)
    for image, (slope, channels) in enumerate(zip(slopes, maps, strict=True)):
        weights = [float(of_channel.sum()) for of_channel in slope]
        if channel_weights == "softmax":
            weights = [math.exp(w) / sum(map(math.exp, weights)) for w in weights]
        for weight, channel in zip(weights, channels, strict=True):
            result[image] += weight * channel
    return result


@pytest.mark.parametrize(
    ("head", "channel_weights", "training"),
    [
        ("linear", "gradient", False),
        ("linear", "gradient", True),
        ("linear", "softmax", False),
        ("linear_max", "gradient", False),
        ("linear_max", "softmax", True),
        ("ml_decoder", "gradient", False),
    ],
)
def test_attention_is_that_of_finite_differences(head, channel_weights, training):
    model = network(head, weights=channel_weights)
    model.branches.train(training)  # dropout of a decoder would draw anew
    output = model(IMAGES[:2])
    expected = attention_by_differences(model, output.features.detach(), channel_weights)
    assert expected.std() > 1e-3
    torch.testing.assert_close(output.attention.detach(), expected, rtol=1e-5, atol=1e-7)


def test_the_students_gradient_flows_through_its_maps_alone():
    """A_hw = sum_c w_c Z_chw with constant w: the slope is w, at the same position only."""
    output = network().train()(IMAGES)
    chosen = output.attention[1, 0, 2]
    gradient, *others = torch.autograd.grad(
        chosen, [output.features, output.logits, output.calibration_logits], allow_unused=True
    )
    assert others == [None, None]
    weights = gradient[1, :, 0, 2].clone()
    torch.testing.assert_close(chosen, (weights * output.features[1, :, 0, 2]).sum())
    gradient[1, :, 0, 2] = 0
    assert not gradient.any()


def test_a_forward_pass_leaves_no_gradients_and_batchnorm_counts_a_batch_once():
    plain, attending = network(weights=None).train(), network().train()
    for model in (plain, attending):
        model(IMAGES)
    for (name, one), other in zip(plain.named_buffers(), attending.buffers(), strict=True):
        assert torch.equal(one, other), name
    assert attending.branches["calibration"].layers[1].num_batches_tracked == 1
    assert all(parameter.grad is None for parameter in attending.parameters())


def test_a_frozen_teacher_attends_without_gradients_and_an_evaluation_does_not():
    model = network()
    expected = model(IMAGES).attention.detach()
    model.requires_grad_(False)
    with torch.no_grad():
        output = model(IMAGES)
    assert torch.equal(output.attention, expected)
    assert not output.attention.requires_grad
    with torch.inference_mode():
        assert model(IMAGES).attention is None


def test_attention_is_computed_in_float32_under_autocast():
    model = network().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(IMAGES.float())
    assert (output.features.dtype, output.attention.dtype) == (torch.bfloat16, torch.float32)
    maps = output.features.detach().double()
    expected = attention_by_differences(network(), maps, "gradient")
    torch.testing.assert_close(output.attention, expected.float(), rtol=1e-4, atol=1e-6)


def test_a_compiled_student_attends_too():
    plain, compiled = network().train(), network().train()
    compiled.compile(backend="eager")
    for _ in range(2):
        outputs = plain(IMAGES), compiled(IMAGES)
    torch.testing.assert_close(outputs[1].attention, outputs[0].attention)
    gradients = [torch.autograd.grad(o.attention.square().sum(), m.backbone.layer.weight)[0]
                 for o, m in zip(outputs, (plain, compiled), strict=True)]  # fmt: skip
    torch.testing.assert_close(*gradients)
    with torch.inference_mode():
        assert compiled(IMAGES).attention is None


def test_attention_is_asked_for_and_goes_with_its_branch():
    model = network(weights=None)
    digest = teacher_digest(model)
    assert model(IMAGES).attention is None
    assert model.gives == {"pooled", "calibration_logits"}
    digests = {digest}
    for weights in ("gradient", "softmax"):  # stored maps of one kind are not read as the other
        model.attend(weights)
        digests.add(teacher_digest(model))
    assert len(digests) == 3
    assert "attention" in model.gives
    model.detach_branches(keep={"embeddings"})
    assert model(IMAGES).attention is None
    with pytest.raises(ConfigError, match="needs a calibration branch"):
        model.attend("gradient")


def test_attention_distance_is_its_definition():
    a, b = draw(B, 2, 3, seed=1), draw(B, 2, 3, seed=2)
    y = torch.tensor([[-1, -1], [-1, 0], [1, 1]])
    squares = [sum((x - t) ** 2 for x, t in zip(*pair, strict=True))
               for pair in zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True)]  # fmt: skip
    assert float(losses.attention_distance(a, b)) == pytest.approx(sum(map(math.sqrt, squares)) / B)
    assert float(losses.attention_distance(a, b, form="mse")) == pytest.approx(sum(squares) / (B * 6))
    known = sum(map(math.sqrt, squares[1:])) / B
    assert float(losses.attention_distance(a, b, y)) == pytest.approx(known), "a blank image has no known label"
    assert losses.attention_distance(a.bfloat16(), b.half()).dtype == torch.float32
    with pytest.raises(ValueError, match="attention maps of student"):
        losses.attention_distance(a, b[:2])
    with pytest.raises(ValueError, match="unknown form 'l1'"):
        losses.attention_distance(a, b, form="l1")


def test_a_students_map_is_resized_to_the_teachers():
    a = torch.tensor([[[1.0, 3.0]]])
    # Bilinear, by pixel centres: 1, 1.5, 2.5, 3 in both rows.
    b = torch.tensor([[[1.0, 1.5, 2.5, 3.0], [1.0, 1.5, 2.5, 2.0]]])
    assert float(losses.attention_distance(a, b)) == pytest.approx(1.0)


def outputs(**changes) -> tuple[ModelOutput, ModelOutput, torch.Tensor]:
    """A student, a teacher and labels, some unknown, all of the second image's."""
    pair = [
        ModelOutput(
            draw(B, C, seed=seed).requires_grad_(),
            calibration_logits=draw(B, C, seed=seed + 10).requires_grad_(),
            attention=draw(B, 2, 2, seed=seed + 20).requires_grad_(),
        )
        for seed in (1, 2)
    ]
    y = torch.tensor([[1, -1, 0, 1], [-1, -1, -1, -1], [0, 0, 0, 0]], dtype=torch.int8)
    return *pair, y


def plain_terms(student: ModelOutput, teacher: ModelOutput, y: torch.Tensor, temperature: float) -> list[list[float]]:
    """Per image: the binary KL averaged over the classes, the KL of the softmaxes, the squared distance of the maps."""

    def sigmoid(score: float) -> float:
        return 1 / (1 + math.exp(-score / temperature))

    found: list[list[float]] = [[], [], []]
    for image in range(B):
        known = [label for label in range(C) if y[image, label] >= 0]
        binary = 0.0
        for label in known:
            t, s = sigmoid(float(teacher.logits[image, label])), sigmoid(float(student.logits[image, label]))
            binary += t * math.log(t / s) + (1 - t) * math.log((1 - t) / (1 - s))
        found[0].append(binary / C)
        exponentials = [
            [math.exp(float(output.calibration_logits[image, label]) / temperature) for label in known]
            for output in (teacher, student)
        ]
        t, s = ([value / sum(values) for value in values] for values in exponentials)
        found[1].append(sum(a * math.log(a / b) for a, b in zip(t, s, strict=True)))
        squares = (student.attention[image] - teacher.attention[image]).square().sum()
        found[2].append(float(squares) if known else 0.0)
    return found


@torch.no_grad()
@pytest.mark.parametrize("weights", [{}, {"lambda_kd": 2, "alpha": 3, "beta": 4, "temperature": 1.5}])
def test_the_paper_terms_are_the_equations(weights):
    student, teacher, y = outputs()
    binary, calibrated, maps = plain_terms(student, teacher, y, weights.get("temperature", 3))
    terms = build_method("ud", **weights)(student, teacher, y, CONTEXT)
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {
            "kd": weights.get("lambda_kd", 1) * sum(binary) / B,
            "calibration_kd": weights.get("alpha", 0.5) * sum(calibrated) / B,
            "attention": weights.get("beta", 0.5) * sum(map(math.sqrt, maps)) / B,
        }
    )


@torch.no_grad()
def test_the_code_terms_are_sums_times_the_squared_temperature():
    student, teacher, y = outputs()
    binary, calibrated, maps = plain_terms(student, teacher, y, 2)
    method = build_method("ud", protocol="code", temperature=2)
    assert {name: float(term) for name, term in method(student, teacher, y, CONTEXT).items()} == pytest.approx(
        {
            "kd": 4 * sum(binary) / 2,
            "calibration_kd": 0.5 * 4 * sum(calibrated),
            "attention": 0.1 * sum(maps) / (B * 4),
        }
    )
    # The paper's "KD" row is its first term alone.
    kd = build_method("kd", form="binary", protocol="code", temperature=2)
    assert kd(student, teacher, y, CONTEXT)["kd"] == method(student, teacher, y, CONTEXT)["kd"]


def test_only_the_student_learns_and_its_head_from_eq_13_alone():
    student, teacher, y = outputs()
    sum(build_method("ud")(student, teacher, y, CONTEXT).values()).backward()
    fields = ("logits", "calibration_logits", "attention")
    assert all(getattr(student, field).grad.any() for field in fields)
    assert all(getattr(teacher, field).grad is None for field in fields)
    assert not student.logits.grad[1].any(), "nothing is known of this image"


@pytest.mark.parametrize(
    ("weights", "needs", "names"),
    [
        ({}, {"calibration_logits", "attention"}, ["kd", "calibration_kd", "attention"]),
        ({"beta": 0}, {"calibration_logits"}, ["kd", "calibration_kd"]),
        ({"alpha": 0, "beta": 0}, set(), ["kd"]),
        ({"alpha": 0, "beta": 0, "supervised": "bce"}, set(), ["bce", "kd"]),
        (
            {"lambda_kd": 0, "supervised": {"name": "asl"}},
            {"calibration_logits", "attention"},
            ["asl", "calibration_pal", "calibration_kd", "attention"],
        ),
    ],
)
def test_what_is_switched_off_is_neither_computed_nor_needed(weights, needs, names):
    method = build_method("ud", **weights)
    assert method.needs == needs
    student, teacher, y = outputs()
    for output in (student, teacher):
        for field in {"calibration_logits", "attention"} - needs:
            setattr(output, field, None)
    assert list(method(student, teacher, y, CONTEXT)) == names
    model = network(weights=None, branches=())
    method.extend_student(model, None, (4, 6))
    assert model.gives - {"pooled"} == needs
    source = network(weights=None)
    method.prepare_teacher(source)
    assert ("attention" in source.gives) == ("attention" in needs)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_student_and_teacher_weigh_channels_as_the_protocol_says(protocol):
    method, models = build_method("ud", protocol=protocol), [network(weights=None) for _ in range(2)]
    method.extend_student(models[0], models[1], (4, 6))
    method.prepare_teacher(models[1])
    assert [model.attention for model in models] == [{"paper": "gradient", "code": "softmax"}[protocol]] * 2


@pytest.mark.parametrize("field", ["calibration_logits", "attention"])
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_what_lacks_is_named(field, who):
    student, teacher, y = outputs()
    setattr(student if who == "student" else teacher, field, None)
    with pytest.raises(ConfigError, match=rf"'ud' compares {field.replace('_', ' ')} and the {who} has none"):
        build_method("ud")(student, teacher, y, CONTEXT)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"alpha": 0}, "beta needs the student's calibration branch, which nothing trains when alpha is 0"),
        ({"lambda_kd": 0}, "lambda_kd is 0, so nothing teaches the head that ships"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_weights_that_leave_something_untrained_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        build_method("ud", **weights)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_a_stored_teacher_gives_the_terms_of_a_live_one(cache_case, make_model, protocol):
    method, student, teacher = build_method("ud", protocol=protocol), make_model(), make_model(("calibration",), seed=1)
    for model in (student, teacher):
        model.backbone.stages[0][0].stride = (1, 1)  # maps of 2 x 2
        for name, module in model.named_modules():
            if name.endswith("layers.3"):
                module.weight.data *= 20  # opinions that differ as trained ones do
    method.extend_student(student, teacher, (32, 32))
    method.prepare_teacher(teacher)
    teacher.eval().requires_grad_(False)
    teacher.seen, cache_case.teacher = 0, teacher
    cached, indices = cache_case.open(needs=method.needs), torch.tensor([3, 0, 21, 8])
    assert "calibration logits (3) and attention (2 x 2)" in cache_case.told
    targets = torch.from_numpy(cache_case.dataset.labels[indices.numpy()])
    said = student(draw(4, 3, 32, 32, seed=3).float())
    read = method(said, cached(indices, 1, targets), targets, CONTEXT)
    live = method(said, cache_case.live(indices, 1), targets, CONTEXT)
    assert live["attention"] > 1e-4
    for name, term in live.items():
        torch.testing.assert_close(read[name], term, rtol=2e-3, atol=1e-6, msg=name)


SMALL = {"name": "shufflenetv2", "width": 0.5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Experiment:
    """Two steps each of a calibrated teacher, whose maps are four times the student's, and of the student."""
    folder = tmp_path_factory.mktemp("ud")
    digits = {"format": "digit_scenes", "size": 32}
    settings = {"epochs": 1, "batch_size": 16, "augment": [], "workers": 0}
    content = {
        "output": str(folder / "runs"),
        "data": {
            "train": {**digits, "split": "train", "images": 40},
            "test": {**digits, "split": "test", "images": 10},
            "validation": 0.2,
        },
        "input": {"size": 32},
        "teacher": {"model": {**SMALL, "stem": "small", "branches": ["calibration"]}, "train": settings, "cache": True},
        "student": {"model": SMALL, "train": settings},
        "method": "ud",
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    run = Experiment(load_recipe(folder / "recipe.yaml"), Console(quiet=True))
    run.student(run.teacher())
    return run


def test_teacher_and_student_train_by_recipe(trained):
    found = {}
    for role in ("teacher", "student"):
        found[role] = json.loads((trained.folder / role / "metrics.jsonl").read_text())["terms"]
        assert all(math.isfinite(value) for value in found[role].values())
    assert set(found["teacher"]) == {"bce", "calibration_pal"}
    assert set(found["student"]) == {"kd", "calibration_kd", "attention"}
    assert found["student"]["attention"] > 0


def test_a_teacher_is_stored_with_its_branch_and_a_student_without(trained):
    teacher = load_student(trained.folder / "teacher" / "teacher.safetensors").model
    student = load_student(trained.folder / "student" / "student.safetensors").model
    assert list(teacher.branches) == ["calibration"]
    assert teacher.branches["calibration"].layers[1].num_batches_tracked == 2
    assert not student.branches
    assert teacher.attention is student.attention is None


def test_a_teacher_without_the_branch_is_refused_with_the_command_that_trains_it(trained):
    content = yaml.safe_load((trained.folder.parent.parent / "recipe.yaml").read_text())
    path = trained.folder.parent.parent / "plain.yaml"
    path.write_text(yaml.safe_dump({**content, "teacher": {**content["teacher"], "model": SMALL}}))
    with pytest.raises(ConfigError, match=r"branches: \[calibration\]` and run `edgedistill train .*plain.yaml`"):
        Experiment(load_recipe(path), Console(quiet=True)).teacher()
    alone = load_recipe(path, assignments=["method={name: ud, alpha: 0, beta: 0}"])
    assert Experiment(alone, Console(quiet=True)).untrained_teacher() is not None


def test_the_baseline_of_a_method_without_supervision_learns_by_bce(trained):
    assert trained.training("baseline", None).job.method == build_method("vanilla")
