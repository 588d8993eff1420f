"""UD: terms by the equations, trainings through the engine."""

import json
import math

import pytest
import torch
import yaml
from rich.console import Console

from edgedistill.distill import build_model, losses
from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import TrainingContext, build_method, total, values
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

f64 = torch.float64
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=1)
B, C = 3, 4


def draw(*shape: int, seed: int, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=f64)


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
    terms = values(build_method("ud", protocol="paper", **weights)(student, teacher, y, CONTEXT))
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
    assert {name: float(term) for name, term in values(method(student, teacher, y, CONTEXT)).items()} == pytest.approx(
        {
            "kd": 4 * sum(binary) / 2,
            "calibration_kd": 0.5 * 4 * sum(calibrated),
            "attention": 0.1 * sum(maps) / (B * 4),
        }
    )
    # The paper's "KD" row is its first term alone.
    kd = build_method("kd", form="binary", protocol="code", temperature=2)
    assert kd(student, teacher, y, CONTEXT)["kd"].value == method(student, teacher, y, CONTEXT)["kd"].value


def test_only_the_student_learns_and_its_head_from_eq_13_alone():
    student, teacher, y = outputs()
    total(build_method("ud")(student, teacher, y, CONTEXT)).backward()
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
def test_what_is_switched_off_is_neither_computed_nor_needed(weights, needs, names, make_model):
    method = build_method("ud", **weights)
    assert method.needs == needs
    student, teacher, y = outputs()
    for output in (student, teacher):
        for field in {"calibration_logits", "attention"} - needs:
            setattr(output, field, None)
    assert list(method(student, teacher, y, CONTEXT)) == names
    model, source = make_model(), make_model(("calibration",))
    trained = TrainedNetwork(model, method.build_part(model, None, (32, 32)))
    said = trained.eval()(torch.zeros(1, 3, 32, 32))
    assert {field for field in ("calibration_logits", "attention") if getattr(said, field) is not None} == needs
    method.prepare_teacher(source)
    assert ("attention" in source.gives) == ("attention" in needs)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_student_and_teacher_weigh_channels_as_the_protocol_says(protocol, make_model):
    method, models = build_method("ud", protocol=protocol), [make_model(("calibration",)) for _ in range(2)]
    part = method.build_part(models[0], models[1], (32, 32))
    method.prepare_teacher(models[1])
    assert [part.channel_weights, models[1].attention] == [{"paper": "gradient", "code": "softmax"}[protocol]] * 2
    assert models[0].attention is None


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
def test_a_stored_teacher_gives_the_terms_of_a_live_one(cache_case, protocol):
    torch.manual_seed(0)
    method, small = build_method("ud", protocol=protocol), {"width": 0.5, "stem": "small"}  # maps of 2 x 2
    student = build_model("shufflenetv2", 3, **small)
    teacher = build_model("shufflenetv2", 3, branches=["calibration"], **small)
    for model in (student, teacher):
        for name, module in model.named_modules():
            if name.endswith("layers.3"):
                module.weight.data *= 20  # opinions that differ as trained ones do
    student = TrainedNetwork(student, method.build_part(student, teacher, (32, 32)))
    method.prepare_teacher(teacher)
    teacher.eval().requires_grad_(False)
    teacher.seen, cache_case.teacher = 0, teacher
    cached, indices = cache_case.open(needs=method.needs), torch.tensor([3, 0, 21, 8])
    assert "calibration logits (3) and attention (2 x 2)" in cache_case.told
    targets = torch.from_numpy(cache_case.dataset.labels[indices.numpy()])
    said = student(draw(4, 3, 32, 32, seed=3).float())
    read = values(method(said, cached(indices, 1, targets), targets, CONTEXT))
    live = values(method(said, cache_case.live(indices, 1), targets, CONTEXT))
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
    assert trained.training("baseline", None).job.method == build_method("vanilla", reduction="sum")
