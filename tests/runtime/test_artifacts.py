"""Artifacts that cannot or must not be used: what was built wrong fails, what this machine lacks is passed over."""

import json

from edgedistill import runtime


def edit(bundle, change):
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["artifacts"][0])
    path.write_text(json.dumps(manifest))


def test_an_artifact_that_export_found_wrong_fails_here_too(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    parity = {"images": 8, "max_abs_logit": 3.0, "mean_abs_logit": 1.0}
    edit(bundle, lambda one: one.update(files=[], status="failed", reason="it disagrees", parity=parity))
    report = runtime.selftest(bundle)
    assert report.artifacts[0].verdict == "failed"
    assert not report.passed


def test_an_artifact_whose_toolchain_was_missing_at_export_does_not_fail(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    edit(bundle, lambda one: one.update(files=[], status="failed", reason="no toolchain", parity=None))
    report = runtime.selftest(bundle)
    assert report.artifacts[0].verdict == "could not run"
    assert report.passed


def test_load_passes_over_a_device_that_is_not_here(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    edit(bundle, lambda one: one["target"].update(device="qnn"))
    with runtime.load(bundle) as predictor:
        assert predictor.artifact.name == "ov-fp32"
