"""docs/cpp.md as a reader follows it, once for all tests; and the same library with sanitizers, for those who wait."""

import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgedistill.export.packages.cpp import package_cpp
from edgedistill.runtime.bundle import open_bundle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cpp.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# Beside what the page builds, from the same library: what tests ask of its inside.
PROBE = f"""
add_executable(probe {(Path(__file__).parent / "probe.cpp").as_posix()})
target_include_directories(probe PRIVATE edgedistill_cpp/src)
target_link_libraries(probe PRIVATE edgedistill)
"""
WARNINGS = "-Wall -Wextra -Werror"
QUICK = f"-O0 {WARNINGS}"
SANITIZED = f"-O1 {WARNINGS} -fsanitize=address,undefined -fno-sanitize-recover=all"
# The folder of an archive of ONNX Runtime's release, for C++.
ONNXRUNTIME = os.environ.get("EDGEDISTILL_ONNXRUNTIME_CPP", "")
LEAKS = "leaks.txt"
ALONE = "cmake_minimum_required(VERSION 3.16)\nproject(labels CXX)\nadd_subdirectory(edgedistill_cpp)\n"


class Built(NamedTuple):
    """What the page made.

    Attributes:
        folder: where the reader stands.
        steps: of each command block: its text, exit code, stdout and stderr.
    """

    folder: Path
    steps: list[dict[str, Any]]

    @property
    def app(self) -> Path:
        return self.folder / "edgedistill_cpp"

    def predict(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The example that the library brings."""
        program = self.folder / "build" / "edgedistill_cpp" / "predict"
        return subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, env=self._environment(), check=False
        )

    def probe(self, what: str, data: bytes, **variables: str) -> bytes:
        """What the library's inside answers; fails where it dies, or a sanitizer finds anything."""
        program = self.folder / "build" / "probe"
        environment = self._environment() | variables
        run = subprocess.run([program, what], input=data, capture_output=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr.decode(errors="replace")[:4000]
        return run.stdout

    def _environment(self) -> dict[str, str]:
        """For sanitizers: what others' libraries keep is theirs."""
        return os.environ | {"LSAN_OPTIONS": f"suppressions={self.folder / LEAKS}:print_suppressions=0"}


def headers_of_json() -> Path | None:
    """Debian's, or those of the package nlohmann-json."""
    spec = importlib.util.find_spec("nlohmann_json")
    folders = [Path("/usr/include"), Path("/usr/local/include")]
    folders += [Path(place) / "include" for place in (spec.submodule_search_locations or ()) if spec] if spec else []
    return next((folder for folder in folders if (folder / "nlohmann" / "json.hpp").exists()), None)


def lacking() -> str:
    """Why nothing can be built here, and what to install; empty when all is here."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            return f"no {tool}: apt install cmake g++"
    if importlib.util.find_spec("openvino") is None:
        return 'no openvino: pip install "edgedistill[openvino]"'
    if headers_of_json() is None:
        return "no nlohmann/json.hpp: apt install nlohmann-json3-dev, or pip install nlohmann-json"
    program = "#include <cstdio>\n#include <jpeglib.h>\n#include <png.h>\nint main() {}\n"
    command = ["c++", "-x", "c++", "-fsyntax-only", "-"]
    if subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode:
        return "no headers of libjpeg or libpng: apt install libjpeg-dev libpng-dev"
    return ""


def reader(folder: Path) -> dict[str, str]:
    """The environment of someone who has installed what the page says; `folder` is for what stands in for that."""
    tools = folder / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    for name, module in (("edgedistill", "-m edgedistill"), ("python3", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (tools / name).chmod(0o755)
    own = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CMAKE_INCLUDE_PATH": str(headers_of_json()),
    }
    return os.environ | own | {"CXXFLAGS": QUICK, "CMAKE_BUILD_TYPE": "None"}


def shell(text: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def follow_the_page(folder: Path, tiny_bundle: Path) -> None:
    """Write what the page has written, run what it runs, note what came of it in page.json."""
    environment = reader(folder)
    shutil.copytree(tiny_bundle, folder / "bundle")
    steps = []
    for kind, title, text in BLOCKS:
        if kind == "sh":
            run = shell(text, folder, environment)
            steps.append({"text": text, "code": run.returncode, "out": run.stdout, "err": run.stderr})
        else:
            (folder / title).write_text(text + (PROBE if title == "CMakeLists.txt" else ""))
    (folder / "page.json").write_text(json.dumps(steps))


def build_sanitized(folder: Path, bundle: Path) -> None:
    """The library with sanitizers, with ONNX Runtime where it is: OpenVINO loads in a way that they refuse."""
    folder.mkdir(parents=True)
    package_cpp(open_bundle(bundle), folder / "edgedistill_cpp")
    (folder / "CMakeLists.txt").write_text(ALONE + PROBE)
    (folder / LEAKS).write_text("leak:libonnxruntime\n")
    options = [f"-DCMAKE_CXX_FLAGS={SANITIZED}", "-DCMAKE_BUILD_TYPE=None", "-DEDGEDISTILL_OPENVINO=OFF"]
    options += [f"-DEDGEDISTILL_ONNXRUNTIME={'ON' if ONNXRUNTIME else 'OFF'}", f"-DONNXRUNTIME_ROOT={ONNXRUNTIME}"]
    options += [f"-DNLOHMANN_JSON_INCLUDE_DIR={headers_of_json()}"]
    for command in (["cmake", "-S", ".", "-B", "build", *options], ["cmake", "--build", "build", "--parallel"]):
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{run.stdout[-3000:]}\n{run.stderr[-3000:]}"


def blobs(data: Sequence[bytes]) -> bytes:
    """As the probe reads them: each behind its length."""
    return b"".join(struct.pack("<i", len(one)) + one for one in data)
