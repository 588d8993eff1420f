"""The page in a real browser: it draws everything without a word on the console, on a desktop, on a phone, on paper."""

import pytest
from browsers import chromium

pytestmark = pytest.mark.filterwarnings("ignore")
browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def show(browser, page):
    """Open the page; what the console, the page's errors and its requests said is in `heard`."""
    contexts = []

    def open_page(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        shown, heard = context.new_page(), []
        shown.on("console", lambda message: heard.append(message.text))
        shown.on("pageerror", lambda error: heard.append(str(error)))
        shown.on(
            "request",
            lambda request: heard.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
        )
        shown.goto(page.as_uri())
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
