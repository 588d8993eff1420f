"""What docs/cpp.md builds, once for all tests."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cpp_built import Built, build_sanitized, follow_the_page, lacking


@pytest.fixture(scope="session")
def built(tiny_bundle: Path, shared_folder: Path, once: Callable[..., Path]) -> Built:
    if reason := lacking():
        pytest.skip(reason)
    folder = once(shared_folder / "cpp", lambda path: follow_the_page(path, tiny_bundle))
    return Built(folder, json.loads((folder / "page.json").read_text()))


@pytest.fixture(scope="session")
def sanitized(tiny_bundle: Path, shared_folder: Path, once: Callable[..., Path]) -> Built:
    """The same library with sanitizers, which takes a minute to build."""
    if reason := lacking():
        pytest.skip(reason)
    return Built(once(shared_folder / "cpp_sanitized", lambda path: build_sanitized(path, tiny_bundle)), [])


@pytest.fixture(scope="session", params=["built", "sanitized"])
def library(request: pytest.FixtureRequest) -> Built:
    """The library, as the page builds it and with sanitizers."""
    built: Built = request.getfixturevalue(request.param)
    return built
