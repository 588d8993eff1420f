"""The device's commands as a user types them: output, JSON, exit codes, one-line errors."""

import io
import json
import shutil
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from edgedistill.cli import main
from edgedistill.cli.photos import find_photos
from edgedistill.cli.render import parity_report
from edgedistill.runtime import verify
from edgedistill.runtime.bundle import read_runs
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.interval import Interval


@pytest.fixture
def edgedistill(monkeypatch, capsys):
    """Run a command line; returns (exit code, stdout, stderr)."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgedistill", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    return run


@pytest.fixture
def labels(tmp_path, tiny_bundle):
    """A CSV that labels the bundle's own photographs."""
    path = tmp_path / "labels.csv"
    rows = "".join(
        f"{name}.jpg,{label}\n" for name, label in (("red", "red"), ("teal", "green;blue"), ("grey", "bright"))
    )
    path.write_text("path,labels\n" + rows)
    for photo in (tiny_bundle / "selftest").iterdir():
        shutil.copy(photo, tmp_path)
    return path


def test_predict_prints_labels_and_json_lines(edgedistill, tiny_bundle):
    photo = tiny_bundle / "selftest" / "red.jpg"
    code, out, _ = edgedistill("predict", tiny_bundle, photo)
    assert code == 0
    assert "red.jpg: red" in out
    code, out, _ = edgedistill("predict", tiny_bundle, tiny_bundle / "selftest", "--json", "--top", 2)
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"].rsplit("/", 1)[-1] for row in rows] == ["grey.jpg", "red.jpg", "teal.jpg"]
    assert all(len(row["labels"]) == 2 for row in rows)


