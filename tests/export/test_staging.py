"""`export -o DIR` replaces a bundle of ours, and nothing else that anyone might miss."""

import pytest

from edgedistill.export import ExportError
from edgedistill.export.staging import refuse_foreign, staged_bundle


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


@pytest.mark.parametrize("name", ["notes.txt", "onnx/mine.onnx", "results/thesis.docx", "deep/er/file", ".git/config"])
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


def test_a_bundle_with_its_results_may_be_replaced(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "b")
    (bundle / "results" / "pi").mkdir(parents=True)
    (bundle / "results" / "pi" / "20260101T000000Z-bench-000000.json").write_text("{}")
    (bundle / "results" / "pi" / "20260101T000000Z-bench-000000.samples.npz").write_text("")
    refuse_foreign(bundle)
    refuse_foreign(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    refuse_foreign(tmp_path / "empty")
