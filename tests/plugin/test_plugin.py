"""A backend, precision, builder, conversion, package, data set format, model and method of another distribution."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a dozen processes, each of which finds another distribution
ORT, TOY = "onnxruntime-cpu-fp32", "toy-cpu-half_weights"


def record(report: str, name: str) -> dict:
    """An artifact's part of a report or manifest."""
    return next(entry for entry in json.loads(report)["artifacts"] if entry["name"] == name)


def python(script: str, *arguments: str, beside: Path) -> subprocess.CompletedProcess:
    """Run a script where the distributions in `beside` are installed."""
    path = os.pathsep.join([str(beside), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})


def test_what_it_brings_is_listed(with_toy):
    for kind, name in (
        ("backends", "toy"),
        ("datasets", "toy_arrays"),
        ("models", "toy_mean"),
        ("methods", "toy_agree"),
    ):
        assert with_toy[kind].code == 0
        assert any(line.split()[:1] == [name] for line in with_toy[kind].out.splitlines()), with_toy[kind].out
    assert with_toy["backends"].warnings == ""


def test_its_model_learns_by_its_method_from_its_format(with_toy):
    assert with_toy["distill"].code == 0, with_toy["distill"].err
    assert " agree " in with_toy["distill"].err


def test_its_artifact_is_built_and_verified_beside_ours(with_toy, bundle):
    assert with_toy["export"].code == 0, with_toy["export"].err
    manifest = (bundle / "manifest.json").read_text(encoding="utf-8")
    toy = record(manifest, TOY)
    assert (toy["target"]["backend"], toy["target"]["precision"], toy["format"]) == ("toy", "half_weights", "toy-npz")
    assert (toy["status"], record(manifest, ORT)["status"]) == ("verified", "verified")
    assert toy["details"] == {"toy_weights": "9"}
    assert json.loads(manifest)["provenance"]["toolchain"]["edgedistill-toy"] == "0.3.0"
    assert TOY in with_toy["inspect"].out


def test_every_command_runs_it(with_toy):
    selftest = record(with_toy["selftest"].out, TOY)
    assert (selftest["verdict"], selftest["precision"]) == ("passed", "half_weights")
    verify = record(with_toy["verify"].out, TOY)
    assert [(gate["name"], gate["verdict"]) for gate in verify["gates"]] == [
        ("max_map_drop", "undecided")
    ]  # twelve images
    for report in ("selftest", "verify", "bench"):
        assert with_toy[report].code not in (1, 2, 3), with_toy[report].err
        assert record(with_toy[report].out, TOY)["effective"]["library"].startswith("numpy ")
    assert with_toy["predict"].code == 0
    assert len(with_toy["predict"].out.splitlines()) == 3


def test_without_it_the_bundle_opens_and_the_others_run(without_toy):
    assert "toy" not in without_toy["backends"].out
    assert without_toy["inspect"].code == 0
    assert "half_weights" in without_toy["inspect"].out
    for report in ("selftest", "verify", "bench"):
        assert "cannot run here: this edgedistill does not know the backend 'toy'" in str(
            record(without_toy[report].out, TOY)
        )
        assert record(without_toy[report].out, ORT)["effective"]["library"].startswith("onnxruntime ")
    assert record(without_toy["selftest"].out, TOY)["verdict"] == "could not run"
    assert without_toy["selftest"].code == 0
    assert without_toy["predict"].code == 0
    assert len(without_toy["predict"].out.splitlines()) == 3


def test_its_package_is_found_by_name(with_toy, toy, bundle, tmp_path):
    script = (
        "import sys; from pathlib import Path; from edgedistill.runtime.bundle import open_bundle; "
        "from edgedistill.export.packages import PACKAGES; package = PACKAGES.get('toy_labels'); "
        "print('toy_labels' in PACKAGES.names(), package(open_bundle(sys.argv[1]), Path(sys.argv[2])).read_text())"
    )
    done = python(script, str(bundle), str(tmp_path / "labels.txt"), beside=toy)
    assert done.stdout == "True red\ngreen\nblue\n\n"


BROKEN = {
    "absent": "import a_library_that_is_not_here",
    "thief": (
        "from edgedistill.runtime.backends.base import BACKENDS, Backend\n"
        "BACKENDS.register('half')(type('Half', (Backend,), {}))\n"
        "BACKENDS.register('onnxruntime')(type('Thief', (Backend,), {}))"
    ),
    "precise": (
        "from edgedistill.runtime.precisions import Precision, register_precision\n"
        "register_precision(Precision(name='fp32', claim='', proof='metric', share=9.0, derivation=''))"
    ),
    "leaver": "raise SystemExit('no licence')",
    "nothing": None,
    "sound": (
        "from edgedistill.runtime.backends.base import BACKENDS, Backend\n"
        "@BACKENDS.register('sound')\n"
        "class Sound(Backend):\n"
        "    library = classmethod(lambda cls: 1 / 0)"
    ),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """Distributions as they lie in site-packages, all but one of them with a fault."""
    folder = tmp_path_factory.mktemp("broken")
    for name, code in BROKEN.items():
        if code is not None:
            (folder / f"plug_{name}.py").write_text(code)
        info = folder / f"{name}_backend-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-backend\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[edgedistill.backends]\n{name} = plug_{name}\n")
    return folder


def test_a_broken_distribution_costs_a_warning_and_nothing_else(broken, run, tiny_bundle):
    ended = run(("list", "backends"), ("selftest", tiny_bundle, "--artifact", "ort-fp32", "--json"), beside=broken)
    listed = {line.split()[0] for line in ended["backends"].out.splitlines()[1:] if line}
    assert {"onnxruntime", "openvino", "sound", "tensorrt"} <= listed
    assert "ZeroDivisionError" in ended["backends"].out  # of `sound`, whose library fails when it is asked for
    warnings = ended["backends"].warnings.splitlines()
    for name, reason in (
        ("absent", "No module named 'a_library_that_is_not_here'"),
        ("thief", "backend 'onnxruntime' is registered twice"),
        ("precise", "the precision 'fp32' is registered twice"),
        ("leaver", "no licence"),
        ("nothing", "No module named 'plug_nothing'"),
    ):
        (line,) = [line for line in warnings if line.startswith(f"{name}-backend: its edgedistill.backends")]
        assert "is left out" in line
        assert reason in line
    assert len(warnings) == 5
    assert ended["selftest"].code == 0
    assert record(ended["selftest"].out, "ort-fp32")["effective"]["library"].startswith("onnxruntime ")


def test_a_distribution_that_is_imported_first_takes_no_name_of_ours(broken):
    done = python("import plug_thief", beside=broken)
    assert done.stderr.splitlines()[-1] == "ValueError: backend 'onnxruntime' is registered twice"
