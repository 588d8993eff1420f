"""`app web` in a real browser: it proves itself, gives Python's scores, works offline, refuses what is altered."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsers import CHROMIUM, SOFTWARE_GPU, chromium
from npm import npm_packages
from PIL import Image
from site_server import Site

from edgedistill import runtime
from edgedistill.export.packages.web import ONNXRUNTIME, package_web
from edgedistill.runtime.preprocess import open_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a minute of Chromium
HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "docs" / "golden_images"
browser = pytest.fixture(scope="module")(chromium)
NO_GPU = "No available adapters."  # what Chromium itself says where the page asks whether there is one
TINY_ORT = HERE.parent / "golden" / "ort" / "tiny.ort"


@pytest.fixture(scope="module")
def site(golden_copy, tmp_path_factory) -> Path:
    """Of a bundle with two artifacts: an .onnx and an .ort file; beside it photographs."""

    def change(manifest: dict) -> None:
        first = manifest["artifacts"][0]
        data = TINY_ORT.read_bytes()
        entry = {"path": "ort/model.ort", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        second = {**first, "name": "ort-mobile", "format": "ort", "files": [entry]}
        second["target"] = {**first["target"], "name": "ort-mobile"}
        manifest["artifacts"].insert(1, second)

    folder = tmp_path_factory.mktemp("web")
    root = golden_copy(folder / "bundle", change)
    (root / "ort").mkdir()
    shutil.copy(TINY_ORT, root / "ort" / "model.ort")
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
def serve() -> Iterator[Callable[[Path], Site]]:
    sites: list[Site] = []

    def begin(folder: Path) -> Site:
        sites.append(Site(folder))
        return sites[-1]

    yield begin
    for one in sites:
        one.stop()


@pytest.fixture
def show(browser) -> Iterator[Callable[..., tuple]]:
    """Open the page and wait until it is ready; what the console and the page's errors said is in `heard`."""
    contexts = []

    def opened(url: str, *, state: str = "ready", other: object = None, **options: object) -> tuple:
        context = (other or browser).new_context(**options)
        contexts.append(context)
        page, heard = context.new_page(), []
        page.on("console", lambda message: heard.append(message.text) if message.text != NO_GPU else None)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.goto(url)
        page.locator("#state", has_text=state).wait_for(timeout=60_000)
        return page, heard

    yield opened
    for context in contexts:
        context.close()


def labels(page) -> dict[str, str]:
    return {
        row.locator(".label").inner_text(): row.locator(".value").inner_text()
        for row in page.locator("#labels li").all()
    }


def test_it_proves_itself_and_labels_as_python_does(site, serve, show):
    page, heard = show(serve(site).url)
    assert page.evaluate("crossOriginIsolated")
    assert page.locator("#artifact option").all_inner_texts() == ["ort-fp32 (fp32)", "ort-mobile (fp32)"]
    with runtime.load(site / "bundle", name="ort-fp32") as predictor:
        for name in ("red", "teal", "grey"):
            path = site / "bundle" / "selftest" / f"{name}.jpg"
            page.locator("#file").set_input_files(path)
            page.locator("#state", has_text="ready").wait_for()
            expected = predictor.predict(path)[0].labels
            assert labels(page) == {label: f"{100 * p:.1f} %" for label, p in expected.items()}
            assert all(label in page.locator("#said").text_content() for label in expected)
    for artifact in ("ort-fp32", "ort-mobile"):
        page.locator("#artifact").select_option(artifact)
        page.locator("#loaded", has_text=f"{artifact} on ").wait_for()
        assert labels(page)["bright"].endswith(" %")  # the photograph is labelled anew
        page.locator("#selftest").click()
        page.locator("#proof", has_text=f"passed: {artifact}").wait_for()
        assert page.locator("#proof td.good").count() == 3
    page.locator("#bench").click()
    page.locator("#proof tbody tr").nth(1).wait_for(timeout=60_000)
    page.locator("#state", has_text="ready").wait_for()
    assert " ms" in page.locator("#proof tbody").inner_text()
    assert heard == []


