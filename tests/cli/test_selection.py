"""One selection of artifacts, threads and device for every command."""

import json

import pytest

COMMANDS = {
    "predict": ["predict", "{bundle}", "{bundle}/selftest/red.jpg"],
    "verify": ["verify", "{bundle}", "--data", "{labels}"],
    "selftest": ["selftest", "{bundle}"],
}


@pytest.fixture
def run(command, make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    labels = bundle / "selftest" / "labels.csv"
    labels.write_text("path,labels\nred.jpg,red\nteal.jpg,green;blue\ngrey.jpg,bright\n")

    def started(name, *options):
        given = [argument.format(bundle=bundle, labels=labels) for argument in COMMANDS.get(name, [name, str(bundle)])]
        return command(*given, *options)

    return started


@pytest.mark.parametrize("name", [*COMMANDS, "bench"])
def test_the_same_words_everywhere(run, name):
    _, text, _ = run(name, "--help")
    for option in ("--artifact", "-a", "--backend", "--precision", "--threads", "--device"):
        assert f" {option} " in text
    assert "Only this backend's" in text


@pytest.mark.parametrize("name", ["verify", "selftest"])
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["-a", "ov-bf16", "-a", "ort-fp32"], ["ort-fp32", "ov-bf16"]),
        (["--backend", "openvino"], ["ov-fp32", "ov-bf16"]),
        (["--backend", "openvino", "--precision", "bf16"], ["ov-bf16"]),
    ],
)
def test_what_is_chosen_runs(run, name, options, chosen):
    code, out, err = run(name, *options, "--threads", 1, "--device", "cpu", "--json")
    report = json.loads(out)
    assert [artifact["name"] for artifact in report["artifacts"]] == chosen
    assert code == {"verify": 5, "selftest": 0}[name], err
    assert report["verdict"] == {"verify": "not judged", "selftest": "passed"}[name]


def test_predict_takes_what_is_chosen(run, monkeypatch):
    from edgedistill import runtime

    seen = {}
    real = runtime.load

    def load(path, **given):
        seen.update(given)
        return real(path, **given)

    monkeypatch.setattr(runtime, "load", load)
    options = "-a ov-fp32 --backend openvino --precision fp32 --threads 1 --device cpu --decode reduced"
    assert run("predict", *options.split())[0] == 0
    assert seen == {
        "name": "ov-fp32",
        "backend": "openvino",
        "precision": "fp32",
        "threads": 1,
        "device": "cpu",
        "decode": "reduced",
        "require_signature": None,
    }


@pytest.mark.parametrize("name", [*COMMANDS, "bench"])
@pytest.mark.parametrize("threads", ["-3", "0", "1025", "two"])
def test_impossible_threads_are_refused_by_the_option(run, name, threads):
    code, out, err = run(name, "--threads", threads)
    assert (code, out) == (2, "")
    # bench takes several numbers and reads them itself
    assert (f"threads {threads}: needs " if name == "bench" else "Invalid value for '--threads'") in err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_device_that_is_not_here_is_no_failure_of_the_artifacts(run, name):
    code, _, err = run(name, "-a", "ort-fp32", "--device", "cuda")
    assert code == 3
    assert "CUDAExecutionProvider" in err


@pytest.mark.parametrize("name", ["verify", "selftest"])
def test_a_device_word_of_another_backend_could_not_run(run, name):
    code, _, err = run(name, "-a", "ort-fp32", "--device", "npu")
    assert code == 3  # 2 would say that the artifact is at fault
    assert "unknown onnxruntime device 'npu'" in err
