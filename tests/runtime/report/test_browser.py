"""The page in a real browser: it draws everything without a word on the console, on a desktop, on a phone, on paper."""

import json
import shutil

import pytest
from browsers import chromium

from edgedistill import runtime

OTHER = "another-board-aarch64"  # see conftest.py

pytestmark = pytest.mark.filterwarnings("ignore")
browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def show(browser, page):
    """Open the page; what the console, the page's errors and its requests said is in `heard`."""
    contexts = []

    def open_page(place=page, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        shown, heard = context.new_page(), []
        shown.on("console", lambda message: heard.append(message.text))
        shown.on("pageerror", lambda error: heard.append(str(error)))
        shown.on(
            "request",
            lambda request: heard.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
        )
        shown.goto(place.as_uri())
        return shown, heard

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_everything_is_drawn_and_nothing_is_said_or_fetched(show, width):
    shown, heard = show(viewport={"width": width, "height": 800})
    boxes = shown.locator("[data-figure]")
    assert boxes.count() >= 6
    for box in boxes.all():
        assert box.locator("svg[role=img]").count() >= 1
    assert shown.title() == "tiny: report"
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing but tables scrolls sideways
    assert shown.locator("figure[class~=drawn] img").count() == 0
    assert heard == []


# Pairs of texts of one figure of which one lies over the other.
OVERLAPPING = """() => [...document.querySelectorAll("[data-figure] svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].filter((one) => one.textContent);
  const shown = texts.map((one) => ({ said: one.textContent, box: one.getBoundingClientRect() }));
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return shown.flatMap((a, i) =>
    shown.slice(i + 1).filter((b) => over(a.box, b.box)).map((b) => `${a.said} | ${b.said}`));
})"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_of_a_figure_lies_over_another(show, width):
    shown, _ = show(viewport={"width": width, "height": 800})
    assert shown.evaluate(OVERLAPPING) == []


def test_a_percentile_far_out_leaves_the_hills_their_room(show, measured, tmp_path):
    root = shutil.copytree(measured[0], tmp_path / "b")
    shutil.rmtree(root / "results" / OTHER)
    (path,) = root.glob("results/*/*-bench-*.json")
    run = json.loads(path.read_text())
    slowest = max(artifact["latency"]["p50"]["estimate"] for artifact in run["report"]["artifacts"])
    for artifact in run["report"]["artifacts"]:
        artifact["latency"]["p90"]["estimate"] = 1000 * slowest
    path.write_text(json.dumps(run))
    shown, heard = show(place=runtime.write_report(root))
    ticks = shown.locator("[data-figure=latency_0] [aria-label='x-axis tick label'] text").all_text_contents()
    marked = [float(text.replace(",", "")) for text in ticks if text]  # of a logarithm's, some
    assert marked
    assert max(marked) < 50 * slowest
    assert heard == []


def test_a_choice_draws_another_artifact_by_keyboard(show):
    shown, heard = show(viewport={"width": 1280, "height": 800})
    figure = shown.locator("[data-figure=classes]")
    before = figure.inner_html()
    choice = shown.locator("#classes select").first
    choice.focus()
    shown.keyboard.press("ArrowDown")
    assert figure.inner_html() != before
    assert heard == []


def test_paper_unfolds_tables_and_dark_is_dark(show):
    shown, heard = show(viewport={"width": 800, "height": 800}, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert sum(shown.evaluate(colour)) < 150
    assert shown.locator("details[open]").count() == 0
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.locator("details:not([open])").count() == 0
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown.locator("details[open]").count() == 0
    shown.emulate_media(media="print")
    assert sum(shown.evaluate(colour)) > 700
    assert heard == []
