"""What a package is made from: a folder of templates, copied with the bundle's names and numbers filled in.

A kind's templates lie in `templates/<kind>/`. `{{name}}` in a text file stands for a value, escaped as that file's
language wants it inside double quotes (or inside an element, in markup); `{{name:raw}}` stands for the value as it is:
numbers, code. A name of a file or folder may hold `{{name}}` too.
"""

import html
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ..documents import plain

TEMPLATES = Path(__file__).parent / "templates"

_PLACEHOLDER = re.compile(r"\{\{(\w+)(:raw)?\}\}")
_IN_A_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)


def copy_templates(kind: str, out: Path, values: Mapping[str, object]) -> None:
    """Copy the files of `templates/<kind>/` below `out` and fill them in.

    Args:
        kind: of the package.
        out: is made where it does not exist; what is there already is replaced.
        values: by name. Control characters become spaces.

    Raises:
        KeyError: a template names a value that is not there.
        ValueError: a value cannot be a part of a path.
    """
    root = TEMPLATES / kind
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        place = out / _PLACEHOLDER.sub(lambda found: _in_a_path(values[found[1]]), path.relative_to(root).as_posix())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_filled(path, values))
        place.chmod(path.stat().st_mode & 0o777 | 0o200)


def fill(text: str, values: Mapping[str, object], suffix: str) -> str:
    """A template's text with its values, escaped as files of that suffix (`.kt`) or name (`CMakeLists.txt`) want it."""
    escape = _ESCAPES.get(suffix, _in_a_string)

    def value(found: re.Match[str]) -> str:
        given = values[found[1]]
        return str(given) if found[2] else escape(_without_controls(str(given)))

    return _PLACEHOLDER.sub(value, text)


def _filled(path: Path, values: Mapping[str, object]) -> bytes:
    data = path.read_bytes()
    if b"\0" in data:
        return data
    name = path.name if path.name in _ESCAPES else path.suffix
    return fill(data.decode(), values, name).encode()


def _without_controls(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _in_a_path(value: object) -> str:
    text = str(value)
    if not _IN_A_PATH.fullmatch(text) or ".." in text:
        raise ValueError(f"{text!r} cannot be a part of a path")
    return text


def _in_a_string(text: str) -> str:
    r"""Between double quotes in JSON, JavaScript, Java, Swift, C++, YAML, TOML."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_script(text: str) -> str:
    """The same where it may stand in a page."""
    return _in_a_string(text).replace("<", "\\u003c")


def _in_a_dollar_string(text: str) -> str:
    """Between double quotes where `$` begins a name: Kotlin, Groovy, Gradle, CMake."""
    return _in_a_string(text).replace("$", "\\$")


def _in_shell(text: str) -> str:
    return _in_a_dollar_string(text).replace("`", "\\`")


def _in_cmake(text: str) -> str:
    return _in_a_dollar_string(text).replace(";", "\\;")


_ESCAPES: dict[str, Callable[[str], str]] = {
    **dict.fromkeys((".html", ".xml", ".svg", ".plist", ".xcprivacy", ".storyboard"), html.escape),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx"), _in_script),
    **dict.fromkeys((".kt", ".kts", ".gradle", ".groovy"), _in_a_dollar_string),
    **dict.fromkeys((".cmake", "CMakeLists.txt"), _in_cmake),
    ".sh": _in_shell,
    ".md": plain,
}