def test_predict_reads_paths_from_standard_input(tiny_bundle):
    photo = tiny_bundle / "selftest" / "red.jpg"
    done = subprocess.run(
        [sys.executable, "-m", "edgedistill", "predict", tiny_bundle, "-", "--json"],
        input=f"{photo}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["labels"]["red"] > 0.9


def test_one_bad_image_does_not_cost_the_others(edgedistill, tiny_bundle, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    code, out, err = edgedistill("predict", tiny_bundle, tmp_path / "bad.jpg", tiny_bundle / "selftest" / "red.jpg")
    assert code == 2
    assert "red.jpg: red" in out
    assert "bad.jpg: cannot be decoded" in err
    assert "error: 1 of 2 images could not be read" in err


def test_verify_tells_parity_and_exits_by_the_gates(edgedistill, make_tiny_bundle, labels, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    code, out, _ = edgedistill("verify", bundle, "--data", labels)
    assert code == 5  # no gate: nothing was judged
    assert "ort-fp32 on this device" in out
    assert "not judged" in out
    assert "passed" not in out
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["artifacts"][0]["target"]["gates"] = {"max_bytes": 1}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, out, _ = edgedistill("verify", bundle, "--data", labels, "--artifact", "ort-fp32")
    assert code == 1
    assert "failed  ort-fp32: size" in out
    code, out, _ = edgedistill("verify", bundle, "--data", labels, "--json")
    assert code == 1
    assert {artifact["name"] for artifact in json.loads(out)["artifacts"]} == {"ort-fp32", "ov-fp32", "ov-bf16"}


def test_bench_and_selftest(short_bench, edgedistill, make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    code, out, _ = edgedistill("bench", bundle, "--preset", "demo", "--artifact", "ort-fp32", "--json")
    assert code == 0
    assert len(json.loads(out)["artifacts"][0]["samples_ms"]) >= 100
    code, out, _ = edgedistill("selftest", bundle)
    assert code == 0
    assert out.count("passed") >= 3


def test_inspect_checks_every_file(edgedistill, make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    code, out, _ = edgedistill("inspect", bundle)
    assert code == 0
    assert "ov-bf16" in out
    model = bundle / "onnx" / "model.fp32.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for command in ("inspect", "selftest"):
        code, out, err = edgedistill(command, bundle)
        assert code != 0
        said = " ".join((out + err).split())  # a cell beside a long path has several lines
        assert "SHA-256 differs from the manifest" in said


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "{nowhere}", "x.jpg"], 2, "nothing: no such file or folder"),
        (["predict", "{bundle}", "nowhere.jpg"], 2, "no such image"),
        (["predict", "{bundle}", "x.jpg", "--backend", "tensorflow"], 2, "holds no artifact for tensorflow"),
        (["verify", "{bundle}", "--data", "nowhere.csv"], 2, "nowhere.csv: no such file"),
        (["bench", "{bundle}", "--artifact", "ort-fp64"], 2, "holds no artifact 'ort-fp64'"),
        (["verify", "{bundle}"], 2, "--data: is missing"),
        (["predikt"], 2, "No such command"),
        (["run", "nowhere"], 2, "no such recipe file, nor a packaged recipe"),
        (["export", "nowhere.safetensors"], 2, "no such checkpoint"),
    ],
)
def test_mistakes_take_one_line_and_no_traceback(edgedistill, tiny_bundle, tmp_path, arguments, code, message):
    given = [argument.format(bundle=tiny_bundle, nowhere=tmp_path / "nothing") for argument in arguments]
    found, out, err = edgedistill(*given)
    assert found == code
    assert message in err
    assert "Traceback" not in out + err


def test_a_newer_schema_is_refused(edgedistill, make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    (bundle / "manifest.json").write_text('{"schema_version": 99}')
    code, _, err = edgedistill("inspect", bundle)
    assert code == 2
    assert "schema 99 is newer than this edgedistill reads (1)" in err


@pytest.mark.parametrize("kind", ["models", "methods", "datasets", "targets", "backends", "recipes"])
def test_list(edgedistill, kind):
    code, out, _ = edgedistill("list", kind)
    assert code == 0
    rows = json.loads(edgedistill("list", kind, "--json")[1])
    assert len(rows) >= 1
    first = [next(iter(row.values())) for row in rows]
    if kind == "recipes":  # grouped by the pair of networks
        first = [name.removesuffix(f"_{row['method']}") for name, row in zip(first, rows, strict=True)]
    assert all(name in out for name in first)


def test_every_command_has_help_with_an_example(edgedistill):
    _, out, _ = edgedistill("--help")
    commands = ["demo", "run", "train", "distill", "evaluate", "export", "predict", "verify", "bench", "selftest"]
    for command in [*commands, "inspect", "fleet", "list"]:
        assert command in out
        code, text, _ = edgedistill(command, "--help")
        assert code == 0
        assert f"Example: edgedistill {command}" in text


def test_verify_on_a_narrow_terminal_breaks_no_interval(make_tiny_bundle, tmp_path, labels):
    report = verify(make_tiny_bundle(tmp_path / "bundle"), labels, artifacts=["ort-fp32", "ov-fp32"])
    long = [msgspec.structs.replace(one, name=f"onnxruntime-{one.name}") for one in report.artifacts]
    drop = Interval(estimate=0.034, low=-0.051, high=0.12, confidence=0.95)
    report = msgspec.structs.replace(report, artifacts=tuple(msgspec.structs.replace(one, drop=drop) for one in long))
    written = {}
    for width in (80, 160):
        stream = io.StringIO()
        parity_report(report, Console(file=stream, width=width, highlight=False))
        written[width] = stream.getvalue().splitlines()
    for lines in written.values():
        row = next(line for line in lines if line.startswith("onnxruntime-ov-fp32 "))
        assert "0.034 [-0.051, 0.120]" in row
        assert any("max diff" in line and "recall" in line for line in lines)
    assert "recall" in next(line for line in written[160] if line.startswith("artifact"))


def test_version(edgedistill):
    from edgedistill import __version__

    assert edgedistill("--version")[:2] == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{bundle}", ""], "an argument: is empty"),
        (["predict", "", "x.jpg"], "an argument: is empty"),
        (["inspect", ""], "an argument: is empty"),
        (["verify", "{bundle}", "--data", ""], "--data: is empty"),
        (["verify", "{bundle}", "--data=x.csv", "--images="], "--images: is empty"),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(command, tiny_bundle, arguments, message):
    code, out, err = command(*(argument.format(bundle=tiny_bundle) for argument in arguments))
    assert (code, out) == (2, "")
    assert err == f"error: {message}. Give a value (an unset variable is empty).\n"


def test_an_empty_image_path_is_refused_without_the_command_line():
    with pytest.raises(ConfigError, match="an empty image path"):
        list(find_photos([""]))


@pytest.mark.parametrize("name", ["inspect", "selftest", "bench", "verify", "predict"])
@pytest.mark.parametrize("path", ["bundel", "model.onx", "bundel.zip"])
def test_a_path_that_is_not_there_is_told_so(command, tmp_path, name, path):
    more = {"verify": ["--data", "x.csv"], "predict": ["x.jpg"]}.get(name, [])
    code, _, err = command(name, tmp_path / path, *more)
    assert (code, err) == (2, f"error: {tmp_path / path}: no such file or folder.\n")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("predict", 130, "interrupted."), ("distill", 130, "interrupted; what was finished is kept.")],
)
def test_ctrl_c_says_what_is_kept_only_where_something_is(command, tiny_bundle, monkeypatch, name, code, said):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgedistill.cli.commands.predict._load", interrupted)
    monkeypatch.setattr("edgedistill.cli.commands.training._open", interrupted)
    given = [tiny_bundle, "x.jpg"] if name == "predict" else ["demo"]
    assert command(name, *given) == (code, "", f"error: {said}\n")


def test_whole_commands_at_once_lose_no_run(make_tiny_bundle, labels, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "shared")
    verify = [sys.executable, "-m", "edgedistill", "verify", str(bundle), "--data", str(labels), "--json"]
    running = [subprocess.Popen(verify, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    saved = [json.loads(process.communicate()[0])["saved"] for process in running]
    assert len(set(saved)) == 4
    assert {str(path) for path in bundle.glob("results/*/*-verify-*.json")} == set(saved)
    assert sum(map(len, read_runs(bundle).values())) == 4
