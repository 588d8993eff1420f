"""docs/android.md, docs/ios.md and docs/react_native.md: their commands are run, their snippets are the READMEs'."""

import re
import shlex
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


def snippets(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "language"), [("android", "kotlin"), ("ios", "swift"), ("react_native", "ts")])
def test_the_page(kind, language, tiny_bundle, command, generated, tmp_path, monkeypatch):
    page = (DOCS / f"{kind}.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("bundle").symlink_to(tiny_bundle)
    line = snippets(page, "sh")[0].strip()
    program, *arguments = shlex.split(line, comments=True)
    assert program == "edgedistill"
    code, _, err = command(*arguments)
    assert code == 0, err
    assert Path("app/README.md").is_file()
    readme = (generated(kind) / "README.md").read_text(encoding="utf-8")
    assert snippets(page, language) == snippets(readme, language) != []
    for later in snippets(page, "sh")[1:]:
        assert later in readme
    for named in re.findall(r"`(app/[\w./]+)`|`cd (app/\w+)", page):
        assert Path(named[0] or named[1]).exists(), named
    for test in re.findall(r"`(tests/[\w./]+)`", page):
        assert (DOCS.parent / test).exists()
