"""The training loop: resumed trainings equal uninterrupted ones, and what goes wrong is named."""

import io
import json
import math
import resource
import signal
import sys
from dataclasses import replace
from importlib import metadata
from types import ModuleType

import pytest
import torch
from rich.console import Console
from torch.nn import Conv2d

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import TrainSettings, fit, interrupt, predict_logits
from edgedistill.distill.engine import prepare as prepare_module
from edgedistill.distill.engine import trainer as trainer_module
from edgedistill.distill.engine.estimate import estimate
from edgedistill.distill.engine.folder import sole_writer
from edgedistill.distill.engine.optimize import build_optimizer, build_schedule, choose_dtype
from edgedistill.distill.engine.step import Step, Taken
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.runtime.errors import CheckpointError, ConfigError, DataError, EdgedistillError, InterruptedRunError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


class StopAfter:
    """Stands in for Ctrl-C: true from the n-th time it is asked."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture
def interrupt_after(monkeypatch):
    def install(steps: int) -> None:
        import contextlib

        monkeypatch.setattr(trainer_module, "catch_interrupt", lambda _: contextlib.nullcontext(StopAfter(steps)))

    yield install
    monkeypatch.setattr(trainer_module, "catch_interrupt", interrupt.catch_interrupt)


def test_ctrl_c_while_rich_imports_its_emoji_is_no_fault(make_job, make_model, monkeypatch):
    """Which it does when it first prints: here at the end of the first epoch."""

    def print_first(*_) -> None:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "rich._emoji_codes", ModuleType("half imported"))
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("edgedistill.distill.engine.progress.TrainingProgress.epoch", print_first)
    told = io.StringIO()
    with pytest.raises(InterruptedRunError, match="stopped after step 4 of 8"):
        fit(make_job(), make_model(), None, Console(file=told))
    assert "stopping after this step" in told.getvalue()


def weights(path):
    return load_student(path).model.state_dict()


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_a_resumed_training_ends_with_the_very_same_weights(make_job, make_model, interrupt_after, monkeypatch, steps):
    whole = fit(make_job("whole"), make_model(), None, QUIET)
    job = make_job("parts")
    interrupt_after(steps)
    with pytest.raises(InterruptedRunError, match=r"stopped after step \d+ of 8.*same command continues"):
        fit(job, make_model(), None, QUIET)
    monkeypatch.undo()
    torch.rand(1)  # whatever happened to the global generator in between does not matter
    resumed = fit(job, make_model(), None, QUIET)
    for (name, a), b in zip(weights(whole).items(), weights(resumed).values(), strict=True):
        assert torch.equal(a, b), name


def test_dropout_resumes_exactly_too(make_job, make_model, interrupt_after, monkeypatch):
    whole = fit(make_job("whole"), make_model(["ml_decoder"]), None, QUIET)
    job = make_job("parts")
    interrupt_after(2)
    with pytest.raises(InterruptedRunError):
        fit(job, make_model(["ml_decoder"]), None, QUIET)
    monkeypatch.undo()
    resumed = fit(job, make_model(["ml_decoder"]), None, QUIET)
    for (name, a), b in zip(weights(whole).items(), weights(resumed).values(), strict=True):
        assert torch.equal(a, b), name


def test_it_trains_on_files_with_a_loading_process_and_tells_what_it_skipped(
    make_job, make_model, tint_dataset, tmp_path
):
    import io

    from PIL import Image

    data = tint_dataset(32)
    paths = [tmp_path / f"{i}.jpg" for i in range(32)]
    for path, pixels in zip(paths, data.images, strict=True):
        Image.fromarray(pixels).resize((48, 40)).save(path)
    paths[3].write_bytes(b"broken")
    told = io.StringIO()
    job = replace(make_job(train=replace(data, images=paths), workers=1), max_bad_share=0.1)
    fit(job, make_model(), None, Console(file=told, width=200))
    assert "1 undecodable images skipped (tints-3" in told.getvalue()


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(make_job, make_model, monkeypatch):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    before = job.last.read_bytes()
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(RuntimeError("PytorchStreamWriter failed")))
    longer = replace(job, folder=job.folder.with_name("full"))
    with pytest.raises(EdgedistillError, match=r"cannot write .*last\.ckpt"):
        fit(longer, make_model(), None, QUIET)
    assert job.last.read_bytes() == before
    assert not list(longer.folder.glob("*.tmp"))


def test_a_finished_training_is_loaded_not_repeated(make_job, make_model):
    job = make_job()
    path = fit(job, make_model(), None, QUIET)
    written = path.stat().st_mtime_ns
    assert fit(job, make_model(), None, QUIET) == path
    assert path.stat().st_mtime_ns == written


def test_metrics_and_card_tell_what_was_trained(make_job, make_model):
    job = make_job(epochs=3)
    student = load_student(fit(job, make_model(), None, QUIET))
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert set(records[0]["terms"]) == {"bce"}
    best = max(record["val_mAP"] for record in records)
    assert student.card.metrics["mAP"] == pytest.approx(best)
    assert len(student.card.thresholds) == 3
    assert list((job.folder / "tensorboard").iterdir())


def test_it_learns(make_job, make_model, tint_dataset):
    job = make_job(epochs=8, train=tint_dataset(256))
    assert load_student(fit(job, make_model(), None, QUIET)).card.metrics["mAP"] > 90


def test_another_recipe_is_not_continued(make_job, make_model):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        fit(replace(job, identity="other"), make_model(), None, QUIET)


def test_a_damaged_last_checkpoint_is_named(make_job, make_model):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    (job.folder / "summary.json").unlink()  # a finished training is loaded without it
    job.last.write_bytes(job.last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: damaged .* Delete it to start over"):
        fit(job, make_model(), None, QUIET)


def test_a_term_that_is_not_finite_stops_the_run_and_names_it_the_step_and_the_images(make_job, make_model):
    model = make_model()
    with torch.no_grad():
        model.head.linear.bias.fill_(math.inf)
    job = make_job(epochs=3, skip_limit=2)
    with pytest.raises(
        EdgedistillError,
        match=r"'bce' was not finite in 2 steps in a row, the last one step 2 of 4 in epoch 1, at learning rate \S+, "
        r"on tints-\d+, .* 12 more",
    ):
        fit(job, model, None, QUIET)


class BreaksAt:
    """A method whose loss or gradient is not finite in chosen steps."""

    needs_teacher, needs = False, frozenset()

    def __init__(self, steps, *, gradient: bool) -> None:
        self.steps, self.gradient = steps, gradient

    def batch_terms(self):
        return frozenset()

    summed_terms = batch_terms

    def __call__(self, student, teacher, targets, context):
        loss = student.logits.square().mean()
        if context.step in self.steps:
            # sqrt has an infinite slope at 0, where its value is finite
            loss = (student.logits * 0).sum().sqrt() if self.gradient else loss * math.nan
        return {"square": loss}


@pytest.mark.parametrize("gradient", [False, True])
def test_a_step_that_is_not_finite_changes_nothing_but_the_count(make_job, make_model, gradient):
    """Steps 2 and 5 of 8 break: model, moments, moving average and BatchNorm's statistics stay as they were."""
    broken, left_out = make_model(), make_model()
    job = replace(make_job("broken"), method=BreaksAt({2, 5}, gradient=gradient))
    fit(job, broken, None, QUIET)
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["skipped_steps"] for record in records] == [1, 2]
    assert all(math.isfinite(record["terms"]["square"]) for record in records)
    assert json.loads((job.folder / "summary.json").read_text())["skipped_steps"] == 2

    class LeavesOut(Step):
        def __call__(self, pieces, context):
            if context.step not in {2, 5}:
                return super().__call__(pieces, context)
            self.state.schedule.step()
            return Taken({}, 0.0, finite=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "Step", LeavesOut)
        fit(replace(make_job("left_out"), method=BreaksAt((), gradient=False)), left_out, None, QUIET)
    for (name, a), b in zip(broken.state_dict().items(), left_out.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_accumulated_pieces_give_the_gradient_of_the_whole_batch(make_job, make_model, protocol):
    """For terms that are means or (the supervised one under `code`) sums over images, without batch statistics."""
    found = []
    for accumulate in (1, 4):
        model = make_model()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode=True, module=module: module  # stays in eval mode
                module.training = False
        job = make_job(f"by{accumulate}", accumulate=accumulate, ema=None, optimizer="sgd", lr=1e-4)
        job = replace(job, method=build_method("mld", protocol=protocol))
        fit(job, model, make_model().requires_grad_(False), QUIET)
        found.append(model.state_dict())
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-5), name


