"""Output that nobody reads, that was closed, or that cannot hold every character; Ctrl-C before anything began."""

import io
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from edgedistill.cli import main

MODULE = [sys.executable, "-m", "edgedistill"]


class _Interrupting(ModuleType):
    def __getattr__(self, name):
        raise KeyboardInterrupt


def without_a_reader(arguments, *, stream):
    """Run a command whose stdout or stderr is a pipe that nobody reads any more: exit code and the other stream."""
    reading, writing = os.pipe()
    os.close(reading)
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    process = subprocess.Popen([*MODULE, *map(str, arguments)], **{stream: writing, other: subprocess.PIPE})
    os.close(writing)
    said = process.communicate(timeout=120)[0 if other == "stdout" else 1]
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{bundle}", "{bundle}/selftest", "-a", "ort-fp32"],
        ["predict", "{bundle}", "{bundle}/selftest", "-a", "ort-fp32", "--json"],
        ["inspect", "{bundle}", "--json"],
        ["list", "backends"],
        ["--help"],
        ["--version"],
    ],
)
def test_a_pipe_without_a_reader_ends_quietly_and_not_as_a_missed_gate(tiny_bundle, arguments):
    given = [argument.format(bundle=tiny_bundle) for argument in arguments]
    assert without_a_reader(given, stream="stdout") == (141, "")


def test_messages_that_nobody_reads_end_quietly_too(tiny_bundle):
    code, out = without_a_reader(["predict", tiny_bundle, "nowhere.jpg"], stream="stderr")
    assert (code, out) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_one_line(tiny_bundle, options):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*MODULE, "inspect", tiny_bundle, *options], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("closed", ["1", "2", "0", "0 1 2"])
def test_closed_streams_are_no_reason_to_fail(tiny_bundle, closed):
    closing = " ".join(f"{number}>&-" for number in closed.split())
    command = [*MODULE, "predict", tiny_bundle, tiny_bundle / "selftest" / "red.jpg"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ([] if "2" in closed else ["ort-fp32"])
    assert done.stdout.endswith("red.jpg: red 1.00\n") == ("1" not in closed)


@pytest.fixture
def ascii_stdout(monkeypatch):
    """Run a command with a stdout that holds ASCII alone: exit code and what was printed."""

    def run(*arguments):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "argv", ["edgedistill", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, stream.buffer.getvalue().decode("ascii")

    return run


@pytest.fixture
def foreign_bundle(make_tiny_bundle, tmp_path):
    """The tiny bundle with class names beyond ASCII."""
    bundle = make_tiny_bundle(tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["classes"] = ["Füchse", "犬", "🐶", "bright"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def test_an_ascii_stdout_gets_escapes(ascii_stdout, foreign_bundle):
    photo = foreign_bundle / "selftest" / "red.jpg"
    code, out = ascii_stdout("predict", foreign_bundle, photo, "--top", 4)
    assert code == 0
    assert r"F\xfcchse 1.00" in out
    assert r"\u72ac" in out
    assert r"\U0001f436" in out
    assert ascii_stdout("inspect", foreign_bundle)[1].endswith("F\\xfcchse, \\u72ac, \\U0001f436, bright\nnot signed\n")


def test_json_on_an_ascii_stdout_is_json(ascii_stdout, foreign_bundle):
    photo = foreign_bundle / "selftest" / "red.jpg"
    code, out = ascii_stdout("predict", foreign_bundle, photo, "--top", 4, "--json")
    assert code == 0
    assert set(json.loads(out)["labels"]) == {"Füchse", "犬", "🐶", "bright"}
    assert json.loads(ascii_stdout("inspect", foreign_bundle, "--json")[1])["classes"][2] == "🐶"


def test_a_file_name_that_is_no_text(command, tiny_bundle, tmp_path):
    photo = tmp_path / os.fsdecode(b"photo\xff.jpg")
    photo.write_bytes((tiny_bundle / "selftest" / "red.jpg").read_bytes())
    for given in (photo, tmp_path):
        code, out, _ = command("predict", tiny_bundle, given)
        assert code == 0
        assert out.endswith("photo\\xff.jpg: red 1.00\n")
        code, out, _ = command("predict", tiny_bundle, given, "--json")
        assert code == 0
        assert json.loads(out)["image"].endswith("photo\\xff.jpg")
    photo.write_bytes(b"no image")
    code, _, err = command("predict", tiny_bundle, photo)
    assert code == 2
    assert "photo\\xff.jpg: cannot be decoded" in err
    code, out, err = command("predict", tiny_bundle, photo, "--json")
    assert code == 2
    assert "photo\\xff.jpg: cannot be decoded" in json.loads(out)["error"]


def test_ctrl_c_while_libraries_are_imported_is_one_line(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgedistill.cli.app", _Interrupting("edgedistill.cli.app"))
    assert command("--version") == (130, "", "error: interrupted.\n")


def test_the_entry_point_imports_nothing_that_takes_time():
    code = "import sys; before = set(sys.modules); import edgedistill.cli; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"edgedistill", "edgedistill.cli"} <= loaded
    assert not {"typing", "pathlib"} & loaded  # they take as long as Python's own start
    assert not {"typer", "rich", "numpy", "msgspec", "yaml", "edgedistill.runtime", "edgedistill.cli.app"} & loaded


@pytest.mark.parametrize(
    ("rank", "world", "told"),
    [
        ("x", "2", "the environment's RANK is 'x'"),
        ("x", None, "the environment's RANK is 'x'"),
        ("0", "x", "the environment's WORLD_SIZE is 'x'"),
        ("-1", "2", "the environment's RANK is '-1'"),
        ("0", "-2", "the environment's WORLD_SIZE is '-2'"),
        ("2", "2", "the environment's RANK is 2 and its WORLD_SIZE 2"),
        ("0", "0", "the environment's RANK is 0 and its WORLD_SIZE 0"),
    ],
)
def test_an_impossible_rank_is_one_line(command, monkeypatch, tiny_bundle, rank, world, told):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world is not None:
        monkeypatch.setenv("WORLD_SIZE", world)
    code, out, err = command("inspect", tiny_bundle)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
