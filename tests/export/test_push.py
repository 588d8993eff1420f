"""`push` against a stand-in of the Hub: nothing without --yes, everything with it, one line for what goes wrong."""

import json

import pytest
import yaml

from edgedistill.runtime.bundle import open_bundle

huggingface_hub = pytest.importorskip("huggingface_hub", reason="`push` sends with it")

from hub_stand_in import Hub  # noqa: E402

REPO = "me/tiny-model"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    # What the library reads when it is imported, which may have been done long ago.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    yield made
    made.close()


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "tiny")


def test_without_yes_it_tells_and_sends_nothing(hub, bundle, command):
    code, out, err = command("push", bundle, REPO)
    assert code == 0, err
    assert hub.heard == []
    for said in ("bundle/manifest.json", "report.html", "Nothing was sent", f"push {bundle} {REPO} --yes"):
        assert said in out
    card = json.loads(command("push", bundle, REPO, "--json")[1])["card"]
    assert f"\n{card}\n" in out  # as it will stand there


def test_with_yes_the_repository_is_a_card_a_page_and_the_bundle(hub, bundle, command, tmp_path):
    hub.repos[REPO] = {"bundle/old/model.onnx": b"stale", "NOTICE": b"mine"}
    assert command("sign", bundle, "--new-key", tmp_path / "my.key")[0] == 0
    code, out, err = command("push", bundle, REPO, "--yes", "--license", "apache-2.0", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["sent"]
    files = hub.repos[REPO]
    assert set(files) == {*told["files"], "NOTICE"}
    manifest = open_bundle(bundle).manifest
    for entry in manifest.files():
        assert files[f"bundle/{entry.path}"] == (bundle / entry.path).read_bytes()
    assert files["bundle/manifest.json"] == (bundle / "manifest.json").read_bytes()
    assert hub.objects  # some were large
    assert sum(one.startswith("POST") and "/commit/" in one for one in hub.heard) == 1
    here = tmp_path / "downloaded"
    for path, data in files.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_bytes(data)
    signed = ["--require-signature", tmp_path / "my.key.pub"]
    assert command("selftest", here / "bundle", "-a", "ort-fp32", *signed)[0] == 0
    assert command("inspect", here / "bundle")[0] == 0


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_private_where_that_is_asked(hub, bundle, command, private):
    assert command("push", bundle, REPO, "--yes", *["--private"] * private)[0] == 0
    assert hub.private == {REPO: private}


def test_the_card_has_the_metrics_in_its_metadata(hub, bundle, command):
    measured = command("verify", bundle, "--data", _labels(bundle), "--json")
    parity = json.loads(measured[1])
    card = json.loads(command("push", bundle, REPO, "--json", "--license", "mit")[1])["card"]
    assert f"hf download {REPO} --local-dir" in card
    data = yaml.safe_load(card.split("---")[1])
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "mit",
        "edgedistill",
        "image-classification",
    )
    (model,) = data["model-index"]
    metrics = [metric for result in model["results"] for metric in result["metrics"]]
    assert {metric["value"] for metric in metrics} == {
        round(one["mean_ap"]["estimate"], 4) for one in parity["artifacts"]
    }
    assert huggingface_hub.ModelCard(card).data.eval_results[0].metric_type == "mAP"


def _labels(bundle):
    path = bundle.parent / "labels.csv"
    rows = [
        f"tiny/selftest/{name}.jpg,{label}"
        for name, label in (("red", "red"), ("teal", "green|blue"), ("grey", "bright"))
    ]
    path.write_text("path,labels\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_wrong", "refuses the token"), (None, "asks for a token, and there is none here|has been given none")],
)
def test_a_token_that_may_not_write_is_told_in_one_line(hub, bundle, command, monkeypatch, tmp_path, token, message):
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    code, _, err = command("push", bundle, REPO, "--yes")
    assert code == 2
    assert "hf auth login" in err
    assert len(err.strip().splitlines()) == 1
    assert hub.repos == {}


def test_no_network_is_told_in_one_line(bundle, command, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    code, _, err = command("push", bundle, REPO, "--yes")
    assert code == 2
    assert "http://127.0.0.1:9 cannot be reached" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("repo", ["model", "a/b/c", "me/..", "me/mo del"])
def test_a_name_that_is_none_is_told_before_anything(bundle, command, repo):
    code, _, err = command("push", bundle, repo)
    assert code == 2
    assert err.startswith(f"error: {repo}: ")


def test_an_altered_file_is_not_sent(hub, bundle, command):
    (bundle / "selftest" / "red.jpg").write_bytes(b"altered")
    code, _, err = command("push", bundle, REPO, "--yes")
    assert code == 2
    assert "red.jpg" in err
    assert hub.heard == []


def test_samples_and_scores_stay_behind(hub, bundle, command):
    command("verify", bundle, "--data", _labels(bundle))
    files = json.loads(command("push", bundle, REPO, "--json")[1])["files"]
    assert any(path.startswith("bundle/results/") and path.endswith(".json") for path in files)
    assert not any(path.endswith(".npz") for path in files)
