"""`app web` in a real browser: it proves itself, and labels photographs as Python does."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from browsers import CHROMIUM, SOFTWARE_GPU

from edgedistill import runtime
from edgedistill.runtime.preprocess import open_image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a minute of Chromium
GOLDEN = Path(__file__).parents[3] / "docs" / "golden_images"


def test_it_proves_itself_and_labels_as_python_does(site, serve, show, labels):
    page, heard = show(serve(site).url)
    assert page.evaluate("crossOriginIsolated")
    kinds = {"ort-fp32": "fp32", "ort-mobile": "fp32", "ort-int8": "int8"}
    assert page.locator("#artifact option").all_inner_texts() == [f"{name} ({of})" for name, of in kinds.items()]
    for artifact in kinds:
        page.locator("#artifact").select_option(artifact)
        page.locator("#loaded", has_text=f"{artifact} on ").wait_for()
        page.locator("#state", has_text="ready").wait_for()
        with runtime.load(site / "bundle", name=artifact) as predictor:
            for name in ("red", "teal", "grey"):
                path = site / "bundle" / "selftest" / f"{name}.jpg"
                page.locator("#file").set_input_files(path)
                page.locator("#state", has_text="ready").wait_for()
                expected = predictor.predict(path)[0].labels
                assert labels(page) == {label: f"{100 * p:.1f} %" for label, p in expected.items()}
                assert all(label in page.locator("#said").text_content() for label in expected)
        page.locator("#selftest").click()
        page.locator("#proof", has_text=f"passed: {artifact}").wait_for()
        assert page.locator("#proof td.good").count() == 3
    page.locator("#bench").click()
    page.locator("#proof tbody tr").nth(2).wait_for(timeout=60_000)
    page.locator("#state", has_text="ready").wait_for()
    assert " ms" in page.locator("#proof tbody").inner_text()
    assert heard == []


_SCORES = """async ([artifact, names]) => {
  const ort = await import("./ort/ort.wasm.min.mjs");
  ort.env.logLevel = "error";
  const { load, decode, toRgb } = await import("./edgedistill/index.js");
  const text = (bytes) => btoa(bytes.reduce((all, byte) => all + String.fromCharCode(byte), ""));
  const model = await load("bundle", { ort, artifact });
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


@pytest.mark.parametrize("artifact", ["ort-fp32", "ort-int8"])
def test_photographs_have_pythons_pixels_and_scores(site, serve, show, artifact):
    page, heard = show(serve(site).url)
    files = sorted(path.name for path in (site / "images").iterdir())
    found = page.evaluate(_SCORES, [artifact, files])
    refused = {case["file"] for case in json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))["refused"]}
    wrong = {}
    with runtime.load(site / "bundle", name=artifact) as predictor:
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