_SCORES = """async (names) => {
  const ort = await import("./ort/ort.wasm.min.mjs");
  ort.env.logLevel = "error";
  const { load, decode, toRgb } = await import("./edgedistill/index.js");
  const text = (bytes) => btoa(bytes.reduce((all, byte) => all + String.fromCharCode(byte), ""));
  const model = await load("bundle", { ort, artifact: "ort-fp32" });
  const found = {};
  for (const name of names) {
    try {
      const blob = await (await fetch(`images/${name}`)).blob();
      const [scores] = await model.scores(blob);
      const { width, height, data } = toRgb(await decode(blob));
      found[name] = { scores: [...scores], width, height, pixels: text(data) };
    } catch (error) {
      found[name] = { error: error.message };
    }
  }
  return found;
}"""
UNREAD = (".tif", ".pgm")  # by Chromium: docs/web.md says so


def test_photographs_have_pythons_pixels_and_scores(site, serve, show):
    page, heard = show(serve(site).url)
    files = sorted(path.name for path in (site / "images").iterdir())
    found = page.evaluate(_SCORES, files)
    refused = {case["file"] for case in json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))["refused"]}
    wrong = {}
    with runtime.load(site / "bundle", name="ort-fp32") as predictor:
        for name in files:
            path, got = site / "images" / name, found[name]
            if name in refused:
                assert "error" in got, name
                continue
            if "error" in got:
                wrong[name] = got["error"]
                continue
            pixels = np.frombuffer(base64.b64decode(got["pixels"]), np.uint8).reshape(got["height"], got["width"], 3)
            difference = np.abs(pixels.astype(int) - np.asarray(open_image(path))).max()
            scores = np.abs(predictor.scores(path)[0] - np.array(got["scores"])).max()
            if difference:
                wrong[name] = f"{difference} levels, scores {scores:.1e}"
            else:
                assert scores < 1e-5, name
    assert set(wrong) == {name for name in files if name.endswith(UNREAD) and name not in refused}, wrong
    assert heard == []


def test_without_a_network_it_works(site, serve, show):
    host = serve(site)
    page, heard = show(host.url)
    before = len(host.asked)
    page.reload()
    page.locator("#state", has_text="ready").wait_for(timeout=60_000)
    assert [path for path in host.asked[before:] if path not in ("/sw.js",)] == []
    host.stop()
    page.reload()
    page.locator("#state", has_text="ready").wait_for(timeout=60_000)
    assert page.evaluate("crossOriginIsolated")
    page.locator("#artifact").select_option("ort-mobile")
    page.locator("#loaded", has_text="ort-mobile on ").wait_for()
    page.locator("#example").click()
    page.locator("#labels li").first.wait_for()
    page.locator("#selftest").click()
    page.locator("#proof", has_text="passed").wait_for()
    assert heard == []


