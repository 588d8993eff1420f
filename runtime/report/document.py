"""The whole page: what the bundle is in one screen, then every section, then the scripts that draw."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources

import msgspec

from ..page import Markup, document, element
from .classes import classes_section
from .coverage import coverage_section
from .environment import environment_section
from .evidence import Evidence
from .latency import latency_section
from .lineage import lineage_section
from .overview import overview
from .parity import parity_section
from .place import GENERATOR
from .reliability import reliability_section
from .section import Section
from .tradeoff import tradeoff_section

_SECTIONS = (
    *(lineage_section, tradeoff_section, parity_section, classes_section, latency_section, reliability_section),
    *(coverage_section, environment_section),
)
# d3 first: Observable Plot takes it from the page.
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "figures.js")


def report_page(evidence: Evidence) -> str:
    """The HTML file. Scripts are known by their hash and nothing may be fetched, whatever a bundle's names hold."""
    sections = [found for section in _SECTIONS if (found := section(evidence)) is not None]
    figures = {name: data for one in sections for name, data in one.figures.items()}
    scripts = [_file(name) for name in _SCRIPTS] if figures else []
    return document(
        f"{evidence.bundle.manifest.name}: report",
        overview(evidence),
        _navigation(sections),
        *(one.html() for one in sections),
        element(
            "footer", "Made by ", element("code", "edgedistill report"), " from the bundle's manifest and results."
        ),
        element("script", _json(figures), type="application/json", id="figures") if figures else None,
        *(element("script", Markup(text)) for text in scripts),
        head=_head(scripts),
    )


def _navigation(sections: list[Section]) -> Markup:
    links = [element("a", one.title, href=f"#{one.key}") for one in sections]
    return element("nav", *links, aria_label="Sections")


def _head(scripts: list[str]) -> Markup:
    allowed = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts) or "'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'"
    return Markup(
        element("meta", http_equiv="Content-Security-Policy", content=policy)
        + element("meta", name="generator", content=GENERATOR)
        + f"<style>{_file('report.css')}</style>"
    )


def _json(value: object) -> Markup:
    """JSON that ends no script and begins no comment, whatever a class is called."""
    return Markup(re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(value).decode()))


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
