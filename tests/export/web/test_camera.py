"""The camera: its frames are labelled, whatever the user does meanwhile, and it goes off when it shall."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a minute of Chromium

_COUNT = """() => {
  window.tracks = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (asked) => {
    const stream = await ask(asked);
    await new Promise((resolve) => setTimeout(resolve, 300)); // as long as a user takes to allow it
    tracks.push(...stream.getTracks());
    return stream;
  };
}"""


@pytest.fixture
def page(site, serve, show):
    page, heard = show(serve(site).url, permissions=["camera"])
    page.evaluate(_COUNT)
    yield page
    assert heard == []
    assert page.locator(".notice.error").all_inner_texts() == []


def is_on(page) -> bool:
    return page.locator("#camera").get_attribute("aria-pressed") == "true"


def looks(page) -> None:
    page.evaluate("document.getElementById('latency').textContent = ''")
    page.locator("#latency", has_text="inference").wait_for(timeout=30_000)


def test_it_is_labelled_until_it_goes_off(page):
    page.locator("#camera").click()
    looks(page)
    assert is_on(page)
    page.locator("#camera").click()
    assert page.locator("#video").is_hidden()
    assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]


def test_another_artifact_is_chosen_while_it_is_on(page):
    page.locator("#camera").click()
    looks(page)
    for artifact in ("ort-mobile", "ort-int8", "ort-fp32"):
        page.locator("#artifact").select_option(artifact)
        page.locator("#loaded", has_text=f"{artifact} on ").wait_for()
        looks(page)
        assert is_on(page)


def test_a_second_press_takes_the_first_back(page, until):
    page.locator("#camera").click()
    page.locator("#camera").click()
    until(page, "tracks.length === 1 && tracks[0].readyState === 'ended'")
    assert not is_on(page)


def test_a_photograph_has_its_labels_again_when_it_goes_off(page, labels):
    page.locator("#example").click()
    page.locator("#labels", has_text="red").wait_for()
    expected = labels(page)
    page.locator("#camera").click()
    looks(page)
    assert labels(page) != expected
    page.locator("#camera").click()
    page.locator("#said", has_text="red").wait_for(state="attached")
    assert page.locator("#photo").is_visible()
    assert labels(page) == expected


def test_one_that_is_pulled_out_is_off(page):
    page.locator("#camera").click()
    looks(page)
    page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
    page.locator("#video").wait_for(state="hidden")
    assert not is_on(page)
