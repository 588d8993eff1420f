"""CPSD's own teachers: trained one by one in any order, merged into one."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import torch
from jobs import CPSD_CLASSES
from rich.console import Console
from safetensors.numpy import load_file

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import predict_logits
from edgedistill.distill.engine.folder import sole_writer
from edgedistill.distill.experiment import Experiment, experiment
from edgedistill.distill.methods import build_method
from edgedistill.run_summary import model_result
from edgedistill.runtime import metrics
from edgedistill.runtime.errors import ConfigError, EdgedistillError

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Console(quiet=True)


def weights(run: Experiment, place: str = "student") -> dict[str, bytes]:
    return {n: v.tobytes() for n, v in load_file(run.folder / place / "student.safetensors").items()}


def with_tasks_of(trained: Experiment, run: Experiment) -> Experiment:
    """With the sub-tasks that are trained already."""
    shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
    return run


def shown(images: torch.Tensor) -> list[bytes]:
    """What is to be seen on each; the blank one, which a cache asks for its shapes, shows nothing."""
    return [image.numpy().tobytes() for image in images if len(image.unique()) > 3]


def test_one_by_one_in_another_order_ends_with_the_same_bits(cpsd_trained, open_cpsd):
    for number in (3, 0, 2):
        open_cpsd().sub_teachers.train(number)
    run = open_cpsd()
    assert [task.number for task in run.sub_teachers.left()] == [1]
    run.student(run.teacher())
    assert [task.name for task in run.sub_teachers.tasks] == ["co-0", "co-1", "dis-0", "dis-1"]
    for place in ("tasks/co-0", "tasks/co-1", "tasks/dis-0", "tasks/dis-1", "student"):
        assert weights(run, place) == weights(cpsd_trained, place)
    assert weights(run, "tasks/co-0") != weights(run, "tasks/dis-0")


@pytest.mark.slow
def test_as_a_user_types_it(cpsd_trained, cpsd_recipe, open_cpsd, command, monkeypatch):
    """Sub-tasks as a cluster's jobs, what is left in a process of its own (several: test_task_jobs.py), the student."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("EDGEDISTILL_PLUGINS", "tiny_network")
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny_network.__file__).parent), prepend=os.pathsep)
    run = open_cpsd()
    changes = [cpsd_recipe, f"output={run.recipe.output}"]
    code, out, _ = command("distill", *changes, "--task", 3, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["task"], found["left"]) == (3, [0, 1, 2])
    assert found["classes"] == [CPSD_CLASSES[c] for c in run.sub_teachers.tasks[3].classes]
    kept = (run.folder / "tasks" / "dis-1" / "last.ckpt").stat().st_mtime_ns
    _, out, _ = command("distill", *changes, "--task", 1)
    assert "left of 4 sub-tasks: 0, 2. edgedistill distill" in out
    command("distill", *changes, "--task", 0)
    code, out, err = command("distill", *changes, "--jobs", 2)
    assert code == 0, err
    assert "1 of 4 sub-tasks are to be trained, 1 at once with 1 threads each" in err
    assert "task 2 (dis-0)  epoch 2/2" in err
    assert "student.safetensors: validation mAP" in out
    assert (run.folder / "tasks" / "dis-1" / "last.ckpt").stat().st_mtime_ns == kept
    for place in ("tasks/co-0", "tasks/dis-0", "student"):
        assert weights(run, place) == weights(cpsd_trained, place)
    _, out, _ = command("distill", *changes, "--task", 1)
    assert "all 4 sub-tasks are trained. Now the student: edgedistill distill" in out


def test_a_finished_one_is_only_loaded(cpsd_trained, open_cpsd):
    run = with_tasks_of(cpsd_trained, open_cpsd())
    for path in run.folder.glob("tasks/*/last.ckpt"):
        path.unlink()
    with sole_writer(run.folder / "tasks" / "co-0"):
        assert run.teacher().weights_sha256 == cpsd_trained.teacher().weights_sha256
    assert not list(run.folder.glob("tasks/*/last.ckpt"))


def test_an_unfinished_one_is_left(cpsd_trained, open_cpsd):
    run = with_tasks_of(cpsd_trained, open_cpsd())
    assert run.sub_teachers.left() == []
    summary = run.folder / "tasks" / "dis-0" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "finished": False}))
    (run.folder / "tasks" / "co-1" / "student.safetensors").unlink()
    assert [task.name for task in run.sub_teachers.left()] == ["co-1", "dis-0"]


def test_one_that_another_process_trains_is_told(open_cpsd):
    run = open_cpsd()
    with sole_writer(run.folder / "tasks" / "co-1"), pytest.raises(EdgedistillError) as told:
        run.sub_teachers.train(1)
    assert "tasks/co-1: another process is training there" in str(told.value)


