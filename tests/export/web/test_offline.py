"""What is kept for use without a network: whole, of one version, and nobody else's."""

import os
import shutil
from pathlib import Path

import pytest
from npm import npm_packages

from edgedistill import runtime
from edgedistill.export.packages.web import ONNXRUNTIME, package_web

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a minute of Chromium


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
    for artifact in ("ort-mobile", "ort-int8"):
        page.locator("#artifact").select_option(artifact)
        page.locator("#loaded", has_text=f"{artifact} on ").wait_for()
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


def remake(golden_copy, folder: Path) -> Path:
    """A site of another bundle, whose classes have other names."""

    def change(manifest: dict) -> None:
        manifest["classes"] = [f"new {name}" for name in manifest["classes"]]

    modules = npm_packages(f"onnxruntime-web@{ONNXRUNTIME}")
    return package_web(runtime.open_bundle(golden_copy(folder / "bundle", change)), folder / "new", assets=modules)


def put(new: Path, place: Path, *, only: str = "*") -> None:
    for path in new.rglob(only):
        if path.is_file():
            copied = place / path.relative_to(new)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied)


def test_another_bundles_site_is_offered_when_all_of_it_is_there(site, serve, show, golden_copy, tmp_path, labels):
    place, new = tmp_path / "site", remake(golden_copy, tmp_path)
    put(site, place)
    page, heard = show(serve(place).url)
    put(new, place, only="sw.js")  # the host is being copied to
    page.evaluate("""async () => {
      const registration = await navigator.serviceWorker.ready;
      await registration.update().catch(() => {});
      const { installing } = registration;
      if (installing) await new Promise((done) => installing.addEventListener("statechange", () =>
        installing.state === "redundant" && done()));
    }""")
    page.reload()
    page.locator("#state", has_text="ready").wait_for()
    page.locator("#example").click()
    page.locator("#labels li").first.wait_for()
    assert "red" in labels(page)  # the old one, whole
    assert page.get_by_role("button", name="Use it").count() == 0
    put(new, place)
    page.reload()
    page.get_by_role("button", name="Use it").click(timeout=30_000)
    page.locator("#classes", has_text="new red").wait_for(state="attached", timeout=30_000)
    page.locator("#state", has_text="ready").wait_for()
    page.locator("#example").click()
    page.locator("#labels li").first.wait_for()
    assert "new red" in labels(page)
    assert len(page.evaluate("caches.keys()")) == 1
    assert heard == []


def test_without_a_worker_no_old_file_is_mixed_with_new_ones(site, serve, show, golden_copy, tmp_path):
    place = tmp_path / "site"
    put(site, place)
    for path in place.rglob("*"):
        os.utime(path, (0, 0))  # so old that a browser keeps it for years without asking
    page, heard = show(serve(place).url, workers=False)
    put(remake(golden_copy, tmp_path), place)
    page.reload()
    page.locator("#loaded", has_text="ort-fp32 on ").wait_for()
    assert page.locator("#classes").text_content() == "new red, new green, new blue, new bright"
    assert heard == []


def test_loaded_anew_with_shift_it_works(site, serve, show, until):
    page, heard = show(serve(site).url)
    with page.expect_navigation():
        page.context.new_cdp_session(page).send("Page.reload", {"ignoreCache": True})
    until(page, "navigator.serviceWorker.controller === null")
    page.locator("#loaded", has_text="ort-fp32 on ").wait_for(timeout=30_000)
    assert page.locator(".notice").count() == 0
    assert heard == []


def test_other_apps_of_the_origin_keep_what_is_theirs(site, serve, show, tmp_path):
    root = tmp_path / "root"
    for name in ("one", "two"):
        put(site, root / name)
    host = serve(root)
    first, _ = show(f"{host.url}one/")
    first.evaluate("caches.keys().then(([name]) => caches.open(name)).then((kept) => kept.put('mark', new Response()))")
    second = first.context.new_page()
    second.goto(f"{host.url}two/")
    second.locator("#state", has_text="ready").wait_for(timeout=60_000)
    with second.expect_navigation():
        second.evaluate("() => void import('./offline.js').then(({ forget }) => forget())")
    second.locator("#state", has_text="ready").wait_for(timeout=60_000)
    assert len(first.evaluate("caches.keys()")) == 2
    assert first.evaluate("caches.match('mark').then(Boolean)")
    host.stop()
    first.reload()
    first.locator("#state", has_text="ready").wait_for(timeout=60_000)


def test_a_host_that_knows_no_types_will_do(site, serve, show):
    page, heard = show(serve(site, knows_types=False).url)
    assert page.locator("#loaded").inner_text().startswith("ort-fp32 on ")
    assert heard == []