def test_what_is_not_the_bundle_is_refused(site, serve, show, tmp_path):
    altered = Path(shutil.copytree(site, tmp_path / "altered"))
    path = altered / "bundle" / "onnx" / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    page, heard = show(serve(altered).url, state="error")
    said = page.locator(".notice.error").inner_text()
    assert "onnx/model.fp32.onnx: its SHA-256 differs from the manifest's: altered." in said
    assert page.locator("#labels li").count() == 0
    page.locator("#artifact").select_option("ort-mobile")  # the other one is sound
    page.locator("#state", has_text="ready").wait_for()
    assert page.locator(".notice.error").count() == 0
    assert heard == []


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_is_used_by_keyboard_alone(site, serve, show, width):
    page, heard = show(serve(site).url, viewport={"width": width, "height": 800}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sum(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 150
    seen = []
    for _ in range(11):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
    assert [name for name in seen if name][:7] == [
        "file",
        "camera",
        "example",
        "artifact",
        "provider",
        "selftest",
        "bench",
    ]
    page.locator("#example").focus()
    page.keyboard.press("Enter")
    page.locator("#labels li").first.wait_for()
    page.locator("#state", has_text="ready").wait_for()
    assert page.evaluate("document.activeElement.id") == "example"
    assert page.locator("img#photo").get_attribute("alt").startswith("Photograph ")
    assert heard == []


@pytest.mark.slow
def test_threads_and_the_gpu_give_the_same(site, serve, show, browser):
    other = browser.browser_type.launch(executable_path=CHROMIUM, args=SOFTWARE_GPU)
    try:
        page, heard = show(f"{serve(site).url}?threads=2", other=other)
        assert page.locator("#loaded").inner_text().startswith("ort-fp32 on 2 threads with SIMD")
        if page.locator("#provider option").count() == 1:
            pytest.skip("this Chromium has no WebGPU without a GPU")
        page.locator("#provider").select_option("webgpu")
        page.locator("#loaded", has_text="ort-fp32 on GPU").wait_for(timeout=60_000)
        page.locator("#selftest").click()
        page.locator("#proof", has_text="passed: ort-fp32").wait_for(timeout=60_000)
        assert heard == []
    finally:
        other.close()


HOSTILE = """a "b' </script><img src=x onerror=alert(1)> ${1} \\ {{name}} `c`"""


def test_names_are_shown_as_they_are(golden_copy, tmp_path, serve, show):
    def change(manifest: dict) -> None:
        manifest["name"] = HOSTILE
        manifest["classes"] = [f"{name} {HOSTILE}" for name in manifest["classes"]]
        manifest["artifacts"][0]["name"] = HOSTILE

    modules = npm_packages(f"onnxruntime-web@{ONNXRUNTIME}")
    made = package_web(runtime.open_bundle(golden_copy(tmp_path / "b", change)), tmp_path / "site", assets=modules)
    page, heard = show(serve(made).url)
    assert page.title() == HOSTILE
    assert page.locator("h1").inner_text() == HOSTILE
    page.locator("#example").click()
    page.locator("#labels li").first.wait_for()
    assert set(labels(page)) <= {f"{name} {HOSTILE}" for name in ("red", "green", "blue", "bright")}
    assert json.loads((made / "manifest.webmanifest").read_text(encoding="utf-8"))["name"] == HOSTILE
    assert heard == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_can_be_installed(site, serve, show, scheme):
    axe = npm_packages("axe-core@4.14.1") / "axe-core" / "axe.min.js"
    page, heard = show(serve(site).url, color_scheme=scheme)
    page.locator("#example").click()
    page.locator("#labels li").first.wait_for()
    page.locator("#selftest").click()
    page.locator("#proof td").first.wait_for()
    page.locator("#state", has_text="ready").wait_for()
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    tools = page.context.new_cdp_session(page)
    manifest = tools.send("Page.getAppManifest")
    assert manifest["url"].endswith("/manifest.webmanifest")
    assert manifest["errors"] == []
    errors = tools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {one["errorId"] for one in errors} <= {"in-incognito"}  # as the tests' pages are
    assert heard == []


def test_the_camera_is_labelled(site, serve, show):
    page, heard = show(serve(site).url, permissions=["camera"])
    page.locator("#camera").click()
    page.locator("#latency", has_text="inference").wait_for(timeout=30_000)
    assert page.locator("#camera").get_attribute("aria-pressed") == "true"
    page.locator("#camera").click()
    assert page.locator("#video").is_hidden()
    assert heard == []


@pytest.mark.slow
def test_a_new_version_is_offered(site, serve, show, tmp_path):
    folder = Path(shutil.copytree(site, tmp_path / "site"))
    page, _ = show(serve(folder).url)
    worker = folder / "sw.js"
    text = worker.read_text(encoding="utf-8")
    (folder / "style.css").write_text((folder / "style.css").read_text(encoding="utf-8") + "body { margin: 1px }")
    first = text.index("`${PREFIX}") + len("`${PREFIX}")
    worker.write_text(text[:first] + "0" * 16 + text[first + 16 :], encoding="utf-8")
    page.reload()
    page.get_by_role("button", name="Use it").click(timeout=30_000)
    page.locator("#state", has_text="ready").wait_for(timeout=60_000)
    page.wait_for_function("getComputedStyle(document.body).marginTop === '1px'")
