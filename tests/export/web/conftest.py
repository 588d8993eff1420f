"""A site of a bundle with three artifacts and photographs beside it, hosts for it, and pages of a browser."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsers import chromium
from npm import npm_packages
from PIL import Image
from site_server import Site

from edgedistill import runtime
from edgedistill.export.packages.web import ONNXRUNTIME, package_web

TESTS = Path(__file__).parents[2]
GOLDEN = TESTS.parent / "docs" / "golden_images"
INT8_PATH = "onnx/modèle int8 (1)'s.onnx"  # as hard to write in an address as a bundle's path may be
NO_GPU = "No available adapters."  # what Chromium itself says where the page asks whether there is one

browser = pytest.fixture(scope="module")(chromium)  # its event loop is in other modules' way


def int8_graph() -> bytes:
    """The golden bundle's graph with its product in 8-bit integers, as `export` writes it: QDQ."""
    onnx = pytest.importorskip("onnx")
    parsed = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 18]>
        tiny (uint8[batch, 16, 16, 3] image) => (float[batch, 4] logits, float[batch, 4] probabilities)
        <float unit = {0.00392156862745098}, uint8 zero = {0}, int64[2] axes = {1, 2}, float step = {0.0078125},
         int8 none = {0}, float wide = {0.0625}, int8[3, 4] weights = {127, -64, -64, 48, -64, 127, -64, 48, -64, -64,
         127, 48}, float[4] bias = {0.5, 0.25, -0.25, -4.0}>
        {
            float = Cast <to = 1> (image)
            means = ReduceMean <keepdims = 0> (float, axes)
            shares = Mul (means, unit)
            levels = QuantizeLinear (shares, step, zero)
            rounded = DequantizeLinear (levels, step, zero)
            held = DequantizeLinear (weights, wide, none)
            product = MatMul (rounded, held)
            logits = Add (product, bias)
            probabilities = Sigmoid (logits)
        }""")
    onnx.checker.check_model(parsed)
    return parsed.SerializeToString()


@pytest.fixture(scope="session")
def site(golden_copy, tmp_path_factory) -> Path:
    """Made of a bundle with an .onnx and an .ort file in fp32 and an .onnx file in int8; below images/ photographs."""
    files = {"ort/model.ort": (TESTS / "golden/ort/tiny.ort").read_bytes(), INT8_PATH: int8_graph()}

    def change(manifest: dict) -> None:
        first = manifest["artifacts"][0]
        for (path, data), name, kind in zip(files.items(), ("ort-mobile", "ort-int8"), ("ort", "onnx"), strict=True):
            entry = {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            precision = "int8" if "int8" in name else "fp32"
            target = {**first["target"], "name": name, "precision": precision}
            largest = {"fp32": 1e-6, "int8": 0.06}[precision]
            parity = {"images": 3, "max_abs_logit": largest, "mean_abs_logit": largest}
            more = {"name": name, "format": kind, "files": [entry], "target": target, "parity": parity}
            manifest["artifacts"].append({**first, **more})

    folder = tmp_path_factory.mktemp("web")
    root = golden_copy(folder / "bundle", change)
    (root / "ort").mkdir()
    for path, data in files.items():
        (root / path).write_bytes(data)
    modules = npm_packages(f"onnxruntime-web@{ONNXRUNTIME}")
    made = package_web(runtime.open_bundle(root), folder / "site", assets=modules)
    images = made / "images"
    images.mkdir()
    for path in GOLDEN.iterdir():
        if path.suffix not in (".json", ".py"):
            shutil.copy(path, images)
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (37, 51, 4)).astype(np.uint8)).save(images / "alpha.png")
    Image.fromarray(rng.integers(0, 256, (300, 200, 3)).astype(np.uint8)).save(images / "noise.png")
    return made


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Begin to serve a folder; see `Site`."""
    sites: list[Site] = []

    def begin(folder: Path, **options: object) -> Site:
        sites.append(Site(folder, **options))
        return sites[-1]

    yield begin
    for one in sites:
        one.stop()


@pytest.fixture
def show(browser) -> Iterator[Callable[..., tuple]]:
    """Open the page and wait until it is ready; what the console and the page's errors said is in `heard`."""
    contexts = []

    def opened(url: str, state: str = "ready", workers: bool = True, other: object = None, **options: object) -> tuple:
        context = (other or browser).new_context(**options)
        contexts.append(context)
        if not workers:  # as in a private window
            context.add_init_script("delete Navigator.prototype.serviceWorker")
        page, heard = context.new_page(), []
        page.on("console", lambda message: heard.append(message.text) if message.text != NO_GPU else None)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.goto(url)
        page.locator("#state", has_text=state).wait_for(timeout=60_000)
        return page, heard

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait until an expression holds in a page, whose policy forbids what playwright's own waiting evaluates."""

    def wait(page, expression: str) -> None:
        for _ in range(300):
            if page.evaluate(expression):
                return
            page.wait_for_timeout(100)
        raise AssertionError(f"never: {expression}")

    return wait


@pytest.fixture(scope="session")
def labels() -> Callable[..., dict[str, str]]:
    """What a page shows: the probability, as it is written, by label."""

    def read(page) -> dict[str, str]:
        rows = page.locator("#labels li").all()
        return {row.locator(".label").inner_text(): row.locator(".value").inner_text() for row in rows}

    return read