def test_terms_that_see_a_piece_of_the_batch_are_named(make_job, make_model):
    told = io.StringIO()
    fit(make_job(method="mdkd", accumulate=4), make_model(), make_model(), Console(file=told, width=200))
    assert "bd2, bd3, bd4 see 4 images at a time, not the whole batch of 16" in told.getvalue()
    told = io.StringIO()
    fit(make_job("plain", accumulate=4), make_model(), None, Console(file=told, width=200))
    assert "at a time" not in told.getvalue()


def test_what_ran_and_where_the_time_went_is_stored(make_job, make_model, monkeypatch):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    environment = json.loads((job.folder / "environment.json").read_text())
    assert environment["libraries"]["torch"] == metadata.version("torch")
    assert environment["datasets"]["tints"]["fingerprint"] == job.train.fingerprint()
    summary = json.loads((job.folder / "summary.json").read_text())
    assert summary["finished"]
    assert set(summary["best"]["val_AP"]) == {"red", "green", "blue"}
    assert set(summary["time"]) == {"data", "student", "loss", "teacher", "update"}
    assert sum(summary["time"].values()) == pytest.approx(1, abs=1e-3)
    (job.folder / "summary.json").unlink()
    environment["libraries"]["torch"] = "2.12.0"
    (job.folder / "environment.json").write_text(json.dumps(environment))
    told = io.StringIO()
    fit(job, make_model(), None, Console(file=told, width=300))
    assert "continued with a difference (libraries: " in told.getvalue()
    assert json.loads((job.folder / "summary.json").read_text()) == summary, "written again where a kill prevented it"


