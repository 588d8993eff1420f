"""The rooms of distill/ import only downwards, and no file imports itself by way of others.

Every import counts, those for type checkers and those inside a function too: they hide a circle and do not undo it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]

# From the top down. A room may import any that stands in a later line; those of one line do not know each other.
FLOORS = (
    {"api", "plan"},
    {"study"},
    {"experiment"},
    {"recipe"},
    {"teacher_cache"},
    {"engine"},
    {"methods", "checkpoint"},
    {"losses", "models", "data", "metrics", "cores"},
)
BELOW = {"distill": {"runtime"}, "runtime": set[str]()}  # what a package knows of the others


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for package in BELOW for path in (ROOT / package).rglob("*.py")}


def _imported(name: str) -> Iterator[str]:
    """The modules that a module names, below the checkout's root."""
    package = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("edgedistill.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])]).removeprefix("edgedistill.")
            for alias in node.names:
                if base == "edgedistill" and alias.name == "__version__":
                    continue
                full = f"{base}.{alias.name}" if base else alias.name
                yield full if full in FILES else base


@cache
def imports() -> dict[str, set[str]]:
    return {name: set(_imported(name)) for name in FILES}


def test_rooms_import_only_downwards():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    found = {path.stem for path in (ROOT / "distill").iterdir() if path.suffix in ("", ".py")} - {"__init__"}
    assert found - {"__pycache__"} == set(floor), "a new room of distill/ is given its place in FLOORS"
    wrong = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        for above, below in [(name.split(".")[1:2], other.split(".")[1:2])]
        if name.startswith("distill.") and other.startswith("distill.") and above != below
        if floor[above[0]] >= floor[below[0]]
    ]
    assert wrong == []


def test_packages_import_only_downwards():
    packages = {"edgedistill", "distill", "export", "runtime"}
    wrong = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if other.split(".")[0] in packages - BELOW[name.split(".")[0]] - {name.split(".")[0]}
    ]
    assert wrong == []


def test_no_file_imports_itself_by_way_of_others():
    known = {name: {other for other in others if other in FILES} for name, others in imports().items()}
    # A CycleError names the circle.
    TopologicalSorter({name: others - {name} for name, others in known.items()}).prepare()


def test_click_is_not_imported():
    """Typer needed it once, and brings a copy of its own now: beside it there is none on a device."""
    files = [
        path for package in ("edgedistill", "export", "runtime", "distill") for path in (ROOT / package).rglob("*.py")
    ]
    assert len(files) > 100
    found = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [path for name in names if name.split(".")[0] == "click"]
    assert found == []