def test_every_sub_task_is_the_students_training_on_its_own_labels(open_cpsd):
    run = open_cpsd("method.supervised=bce", "seed=7", "tasks.train={lr: 0.5}")
    whole = run.splits
    for task in run.sub_teachers.tasks:
        job, model, teacher, _ = run.sub_teachers.training(task)
        assert teacher is None
        assert job.folder == run.folder / "tasks" / task.name
        assert job.method == build_method("vanilla", supervised="bce", reduction="sum")
        assert job.settings == type(job.settings)(epochs=20, batch_size=16, lr=0.5, workers=0)
        assert job.seed == 7 + task.number
        assert job.card.classes == tuple(CPSD_CLASSES[c] for c in task.classes) == job.train.classes
        assert model.num_classes == len(task.classes)
        for part, source in ((job.train, whole.train), (job.validation, whole.validation)):
            assert part.ids == source.ids
            for column, c in enumerate(task.classes):
                assert part.labels[:, column].tolist() == source.labels[:, c].tolist()
    subsets = build_method("cpsd", k=2).subsets(whole.train.labels, 7)
    assert [(t.kind, t.classes.tolist()) for t in run.sub_teachers.tasks] == [
        (kind, subset.tolist()) for kind in ("co", "dis") for subset in subsets[kind]
    ]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_merged_logits_are_those_of_the_sub_tasks_in_their_places(cpsd_trained, part):
    teacher, data = cpsd_trained.teacher(), getattr(cpsd_trained.splits, part)
    expected = np.zeros((2, len(data), 6))
    for task in cpsd_trained.sub_teachers.tasks:
        own = load_student(cpsd_trained.folder / "tasks" / task.name / "student.safetensors")
        logits = predict_logits(own.model, data, own.card.preprocessing).logits
        for image in range(len(data)):
            for column, c in enumerate(task.classes):
                expected[("co", "dis").index(task.kind), image, c] = logits[image, column]
    found = (
        cpsd_trained.test(teacher)
        if part == "test"
        else predict_logits(teacher.model, data, teacher.card.preprocessing)
    )
    np.testing.assert_allclose(found.logits, expected.mean(0), rtol=1e-5, atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_the_student_learns_from_the_stored_outputs_too(cpsd_trained, open_cpsd):
    records = []
    for cache in ("true", "false"):
        # The sub-tasks are those that are trained already.
        changes = [
            f"name=cache-{cache}",
            f"tasks.cache={cache}",
            "train.augment=[]",
            "tasks.train.augment=[flip, cutout]",
        ]
        run = with_tasks_of(cpsd_trained, open_cpsd(*changes))
        run.student(run.teacher())
        records.append(json.loads((run.folder / "student" / "metrics.jsonl").read_text())["terms"])
    (stored,) = run.folder.parent.glob("caches/teachers/*/partition_logits.f16")
    assert stored.stat().st_size == len(run.splits.train) * 2 * 6 * 2
    assert list(records[0]) == ["asl", "kd_co", "kd_dis"]
    assert records[0] == pytest.approx(records[1], rel=1e-3)
    assert records[0] != records[1], "one read fp16, the other did not"


def test_no_sub_teacher_runs_twice_on_the_same_view(cpsd_trained, open_cpsd):
    """Over four epochs on two views of every image, in both partitions' batches, and for the next student too."""
    seen: list[list[bytes]] = []
    for name, epochs in (("first", 4), ("second", 6)):
        changes = f"name={name}", f"train.epochs={epochs}", "train.views=2", "tasks.train.views=null"
        run = with_tasks_of(cpsd_trained, open_cpsd(*changes))  # trained and judged already
        teacher = run.teacher()
        seen.clear()
        for model in teacher.model.models:
            images: list[bytes] = []
            seen.append(images)
            model.register_forward_pre_hook(lambda _, batch, images=images: images.extend(shown(batch[0])))
        run.student(teacher)
        if name == "first":
            count = len(run.splits.train)
            assert [len(images) for images in seen] == [2 * count] * 4
            assert all(len(set(images)) > count for images in seen), "the second view shows something else"
        else:
            assert not any(seen), "the stored outputs serve every student of the same teachers"


def test_the_merged_teacher_is_judged_once(cpsd_trained, monkeypatch):
    teacher = cpsd_trained.teacher()
    outputs = predict_logits(teacher.model, cpsd_trained.splits.validation, teacher.card.preprocessing)
    kept = json.loads((cpsd_trained.folder / "tasks" / "quality.json").read_text())
    monkeypatch.setattr(experiment, "predict_logits", lambda *_, **__: pytest.fail("computed again"))
    assert cpsd_trained.teacher().card.metrics == teacher.card.metrics == {"mAP": kept["mAP"]}
    monkeypatch.undo()
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    assert kept["mAP"] == pytest.approx(found["mAP"])


def test_what_was_found_of_another_merged_teacher_does_not_count(cpsd_trained, open_cpsd):
    run = with_tasks_of(cpsd_trained, open_cpsd())
    path = run.folder / "tasks" / "quality.json"
    true = path.read_text()
    path.write_text(json.dumps({**json.loads(true), "of": "another", "mAP": 99.0}))
    assert run.teacher().card.metrics["mAP"] < 99
    assert path.read_text() == true


@pytest.mark.parametrize("accept", [False, True])
def test_a_merged_teacher_that_knows_nothing_stops_the_run_where_it_is_not_accepted(cpsd_trained, open_cpsd, accept):
    run = with_tasks_of(cpsd_trained, open_cpsd(f"tasks.accept={str(accept).lower()}"))
    path = run.folder / "tasks" / "quality.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "mAP": found["chance"], "low": None, "high": None}))
    teacher = run.teacher()
    if accept:
        assert run.require_good(teacher).teacher is not None
        return
    with pytest.raises(ConfigError, match=r"the teacher is no better than chance.*`tasks\.accept: true`"):
        run.student(teacher)
    assert not (run.folder / "student").exists()


def test_the_summary_names_what_the_teacher_is(cpsd_trained):
    teacher = cpsd_trained.teacher()
    row = model_result("teacher", "labels", teacher, cpsd_trained.test(teacher))
    one = load_student(cpsd_trained.folder / "tasks" / "co-0" / "student.safetensors").model
    assert cpsd_trained.loaded.has_teacher
    assert row.model == "4 of tiny"
    assert row.parameters > 3 * sum(p.numel() for p in one.parameters())
    assert row.images == 12
