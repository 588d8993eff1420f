"""The child's end of `run_in_child`: a script that needs nothing but Python, so that it runs in any environment."""

import importlib
import importlib.util
import json
import operator
import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Do what standard input asks for, write the answer's file and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    stdin = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with os.fdopen(stdin, closefd=False) as stream:
        request = json.loads(stream.readline())
    threading.Thread(target=_end_with_parent, args=(stdin,), daemon=True).start()
    try:
        answer = {"value": _function(request)(*request["arguments"], *_say(request))}
    except Exception as error:  # a toolchain raises what it likes
        answer = {"error": str(error) or type(error).__name__, "is_ours": _is_ours(error)}
    path = Path(request["answer"])
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(answer), encoding="utf-8")
    temporary.replace(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some libraries crash while they are taken down; what was asked for is done


def _function(request: dict[str, Any]) -> Callable[..., Any]:
    for package, file in request["packages"].items():
        _import_file(package, file)
    name = request["module"] if request["packages"] else _beside(Path(request["file"]))
    return operator.attrgetter(request["function"])(importlib.import_module(name))


def _say(request: dict[str, Any]) -> list[Callable[[str], None]]:
    """What the function tells the parent by, where it is to."""
    if request["said"] is None:
        return []
    stream = Path(request["said"]).open("a", encoding="utf-8")  # noqa: SIM115 (open as long as the process lives)

    def say(text: str) -> None:
        stream.write(" ".join(text.split()) + "\n")
        stream.flush()

    return [say]


def _beside(file: Path) -> str:
    """Name a module so that it can import those beside it (`from .other import ...`), and nothing above them."""
    package = types.ModuleType("child_work")
    package.__path__ = [str(file.parent)]
    sys.modules[package.__name__] = package
    return f"{package.__name__}.{file.stem}"


def _import_file(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _is_ours(error: Exception) -> bool:
    """Whether its message is a sentence for the user already."""
    errors = sys.modules.get("edgedistill.runtime.errors")
    return errors is not None and isinstance(error, errors.EdgedistillError)


def _end_with_parent(stdin: int) -> None:
    """The parent holds the other end and never writes again: it reads as ended when that process is gone."""
    os.read(stdin, 1)
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