def test_a_folder_that_is_too_small_is_told_before_the_first_step(make_job, make_model):
    job = make_job()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(EdgedistillError, match=r"cannot hold the \d+ MB that will be written there"):
            fit(job, make_model(), None, QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in job.folder.iterdir()] == [".lock"]


def test_a_folder_in_which_another_process_trains_is_left_alone(make_job, make_model):
    job = make_job()
    with sole_writer(job.folder), pytest.raises(EdgedistillError, match="another process is training there"):
        fit(job, make_model(), None, QUIET)


def test_a_compiled_training_is_saved_like_any_other(make_job, make_model, tint_dataset, monkeypatch):
    whole = torch.nn.Module.compile  # its default backend takes minutes on two cores
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: whole(module, backend="eager"))
    job = make_job(compile=True, epochs=1, train=tint_dataset(32))
    assert load_student(fit(job, make_model(), None, QUIET)).card.metrics["mAP"] >= 0


def test_undecodable_images_are_replaced_and_past_the_share_the_run_stops(make_job, make_model, tint_dataset, tmp_path):
    data = tint_dataset(64)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a jpeg")
    images = list(data.images)
    images[5] = broken
    job = make_job(train=replace(data, images=images))
    fit(replace(job, max_bad_share=0.02), make_model(), None, QUIET)
    state = torch.load(job.last, weights_only=True)
    assert state["bad_images"] == {5: "tints-5"}
    with pytest.raises(DataError, match=r"1 of 64 images cannot be decoded \(tints-5"):
        fit(replace(job, folder=tmp_path / "strict", max_bad_share=0.0), make_model(), None, QUIET)


def test_a_teacher_is_used_and_left_alone(make_job, make_model):
    teacher = make_model()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    job = replace(make_job(), method=build_method("mld"))
    fit(job, make_model(), teacher, QUIET)
    record = json.loads((job.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert set(record["terms"]) == {"bce", "mld"}
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_evaluation_does_not_depend_on_the_batch_size(make_model, tint_dataset, make_job):
    data, card = tint_dataset(10), make_job().card
    one = predict_logits(make_model(), data, card.preprocessing, batch_size=1)
    many = predict_logits(make_model(), data, card.preprocessing, batch_size=7)
    assert one.logits == pytest.approx(many.logits, abs=1e-5)
    assert one.dataset is data


@pytest.mark.parametrize(("schedule", "last"), [("onecycle", 0.001), ("cosine", 0.001), ("constant", 0.1)])
def test_schedules_rise_to_the_rate_and_end_near_zero_or_stay(make_model, schedule, last):
    settings = TrainSettings(epochs=1, lr=0.1, schedule=schedule, warmup=0.25, optimizer="sgd")
    optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
    scheduler = build_schedule(optimizer, settings, 40)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(0.1, rel=0.02)
    assert rates.index(max(rates)) == pytest.approx(10, abs=1)
    assert rates[-1] == pytest.approx(last, abs=0.001)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_training_that_stops_early_follows_the_longer_schedule(make_model, schedule):
    def rates(epochs, **options):
        settings = TrainSettings(epochs=epochs, lr=0.1, schedule=schedule, warmup=0.25, optimizer="sgd", **options)
        optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
        scheduler = build_schedule(optimizer, settings, 5 * epochs)
        found = []
        for _ in range(5 * epochs):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    assert rates(3, schedule_epochs=8) == rates(8)[:15]
    with pytest.raises(ValueError, match="schedule_epochs 2 ends before the training's 3 epochs"):
        TrainSettings(epochs=3, schedule_epochs=2)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.2, 1.0])
