"""A server in this process, on the tiny bundle."""

import pytest

from edgedistill import runtime
from edgedistill.runtime.serving.limits import Limits


@pytest.fixture
def serving(tiny_bundle):
    """Start a server with limits: its client and its predictor; it ends with the test."""
    from fastapi.testclient import TestClient

    from edgedistill.runtime.serving.app import build_app

    clients = []

    def start(**limits) -> tuple[TestClient, runtime.Predictor]:
        predictor = runtime.load(tiny_bundle, backend="onnxruntime")
        client = TestClient(build_app(predictor, Limits(**limits)))
        client.__enter__()
        clients.append(client)
        return client, predictor

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def photo(tiny_bundle) -> bytes:
    """A red photograph."""
    return (tiny_bundle / "selftest" / "red.jpg").read_bytes()
