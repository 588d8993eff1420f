"""`export -o DIR` replaces a bundle of ours, and nothing else that anyone might miss."""

import shutil
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from edgedistill.export import ExportError
from edgedistill.export.replaceable import refuse_foreign, refuse_foreign_zip
from edgedistill.export.staging import staged_bundle
from edgedistill.runtime.bundle import open_bundle, save_run, zip_bundle
from edgedistill.runtime.bundle.results import Kind
from edgedistill.runtime.record import Record
from edgedistill.runtime.report import write_report


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "manifest",
    [
        '{"manifest_version": 3, "name": "My extension", "version": "1.0"}',  # a browser extension
        '{"short_name": "App", "start_url": "/"}',  # a web app
        '{"schema_version": 1, "name": "looks like ours"}',
        "not json",
        "",
    ],
)
def test_a_folder_that_merely_holds_a_manifest_json_is_not_touched(tmp_path, manifest):
    app = tmp_path / "webapp"
    (app / "src").mkdir(parents=True)
    (app / "manifest.json").write_text(manifest)
    (app / "src" / "app.js").write_text("years of work")
    before = contents(app)
    with pytest.raises(ExportError, match=r"not empty, and no bundle .* not replaced"), staged_bundle(app):
        pytest.fail("it began to build")
    assert contents(app) == before
    assert [path.name for path in tmp_path.iterdir()] == ["webapp"]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "report.html",
        "onnx/mine.onnx",
        "results/thesis.docx",
        "results/my_notes.json",
        "results/paper/table.npz",
        "results/pi/20260101T000000Z-bench-mine.json",
        "results/20260101T000000Z-bench-000000.json",
        "results/a/pi/20260101T000000Z-bench-000000.json",
        "deep/er/file",
        ".git/config",
    ],
)
def test_what_a_bundle_s_manifest_does_not_list_is_named_and_kept(make_tiny_bundle, tmp_path, name):
    bundle = make_tiny_bundle(tmp_path / "b")
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("mine")
    before = contents(bundle)
    with pytest.raises(ExportError, match=f"holds {name}, not listed by its manifest"):
        refuse_foreign(bundle)
    assert contents(bundle) == before


def test_links_and_files_are_not_replaced(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "b")
    (tmp_path / "link").symlink_to(bundle)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    for name in ("link", "dangling", "file"):
        with pytest.raises(ExportError, match="is a file or a link"):
            refuse_foreign(tmp_path / name)
    (bundle / "extra").symlink_to(tmp_path / "file")
    with pytest.raises(ExportError, match="holds extra"):
        refuse_foreign(bundle)


@pytest.mark.parametrize("link", [False, True])
def test_a_file_on_the_way_is_named_before_any_work(tmp_path, link):
    blocking = tmp_path / "file"
    blocking.symlink_to("nowhere") if link else blocking.write_text("mine")
    with pytest.raises(ExportError, match="file is no folder"):
        refuse_foreign(blocking / "deeper" / "b")


def test_a_bundle_with_its_results_may_be_replaced(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "b")
    for kind in get_args(Kind):
        save_run(bundle, kind, Record(), {"sample": np.zeros(1)})
    (bundle / "results" / "old.json").write_text('{"schema_version": 1, "runs": []}')
    refuse_foreign(bundle)
    refuse_foreign(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    refuse_foreign(tmp_path / "empty")


def test_a_foreign_zip_beside_it_is_refused_before_any_work(make_tiny_bundle, tmp_path):
    place = tmp_path / "thesis.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("chapter.tex", "years of work")
    before = place.read_bytes()
    with pytest.raises(ExportError, match=r"thesis\.zip: is no bundle's \.zip: not replaced"):
        refuse_foreign(tmp_path / "thesis", zip=True)
    with pytest.raises(ExportError, match="not replaced"), staged_bundle(tmp_path / "thesis", zip=True):
        pytest.fail("it began to build")
    assert place.read_bytes() == before
    refuse_foreign(tmp_path / "thesis")
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(ExportError, match="is a folder or a link"):
        refuse_foreign_zip(tmp_path / "folder")
    zip_bundle(open_bundle(make_tiny_bundle(tmp_path / "b")), tmp_path / "b.zip")
    refuse_foreign(tmp_path / "b", zip=True)


def build_while_a_file_comes(out, late):
    with staged_bundle(out, zip=True) as staging:
        (staging.root / "manifest.json").write_text("new")
        late.write_text("mine")


@pytest.mark.parametrize("late", ["b/notes.txt", "b.zip"])
def test_what_comes_while_it_builds_stays(make_tiny_bundle, tmp_path, late):
    bundle = make_tiny_bundle(tmp_path / "b")
    before = {**contents(bundle), **({"notes.txt": b"mine"} if late == "b/notes.txt" else {})}
    with pytest.raises(ExportError, match="not replaced"):
        build_while_a_file_comes(bundle, tmp_path / late)
    assert (tmp_path / late).read_text() == "mine"
    assert contents(bundle) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_the_current_folder_takes_a_bundle_when_it_is_empty(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for attempt in ("first", "again"):
        with staged_bundle(Path()) as staging:
            (staging.root / "onnx").mkdir()
            (staging.root / "onnx" / "model.onnx").write_text(attempt)
        assert contents(here) == {"onnx/model.onnx": attempt.encode()}
        assert [path.name for path in tmp_path.iterdir()] == ["here"]
        shutil.rmtree(here / "onnx")
    with pytest.raises(ExportError, match="is not empty"):
        build_while_a_file_comes(Path(), here / "mine")
    assert contents(here) == {"mine": b"mine"}


def test_a_bundle_in_the_current_folder_is_refused_at_once(make_tiny_bundle, tmp_path, monkeypatch):
    bundle = make_tiny_bundle(tmp_path / "b")
    monkeypatch.chdir(bundle)
    with pytest.raises(ExportError, match="cannot be exchanged"), staged_bundle(Path()):
        pytest.fail("it began to build")


def test_a_page_of_ours_goes_with_its_bundle(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "b")
    write_report(bundle)
    with staged_bundle(bundle) as staging:
        make_tiny_bundle(staging.root)
    assert not (bundle / "report.html").exists()
    assert open_bundle(bundle).manifest.name == "tiny"


@pytest.mark.parametrize("renames", [1, 2])
@pytest.mark.parametrize("stays", [True, False], ids=["empty current folder", "bundle"])
def test_ctrl_c_behind_any_rename_leaves_the_old_or_the_new(make_tiny_bundle, tmp_path, monkeypatch, renames, stays):
    """A signal's handler runs between two operations, also behind the one that was just done."""
    new = make_tiny_bundle(tmp_path / "new")
    out = tmp_path / "out"
    out.mkdir() if stays else make_tiny_bundle(out)
    (monkeypatch.chdir if stays else lambda _: None)(out)
    before, after = contents(out), contents(new)
    renaming, done = Path.rename, []

    def rename(path, target):
        renaming(path, target)
        done.append(path)
        if len(done) == renames:
            raise KeyboardInterrupt

    def build():
        with staged_bundle(Path() if stays else out) as staging:
            shutil.copytree(new, staging.root, dirs_exist_ok=True)
            monkeypatch.setattr(Path, "rename", rename)

    with pytest.raises(KeyboardInterrupt):
        build()
    assert contents(out) in (before, after)
    assert (out / "manifest.json").exists() is (not stays)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "out"}
