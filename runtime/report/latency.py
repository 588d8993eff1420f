"""How long an inference takes: the distribution, not one number."""

from collections.abc import Sequence

import numpy as np

from ..formatting import interval, milliseconds, size
from ..page import Markup, element, table
from ..page.markup import joined
from .evidence import Evidence, Timed
from .section import Section, figure, folded

_LEAD = (
    "Every inference of the quiet turns (of all, where too few were), one image at a time: the higher the hill, the "
    "more of them took that long. The mark is the median and the line the 90th percentile. The slowest one in a "
    "hundred and what took four medians lie outside the picture, with a 90th percentile that is as far out; the table "
    "has them."
)
_GRID = 96  # places at which a density is drawn
_SHOWN, _MEDIANS = 0.99, 4.0  # where a hill ends: at this quantile, or at so many medians
_LEAST = 20  # samples for a hill


def latency_section(evidence: Evidence) -> Section | None:
    """A figure and a table for each device; None where bench did not run."""
    parts, figures = [], {}
    for number, place in enumerate(evidence.places):
        found = [one for one in evidence.timed if one.place.slug == place.slug and one.artifact.status == "ran"]
        if not found:
            continue
        name = f"latency_{number}"
        hills = [hill for one in found if one.is_headline and (hill := _hill(one)) is not None]
        if hills:
            figures[name] = hills
        drawn = figure(name, f"Latency in milliseconds on {place.name}, one image at a time") if hills else ""
        numbers = folded("The numbers as a table", _table(found)) if hills else _table(found)
        parts.append(element("h3", place.name) + drawn + joined(_doubt(found)) + numbers)
    return Section("latency", "Latency", _LEAD, Markup("".join(parts)), figures) if parts else None


def _doubt(found: Sequence[Timed]) -> Markup | None:
    """Which figures are not the device's own, where everybody sees it; None where all are."""
    names = dict.fromkeys(one.name for one in found if one.artifact.disturbed)
    if not names:
        return None
    said = f"Other work disturbed the machine while these were measured: {', '.join(names)}. Measure again."
    return element("p", said, class_="faint")


def density(samples: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Places in milliseconds and the share of samples per millisecond there, by a Gaussian kernel (Silverman's width).

    Args:
        samples: at least two.
    """
    values = np.sort(np.asarray(samples, float))
    shown = values[values <= min(np.quantile(values, _SHOWN), _MEDIANS * np.median(values))]
    spread = min(float(shown.std()), float(np.subtract(*np.quantile(shown, [0.75, 0.25]))) / 1.34) or float(shown.std())
    width = max(0.9 * spread * len(shown) ** -0.2, 1e-3 * float(shown.mean()), 1e-6)
    places = np.linspace(shown[0] - 3 * width, shown[-1] + 3 * width, _GRID)
    kernel = np.exp(-0.5 * ((places[:, None] - shown) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return places, kernel.mean(axis=1)


def _hill(one: Timed) -> dict[str, object] | None:
    samples = one.counted_ms()
    if len(samples) < _LEAST:
        return None
    places, heights = density(samples)
    return {
        "artifact": one.artifact.name,
        "p50_ms": one.artifact.p50_ms,
        "p90_ms": one.artifact.p90_ms,
        "places": [round(float(value), 5) for value in places],
        "heights": [round(float(value / heights.max()), 4) for value in heights],
    }


def _table(found: Sequence[Timed]) -> Markup:
    headings = (
        *("artifact", "scenario", "images", "mean ms", "p50 ms", "p90 ms [95 % CI]", "p95 ms", "p99 ms", "images/s"),
        *("load ms", "first ms", "peak memory", "energy per image", "note"),
    )
    return table(headings, [_row(one) for one in found], numbers=headings[2:-1])


def _row(one: Timed) -> tuple[str | int, ...]:
    found, offline, server = one.artifact, one.artifact.offline, one.artifact.server
    p90 = interval(found.latency.p90, 3) if found.latency else milliseconds(offline.p90_ms if offline else None)
    return (
        *(found.name, one.report.scenario, one.images, milliseconds(found.mean_ms)),
        *(milliseconds(offline.p50_ms if offline else found.p50_ms), p90, milliseconds(found.p95_ms)),
        *(milliseconds(server.p99_ms if server else found.p99_ms), milliseconds(one.report.throughput(found))),
        *(milliseconds(found.load_ms), milliseconds(found.first_ms)),
        "-" if found.peak_rss_bytes is None else size(found.peak_rss_bytes),
        f"{1000 * found.energy.joules_per_image:.3g} mJ" if found.energy else "-",
        _note(one),
    )


def _note(one: Timed) -> str:
    said = [f"disturbed: {one.artifact.disturbed}"] if one.artifact.disturbed else []
    said += ["throttled"] if one.artifact.throttled else []
    if not one.usual:
        asked = {"threads": one.artifact.threads, "device": one.artifact.device}
        said += [f"{what} {word}" for what, word in asked.items() if word is not None]
    if one.artifact.server is not None:
        said.append(f"the highest rate with a p99 within {one.artifact.server.max_p99_ms:g} ms")
    return "; ".join(said)
