"""Pages are one file that fetches nothing, and text that a stranger chose stays text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.page import Markup, document, element, table, thumbnail, verdict, write_page


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&amp;b"])
def test_text_stays_text_in_content_and_attributes(hostile):
    page = Elements(document(hostile, element("p", hostile, title=hostile), table(["a"], [[hostile]])))
    assert [tag for tag, _ in page.found].count("script") == 0
    assert [tag for tag, _ in page.found].count("img") == 0
    assert page.text.count(hostile) == 3
    assert next(attributes for tag, attributes in page.found if tag == "p") == {"title": hostile}


def test_a_page_holds_its_pictures_and_fetches_nothing(tmp_path):
    photo = tmp_path / "wide.png"
    Image.fromarray(np.zeros((60, 600, 3), np.uint8)).save(photo)
    made = thumbnail(photo, alt="a wide one")
    page = document("pictures", made, thumbnail(tmp_path / "missing.jpg", alt="none"))
    path = write_page(tmp_path / "page.html", page)
    assert path.read_text(encoding="utf-8") == page
    found = Elements(page)
    (image,) = [attributes for tag, attributes in found.found if tag == "img"]
    assert image["src"].startswith("data:image/jpeg;base64,")
    assert (image["width"], image["height"], image["alt"]) == ("200", "20", "a wide one")
    assert "missing.jpg: no such image" in found.text
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "color-scheme: light dark" in page
    assert 'name="viewport"' in page


def test_a_file_name_that_is_no_text_does_not_stop_a_page(tmp_path):
    page = document("a\udcff.jpg", element("p", "a\udcff.jpg"))
    write_page(tmp_path / "page.html", page)
    assert "\\udcff" in page


def test_what_is_left_out_and_what_is_markup_already():
    assert element("p", None, 3, Markup("<b>x</b>"), class_="a", data_id=None) == '<p class="a">3<b>x</b></p>'
    assert verdict("not judged") == '<span class="verdict not-judged">not judged</span>'
