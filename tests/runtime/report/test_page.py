"""The page says what the results say, fetches nothing, and takes names for text."""

import base64
import hashlib
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import open_bundle, read_stored
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.formatting import interval, milliseconds
from edgedistill.runtime.metrics import calibration_bins
from edgedistill.runtime.report.classes import classes_section
from edgedistill.runtime.report.evidence import gather
from edgedistill.runtime.report.latency import density

OTHER = "another-board-aarch64"  # see conftest.py
VENDOR = Path(__file__).parents[3] / "runtime" / "report" / "vendor"


class Parsed(HTMLParser):
    """Tables as rows of texts, ids, every attribute that could fetch, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.ids, self.fetching, self.scripts, self.tags = [], [], [], [], set()
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.fetching += [
            (key, found[key]) for key in ("src", "href", "srcset", "action", "data", "poster") if key in found
        ]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._script = [found.get("type", "")] if tag == "script" else None

    def handle_data(self, text):
        if self._script is not None:
            self.scripts.append((self._script[0], text))
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += text


@pytest.fixture(scope="module")
def parsed(page) -> Parsed:
    return Parsed(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def figures(parsed) -> dict:
    return next(json.loads(text) for kind, text in parsed.scripts if kind == "application/json")


def test_drops_and_classes_are_those_of_verify(measured, figures, parsed):
    _, parity, _ = measured
    for artifact in parity.artifacts:
        found = [one for one in figures["drops_0"] if one["artifact"] == artifact.name]
        assert [(one["drop"], one["low"], one["high"]) for one in found] == 2 * [
            (artifact.drop.estimate, artifact.drop.low, artifact.drop.high)
        ]
        row = next(row for row in parsed.rows if row[1:2] == [artifact.name] and len(row) == 12)
        assert row[3:5] == [interval(artifact.mean_ap), interval(artifact.drop, 3)]
        assert row[7:9] == [str(artifact.flips.gained), str(artifact.flips.lost)]
        drawn = next(one for one in figures["classes"] if one["artifact"].startswith(f"{artifact.name} on "))
        assert [(one["name"], one["ap"], one["reference"]) for one in drawn["classes"]] == [
            (one.name, one.ap, one.reference_ap) for one in artifact.classes
        ]


def test_latencies_are_those_of_bench(measured, figures, parsed):
    _, parity, bench = measured
    timed = {one.name: one for one in bench.artifacts}
    for one in figures["latency_tradeoff"]:
        own = timed.get(one["artifact"])
        assert one["p90_ms"] == (own.p90_ms if own else None)
        assert one["bytes"] == next(a.bytes for a in parity.artifacts if a.name == one["artifact"])
        assert one["mAP"] == next(a.mean_ap.estimate for a in parity.artifacts if a.name == one["artifact"])
    hills = {one["artifact"]: one for one in figures["latency_0"]}
    assert set(hills) == set(timed)
    row = next(row for row in parsed.rows if row[:3] == ["ort-fp32", "single", "1"])
    assert row[4] == milliseconds(timed["ort-fp32"].p50_ms)
    assert hills["ort-fp32"]["p50_ms"] == timed["ort-fp32"].p50_ms


def test_the_headline_is_that_of_the_deploy_config_s_own_setting(measured, tmp_path):
    root = shutil.copytree(measured[0], tmp_path / "b")
    for path in sorted(root.glob("results/*/*-bench-*.json")):
        run = json.loads(path.read_text())
        run["created"] = "2099-01-01T00:00:00+00:00"
        for artifact in run["report"]["artifacts"]:
            artifact["threads"] = 3
            artifact["latency"]["p90"]["estimate"] = 1234.0
        path.with_name("20990101T000000Z-bench-000000.json").write_text(json.dumps(run))
    text = runtime.write_report(root).read_text(encoding="utf-8")
    figures = next(json.loads(text) for kind, text in Parsed(text).scripts if kind == "application/json")
    assert 1234.0 not in [one["p90_ms"] for one in figures["latency_tradeoff"]]
    assert [one["artifact"] for one in figures["latency_0"]] == ["ort-fp32", "ov-fp32"]
    notes = [row[-1] for row in Parsed(text).rows if row[:3] == ["ort-fp32", "single", "1"]]
    assert sorted("threads 3" in note for note in notes) == [False, False, True, True]


@pytest.mark.parametrize("disturbed", [(), ("ort-fp32",), ("ort-fp32", "ov-fp32")])
def test_a_disturbed_measurement_is_told_where_it_is_seen(measured, tmp_path, disturbed):
    root = shutil.copytree(measured[0], tmp_path / "b")
    shutil.rmtree(root / "results" / OTHER)
    (path,) = root.glob("results/*/*-bench-*.json")
    run = json.loads(path.read_text())
    fast, slow = run["report"]["artifacts"]
    fast["latency"]["p90"]["estimate"], slow["latency"]["p90"]["estimate"] = 1.25, 2.5
    for artifact in (fast, slow):
        artifact["disturbed"] = "4 of 4 turns disturbed" if artifact["name"] in disturbed else ""
    path.write_text(json.dumps(run))
    text = runtime.write_report(root).read_text(encoding="utf-8")
    said = re.findall(r"Other work disturbed the machine while these were measured: ([^<]*)\. Measure again\.", text)
    assert said == ([", ".join(disturbed)] if disturbed else [])
    tile = re.search(r"fastest p90</dt><dd>([\d.]+) ms</dd><dd class=\"faint\">([^<]*)</dd>", text)
    # The fastest is one that can be believed, where there is one.
    assert tile[1] == ("2.50" if disturbed == ("ort-fp32",) else "1.25")[: len(tile[1])]
    assert ("disturbed" in tile[2]) == (len(disturbed) == 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["passed", "failed", "could not run"], "1 of 2 comparisons passed"),
        (["passed", "not judged", "undecided"], "1 of 2 comparisons passed, 1 without a gate"),
        (["not judged", "could not run"], "1 comparison, without a gate"),
        (["could not run"], "nothing could run"),
    ],
)
def test_what_no_gate_judged_is_not_counted_as_not_passed(measured, tmp_path, words, said):
    root = shutil.copytree(measured[0], tmp_path / "b")
    shutil.rmtree(root / "results" / OTHER)
    (path,) = root.glob("results/*/*-verify-*.json")
    run = json.loads(path.read_text())
    run["report"]["artifacts"] = [
        {**one, "verdict": word} for one, word in zip(run["report"]["artifacts"], words, strict=False)
    ]
    path.write_text(json.dumps(run))
    assert f">{said}<" in runtime.write_report(root).read_text(encoding="utf-8")


def test_reliability_is_that_of_the_stored_scores(measured, figures):
    root, parity, _ = measured
    evidence = gather(open_bundle(root))
    curve = figures["reliability"][0]
    one = next(c for c in evidence.compared if (c.place.name, c.artifact.name) == (curve["device"], curve["artifact"]))
    bins = calibration_bins(one.scores.artifacts[one.artifact.name], one.scores.labels)
    assert [found["count"] for found in curve["bins"]] == bins.count[bins.count > 0].tolist()
    assert sum(found["count"] for found in curve["bins"]) == 80 * 4 == curve["labels"]
    assert curve["ece"] == next(a.labels.ECE for a in parity.artifacts if a.name == one.artifact.name)


def test_every_part_is_there_with_its_numbers(page, parsed):
    text = html.unescape(re.sub("<[^>]+>", " ", page.read_text(encoding="utf-8")))
    keys = ("lineage", "tradeoff", "parity", "classes", "latency", "reliability", "int8", "environment")
    assert set(keys) <= set(parsed.ids)
    for said in (
        "+5.25 points",
        "timm/resnet50",
        "23.50 M parameters",
        "6 of 8 convolutions",
        "stem, head",
        "Another board",
        "1.250",
    ):
        assert said in text


def test_names_are_text_and_nothing_is_fetched(page, parsed):
    text = page.read_text(encoding="utf-8")
    assert "img" not in {tag for tag in parsed.tags if "onerror" in tag}
    assert not any("example.org" in value for _, value in parsed.fetching)
    assert all(value.startswith(("#", "data:image/")) for _, value in parsed.fetching)
    style = "".join(re.findall("<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in style
    assert "@import" not in style
    assert len(text) < 2_000_000
    policy = html.unescape(re.search('Content-Security-Policy" content="([^"]*)"', text)[1])
    assert "default-src 'none'" in policy
    allowed = set(re.findall("'sha256-([^']*)'", policy))
    scripts = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    assert {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts} == allowed
    assert len(scripts) == 3


def test_a_bundle_of_the_first_version_gets_a_page_of_what_is_there(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    text = runtime.write_report(root).read_text(encoding="utf-8")
    assert 'id="lineage"' in text
    assert 'id="int8"' not in text


def test_a_bundle_without_results_gets_a_page_without_scripts(tiny_bundle, tmp_path):
    place = runtime.write_report(tiny_bundle, tmp_path / "page.html")
    parsed = Parsed(place.read_text(encoding="utf-8"))
    assert parsed.scripts == []
    assert {"lineage", "environment"} <= set(parsed.ids)
    assert not (tiny_bundle / "report.html").exists()


def test_of_a_zip_it_lies_beside(tiny_bundle, tmp_path):
    packed = runtime.zip_bundle(open_bundle(tiny_bundle), tmp_path / "b.zip")
    assert runtime.write_report(packed) == tmp_path / "b.report.html"


def test_only_a_page_of_ours_is_replaced(tiny_bundle, tmp_path):
    place = tmp_path / "page.html"
    place.write_text("my notes")
    with pytest.raises(ConfigError, match="is no page that `edgedistill report` wrote: not replaced"):
        runtime.write_report(tiny_bundle, place)
    assert place.read_text() == "my notes"
    place.unlink()
    place.symlink_to(tmp_path / "nowhere.html")
    with pytest.raises(ConfigError, match="not replaced"):
        runtime.write_report(tiny_bundle, place)
    place.unlink()
    runtime.write_report(tiny_bundle, place)
    runtime.write_report(tiny_bundle, place)


def test_results_of_another_bundle_and_damaged_ones_are_left_out_and_told(measured, tmp_path):
    root = Path(shutil.copytree(measured[0], tmp_path / "b"))
    for stored in next(iter(read_stored(root).values())):
        run = json.loads(stored.path.read_text())
        run["report"] |= {"manifest_sha256": "0" * 64} if stored.run.kind == "verify" else {"artifacts": "none"}
        stored.path.write_text(json.dumps(run))
    assert gather(open_bundle(root)).left_out == 2
    assert "2 runs are left out" in runtime.write_report(root).read_text(encoding="utf-8")


def test_an_altered_photograph_is_told_in_its_place(measured, tmp_path):
    root = Path(shutil.copytree(measured[0], tmp_path / "b"))
    (root / "selftest" / "red.jpg").write_bytes(b"altered")
    text = runtime.write_report(root).read_text(encoding="utf-8")
    assert "red.jpg: has 7 bytes" in text


def test_a_density_has_the_mass_and_the_place_of_its_samples():
    samples = np.random.default_rng(0).normal(5.0, 0.5, 4000)
    places, heights = density(samples)
    assert heights.sum() * (places[1] - places[0]) == pytest.approx(1.0, abs=0.02)
    assert places[heights.argmax()] == pytest.approx(5.0, abs=0.2)
    assert np.isfinite(density([2.0] * 30)[1]).all()


def test_the_newest_run_of_a_device_counts(measured, tmp_path):
    root = Path(shutil.copytree(measured[0], tmp_path / "b"))
    stored = next(one for runs in read_stored(root).values() for one in runs if one.run.kind == "verify")
    newer = json.loads(stored.path.read_text())
    newer["created"] = "2099-01-01T00:00:00+00:00"
    newer["report"]["artifacts"] = newer["report"]["artifacts"][:1]
    newer["report"]["artifacts"][0]["drop"]["estimate"] = 42.0
    stored.path.with_name("20990101T000000Z-verify-abcdef.json").write_text(json.dumps(newer))
    evidence = gather(open_bundle(root))
    drops = [one.artifact.drop.estimate for one in evidence.compared if one.place.slug == stored.path.parent.name]
    assert drops[0] == 42.0
    assert len(drops) == 3


@pytest.mark.parametrize("name", ["d3.min.js", "plot.umd.min.js"])
def test_a_vendored_library_is_the_published_file_with_its_license(name):
    listed = dict(
        re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE)
    )
    data = (VENDOR / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == listed[name]
    assert b"</script" not in data
    assert len(data) < 1_000_000
    assert "Permission to use, copy, modify" in (VENDOR / f"LICENSE.{name.split('.')[0]}.txt").read_text()


def test_of_very_many_classes_a_page_holds_those_that_moved_most(measured):
    evidence = gather(open_bundle(measured[0]))
    one = evidence.compared[0]
    (entry, *_) = one.artifact.classes
    classes = tuple(
        msgspec.structs.replace(entry, name=f"class {i}", drop=msgspec.structs.replace(entry.drop, estimate=i / 100))
        for i in range(9000)
    )
    many = replace(one, artifact=msgspec.structs.replace(one.artifact, classes=classes))
    section = classes_section(replace(evidence, compared=(many,) * 20))
    assert [len(drawn["classes"]) for drawn in section.figures["classes"]] == [400] * 8
    assert section.figures["classes"][0]["classes"][-1]["name"] == "class 8999"
    assert "8600 classes that changed less and 12 artifacts" in section.body
    assert len(section.html()) < 900_000
