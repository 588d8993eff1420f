"""docs/commands.md names every command and every exit code."""

import re
from pathlib import Path

from edgedistill.cli.app import app
from edgedistill.cli.streams import READER_GONE
from edgedistill.runtime.verdicts import EXIT_CODES

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")


def test_every_command_has_a_row():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert len(commands) == 23
    assert set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE)) == commands


def test_every_exit_code_has_a_row_with_its_word():
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE))
    for word, code in EXIT_CODES.items():
        assert (word if word == "passed" else f"`{word}`") in rows[str(code)]
    assert str(READER_GONE) in rows
    assert {"2", "130"} <= set(rows)
