"""What the pages say to somebody who has a bundle: every command line is one, and Python blocks run as they stand."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from edgedistill.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|((?:^ {4}[^\n]*\n|^\n)+)", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\s*(?:\$ )?(edgedistill .+)$", re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """The words of each command line in a page's blocks, without `edgedistill`."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [fenced or indented for _, fenced, indented in BLOCK.findall(text)]
    lines = [line for block in blocks for line in COMMAND.findall(block)]
    return [shlex.split(re.split(r" (?:\||&&|>) ", line)[0], comments=True)[1:] for line in lines]


def python_blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [code for language, code, _ in BLOCK.findall(text) if language == "python"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_is_one(page, tmp_path, monkeypatch):
    """Its options are there and take such values; nothing is run."""
    for name in ("bundle/onnx/model.fp32.onnx", "runs/demo/bundle/x", "bundle.zip", "model.onnx", "model.xml",
                 "student.safetensors"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    group = typer.main.get_command(app)
    context = group.make_context("edgedistill", ["list", "models"])
    for words in commands(page):
        name, command, rest = group.resolve_command(context, words)
        try:
            command.make_context(name, list(rest), parent=context)
        except Exception as error:
            pytest.fail(f"edgedistill {shlex.join(words)}: {getattr(error, 'message', error)}")


def test_that_finds_the_commands():
    found = {str(page.relative_to(ROOT)): commands(page) for page in PAGES}
    assert ["selftest", "bundle"] in found["README.md"]
    assert ["compare", "before.json", "after.json"] in found[str(Path("docs/bench.md"))]
    assert sum(map(len, found.values())) > 110


@pytest.fixture
def desk(tiny_bundle, tmp_path, monkeypatch) -> Path:
    """A current folder with a bundle, photographs, and the scores that a teacher gave them."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    for folder in ("photos", "photographs"):
        shutil.copytree(tiny_bundle / "selftest", tmp_path / folder)
    shutil.copy(tiny_bundle / "selftest" / "red.jpg", tmp_path / "photo.jpg")
    rows = [f"{name}.jpg,0.9,0.1,0.2,0.3" for name in ("red", "teal", "grey")]
    (tmp_path / "teacher.csv").write_text("\n".join(["id,red,green,blue,bright", *rows]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["predict.md", "check.md", "report.md"])
def test_the_page_s_python_runs(page, desk, capsys):
    (desk / "photographs" / "broken.jpg").write_bytes(b"no photograph")
    blocks = python_blocks(page)
    assert blocks
    for code in blocks:
        exec(compile(code, page, "exec"), {})
    if page == "predict.md":
        told = capsys.readouterr().out
        assert "{'red': " in told
        assert "broken.jpg: cannot be decoded" in told  # and the others go on
        assert "grey.jpg" in told


@pytest.mark.parametrize("page", ["predict.md", "check.md", "report.md"])
def test_the_page_s_commands_run(page, desk, command):
    asked = [words for words in commands(ROOT / "docs" / page) if words[0] in ("predict", "check", "report")]
    assert len(asked) >= 2
    for words in asked:
        if "bundle.zip" in words:
            continue
        code, _, err = command(*words)
        assert code in (0, 5), f"{words}: {err}"  # 5: there is no gate