def test_the_shortest_trainings_have_a_schedule_too(make_model, schedule, steps, warmup):
    settings = TrainSettings(epochs=1, lr=0.1, schedule=schedule, warmup=warmup)
    optimizer = build_optimizer(make_model(), settings, torch.device("cpu"))
    scheduler = build_schedule(optimizer, settings, steps)
    for _ in range(steps):
        assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1 + 1e-9
        optimizer.step()
        scheduler.step()


def test_biases_and_norms_are_not_decayed(make_model):
    decayed, free = build_optimizer(make_model(), TrainSettings(epochs=1), torch.device("cpu")).param_groups
    assert decayed["weight_decay"] == 1e-4
    assert free["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in free["params"])


def test_auto_precision_keeps_depthwise_networks_in_float32_on_a_cpu(make_model):
    assert choose_dtype(TrainSettings(epochs=1), make_model(), torch.device("cpu")) is None
    assert (
        choose_dtype(TrainSettings(epochs=1, precision="bf16"), Conv2d(3, 3, 1), torch.device("cpu")) is torch.bfloat16
    )


def test_a_training_that_diverges_says_where_and_keeps_the_best_checkpoint(make_job, make_model, monkeypatch):
    """The loss of every step may be finite, and the evaluation's logits not."""
    finish = trainer_module._Training._finish_epoch

    def diverge(self):
        if self.state.epoch == 1:
            with torch.no_grad():
                self.state.evaluated.head.linear.weight[0] = math.nan
        return finish(self)

    monkeypatch.setattr(trainer_module._Training, "_finish_epoch", diverge)
    job = make_job(epochs=3, lr=3.0, schedule="constant", warmup=0.0, optimizer="sgd", clip_grad_norm=1e-3)
    with pytest.raises(EdgedistillError) as told:
        fit(job, make_model(), None, QUIET)
    assert told.value.exit_code == 2
    assert str(told.value).startswith(
        "student: the training diverged in epoch 2 of 3, at learning rate 3 (`lr` 3): validation: the network's logits "
        "of 32 of 32 images (validation-0, ...) are not finite"
    )
    assert str(told.value).endswith(f"the best checkpoint so far is kept, {job.folder / job.checkpoint}.")
    assert load_student(job.folder / job.checkpoint).card.metrics["epoch"] == 1


def test_a_training_that_really_diverges_stops(make_job, make_model):
    job = make_job(epochs=4, lr=1e18, schedule="constant", warmup=0.0, optimizer="sgd", ema=None)
    with pytest.raises(EdgedistillError, match=r"student: .*learning rate 1e\+18.* Lower `lr`"):
        fit(job, make_model(), None, QUIET)


ONE_AT_A_TIME = [
    ({"batch_size": 4, "accumulate": 4}, 64, r"a step of 4 images, `accumulate` 4"),
    ({"batch_size": 1}, 64, r"a step of 1 images, `accumulate` 1"),
    ({"batch_size": 16, "accumulate": 2}, 3, r"a step of 2 of the 3 images, `accumulate` 2"),
]


@pytest.mark.parametrize(("settings", "images", "told"), ONE_AT_A_TIME)
def test_one_image_at_a_time_is_refused_before_the_start_where_there_are_batchnorms(
    make_job, make_model, tint_dataset, settings, images, told
):
    job = make_job(train=tint_dataset(images), **settings)
    for start in (lambda: fit(job, make_model(), None, QUIET), lambda: estimate(job, make_model(), None)):
        with pytest.raises(ConfigError, match=rf"student: BatchNorm would see one image at a time \({told}\)"):
            start()


def test_one_image_at_a_time_is_enough_without_batchnorms(make_job, tint_dataset):
    torch.manual_seed(0)
    model = build_from_spec(ModelSpec(name="timm/convnext_atto"), 3)
    job = make_job(train=tint_dataset(8), epochs=1, batch_size=2, accumulate=2)
    assert fit(job, model, None, QUIET).is_file()
