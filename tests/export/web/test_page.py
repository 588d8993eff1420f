"""The page: how it looks, who can use it and how photographs come to it."""

import base64
import json

import pytest
from npm import npm_packages

from edgedistill import runtime
from edgedistill.export.packages.web import ONNXRUNTIME, package_web

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a minute of Chromium


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


HOSTILE = """a "b' </script><img src=x onerror=alert(1)> ${1} \\ {{name}} `c`"""


def test_names_are_shown_as_they_are(golden_copy, tmp_path, serve, show, labels):
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


# As a user lets go of files above the page, or pastes them.
_GIVE = """async ([kind, files]) => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files)
    transfer.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name, { type }));
  const given = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
  const event = kind === "paste" ? new ClipboardEvent(kind, given) : new DragEvent(kind, given);
  document.querySelector("main").dispatchEvent(event);
  return event.defaultPrevented;
}"""


def photograph(site, name: str) -> list[str]:
    return [f"{name}.jpg", "image/jpeg", base64.b64encode((site / f"bundle/selftest/{name}.jpg").read_bytes()).decode()]


def test_a_photograph_is_dropped_or_pasted(site, serve, show, labels):
    page, heard = show(serve(site).url)
    assert page.evaluate(_GIVE, ["drop", [photograph(site, "red")]])
    page.locator("#labels li").first.wait_for()
    assert "red" in labels(page)
    page.evaluate(_GIVE, ["paste", [["notes.txt", "text/plain", ""], photograph(site, "teal")]])
    page.locator("#labels", has_text="green").wait_for()
    page.evaluate(_GIVE, ["drop", [["notes.txt", "text/plain", ""]]])
    page.locator(".notice.error", has_text="notes.txt: this browser cannot decode it").wait_for()
    assert labels(page) == {}
    assert heard == []


def test_the_labels_are_those_of_the_photograph_that_is_shown(site, serve, show):
    page, heard = show(serve(site).url)
    page.evaluate("""() => {
      window.shown = [];
      const told = () => document.getElementById("said").textContent && shown.push(
        [document.getElementById("photo").alt, document.getElementById("said").textContent]);
      new MutationObserver(told).observe(document.getElementById("said"), { childList: true });
    }""")
    for name in ("red", "teal", "red", "teal"):
        page.evaluate(_GIVE, ["drop", [photograph(site, name)]])
    page.locator("#labels li").first.wait_for()
    page.locator("#state", has_text="ready").wait_for()
    shown = page.evaluate("shown")
    assert shown
    assert all(("red" in alt) == ("red" in said) for alt, said in shown), shown
    assert heard == []


def test_one_that_comes_before_the_page_is_ready_waits(site, serve, show, labels):
    page, heard = show(serve(site).url, workers=False)
    held = []

    def hold(route) -> None:
        held.append(route)

    page.route("**/app.json", hold)
    page.reload(wait_until="commit")
    page.locator("#state", has_text="preparing").wait_for()
    assert page.evaluate(_GIVE, ["drop", [photograph(site, "red")]])
    assert page.locator("#none").inner_text() == "Looking …"
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    page.locator("#labels li").first.wait_for()
    assert "red" in labels(page)
    assert heard == []


def test_a_faulty_example_is_told(site, serve, show):
    page, heard = show(serve(site).url, workers=False)
    page.route("**/selftest/*", lambda route: route.fulfill(body="no photograph"))
    page.locator("#example").click()
    page.locator(".notice.error", has_text="truncated or altered").wait_for()
    assert heard == []
