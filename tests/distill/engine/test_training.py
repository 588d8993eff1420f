"""The training loop: what it trains on, what it stores, what a finished training is."""

import io
import json
from dataclasses import replace
from importlib import metadata

import pytest
import torch
from PIL import Image
from rich.console import Console
from teacher_cases import image_files

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.data.decoded import release_memory
from edgedistill.distill.engine import LiveSource, evaluate, fit, predict_logits
from edgedistill.distill.methods import build_method
from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import decoding

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


def test_it_learns(make_job, make_model, tint_dataset):
    job = make_job(epochs=2, train=tint_dataset(256))
    assert load_student(fit(job, make_model(), None, QUIET)).card.metrics["mAP"] > 90


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


def test_a_finished_training_is_loaded_not_repeated(make_job, make_model):
    job = make_job()
    path = fit(job, make_model(), None, QUIET)
    written = path.stat().st_mtime_ns
    assert fit(job, make_model(), None, QUIET) == path
    assert path.stat().st_mtime_ns == written


def test_a_teacher_is_used_and_left_alone(make_job, make_model):
    teacher = make_model()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    job = replace(make_job(), method=build_method("mld"))
    fit(job, make_model(), LiveSource(teacher), QUIET)
    record = json.loads((job.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert set(record["terms"]) == {"bce", "mld"}
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_it_trains_on_files_with_a_loading_process_and_tells_what_it_skipped(
    make_job, make_model, tint_dataset, tmp_path
):
    data = tint_dataset(32)
    paths = [tmp_path / f"{i}.jpg" for i in range(32)]
    for path, pixels in zip(paths, data.images, strict=True):
        Image.fromarray(pixels).resize((48, 40)).save(path)
    paths[3].write_bytes(b"broken")
    told = io.StringIO()
    job = replace(make_job(train=replace(data, images=paths), workers=1), max_bad_share=0.1)
    fit(job, make_model(), None, Console(file=told, width=200))
    assert "1 undecodable images skipped (tints-3" in told.getvalue()


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


def test_validation_images_are_decoded_once_and_evaluated_as_if_they_were_not_kept(
    make_job, make_model, tint_dataset, tmp_path, monkeypatch
):
    files = image_files(tint_dataset(20), tmp_path / "files")
    read, original = [], decoding.encoded_bytes
    monkeypatch.setattr(decoding, "encoded_bytes", lambda source: read.append(source) or original(source))
    histories = []
    for cache, opened in (("off", 2 * 20), ("memory", 20)):
        read.clear()
        job = make_job(cache, train=tint_dataset(16), decoded_cache=cache, epochs=2)
        fit(replace(job, validation=files), make_model(), None, QUIET)
        assert len(read) == opened
        histories.append([record["val_AP"] for record in torch.load(job.last, weights_only=True)["history"]])
    assert histories[0] == histories[1]
    release_memory()


def test_a_compiled_training_is_saved_like_any_other(make_job, make_model, tint_dataset, monkeypatch):
    whole = torch.nn.Module.compile  # its default backend takes minutes on two cores
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: whole(module, backend="eager"))
    job = make_job(compile=True, epochs=1, train=tint_dataset(32))
    assert load_student(fit(job, make_model(), None, QUIET)).card.metrics["mAP"] >= 0


def test_evaluation_does_not_depend_on_the_batch_size(make_model, tint_dataset, make_job):
    data, card = tint_dataset(10), make_job().card
    one = predict_logits(make_model(), data, card.preprocessing, batch_size=1)
    many = predict_logits(make_model(), data, card.preprocessing, batch_size=7)
    assert one.logits == pytest.approx(many.logits, abs=1e-5)
    assert one.dataset is data


def test_an_evaluation_decodes_with_this_process_s_share_of_the_cores(make_model, tint_dataset, make_job, monkeypatch):
    threads = []
    monkeypatch.setattr(
        evaluate,
        "decode_batches",
        lambda *given, **also: threads.append(also["threads"]) or decode_batches(*given, **also),
    )
    monkeypatch.setattr(evaluate, "usable_cores", lambda: 6)
    monkeypatch.setattr(evaluate, "processes_here", lambda: 2)
    predict_logits(make_model(), tint_dataset(4), make_job().card.preprocessing)
    assert threads == [3]
