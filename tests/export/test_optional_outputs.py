"""Embedding and saliency: from the same graph, the same through every runtime, read by the torch-free predictor."""

from functools import partial

import numpy as np
import onnx
import pytest
import tiny_network
import torch

from edgedistill import runtime
from edgedistill.distill.models import build_model
from edgedistill.distill.models.heads import HEADS
from edgedistill.distill.models.query2label import Query2Label
from edgedistill.export import export_bundle, reparameterize
from edgedistill.export.builders import Built
from edgedistill.export.graph import DeployGraph
from edgedistill.export.optional_outputs import framework_outputs, optional_specs, saliency
from edgedistill.export.probes import make_probes
from edgedistill.export.proving import check_artifact
from edgedistill.export.sources.pytorch import from_student
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError
from edgedistill.runtime.model_file import load_file
from edgedistill.runtime.predictor import load

pytestmark = pytest.mark.usefixtures("traced_once")

BOTH = ("saliency", "embedding")
SIZE = (64, 64)


def noise(count, seed=0, most=256):
    coarse = np.random.default_rng(seed).integers(0, most, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def small(make_student):
    return make_student(tiny_network.NAME)


@pytest.fixture(scope="module")
def bundle(small, tmp_path_factory):
    images, drawn = noise(40), np.random.default_rng(0).integers(0, 2, (100, len(small.card.classes)), np.int8)
    labels = drawn[60:]
    return export_bundle(
        small,
        ["onnxruntime-cpu-fp32", "onnxruntime-cpu-int8", "openvino-cpu-fp32"],
        tmp_path_factory.mktemp("outputs") / "bundle",
        outputs=BOTH,
        calibration=Dataset("training", small.card.classes, tuple(map(str, range(40))), images, labels),
        validation=Dataset("val", small.card.classes, tuple(map(str, range(60))), noise(60, seed=1), drawn[:60]),
    )


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *SIZE, 3), np.uint8)


@pytest.mark.parametrize("name", ["onnxruntime-cpu-fp32", "openvino-cpu-fp32"])
def test_they_say_what_the_network_says(bundle, small, name):
    linear = small.model.head.linear
    with load(bundle, name=name) as predictor:
        logits, _ = predictor.infer(pictures(3))
        embeddings = predictor.embed(list(pictures(3)))
        explained = predictor.explain(list(pictures(3)))
    maps = np.stack([one.maps for one in explained])
    assert (maps.shape, embeddings.shape) == ((3, 5, 8, 8), (3, linear.in_features))
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), logits, atol=1e-4)  # what averages to the logit
    weight, bias = (value.detach().numpy() for value in (linear.weight, linear.bias))
    np.testing.assert_allclose(embeddings @ weight.T + bias, logits, atol=1e-4)
    expected = framework_outputs(small.model, pictures(3), BOTH)
    np.testing.assert_allclose(maps, expected["saliency"], atol=1e-3)
    np.testing.assert_array_equal(explained[1].of("dog"), maps[1, 1])
    with pytest.raises(KeyError, match="no class 'cow'"):
        explained[0].of("cow")


def test_int8_keeps_its_logits_and_what_shows_them_stays_in_float(bundle):
    artifact = next(one for one in bundle.manifest.artifacts if one.name == "onnxruntime-cpu-int8")
    assert (artifact.status, artifact.coverage.share) == ("verified", 1.0)
    with load(bundle, name=artifact.name) as predictor:
        logits, _ = predictor.infer(pictures(2))
        maps = np.stack([one.maps for one in predictor.explain(list(pictures(2)))])
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), logits, atol=0.05 * np.ptp(logits))


def test_the_manifest_says_what_they_are_and_how_far_off(bundle):
    specs = {spec.name: (spec.kind, spec.shape[1:]) for spec in bundle.manifest.outputs}
    assert specs["saliency"] == ("saliency", (5, 8, 8))
    assert specs["embedding"][0] == "embedding"
    assert specs["logits"][0] == ""
    for artifact in bundle.manifest.artifacts:
        assert set(artifact.parity.further) == set(BOTH)


@pytest.mark.parametrize("name", ["onnxruntime-cpu-fp32", "onnxruntime-cpu-int8"])
def test_the_field_check_compares_embeddings_with_those_of_the_validation_images(bundle, name):
    same = runtime.check(bundle, list(noise(60, seed=2)), artifact=name, to_label=0).drift
    assert same.images_then == 60
    assert not same.embedding.found
    assert same.embedding.shift < 0.3
    dark = runtime.check(bundle, list(noise(60, seed=3, most=60)), artifact=name, to_label=0).drift
    assert dark.embedding.found
    assert dark.embedding.shift > same.embedding.shift


def test_one_that_is_wrong_fails_its_artifact(bundle, small):
    probes = make_probes(from_student(small).giving(BOTH), pictures(4))
    probes.further["embedding"][:] *= 1.1
    judged = check_artifact(bundle, bundle.manifest.artifacts[0], probes, Built((), "onnx"))
    assert judged.status == "failed"
    assert "its embedding is off by 0.091 of the network's own, more than the 0.001 allowed" in judged.reason


def test_many_images_and_none(bundle):
    with load(bundle, name="onnxruntime-cpu-fp32") as predictor:
        many = predictor.embed(list(pictures(40)))  # beyond a batch
        np.testing.assert_allclose(predictor.embed(pictures(40)[37]), many[37:38], atol=1e-5)
        assert predictor.embed([]).shape == (0, many.shape[1])
        assert predictor.explain([]) == []


@pytest.mark.parametrize("file", ["onnx/model.fp32.onnx", "openvino/model.fp32.xml"])
def test_a_file_alone_gives_them_too(bundle, file):
    backend = "openvino" if file.endswith(".xml") else "onnxruntime"
    with load_file(bundle.root / file) as alone, load(bundle, backend=backend, precision="fp32") as whole:
        assert alone.embed([]).shape == whole.embed([]).shape
        np.testing.assert_allclose(alone.embed(pictures(1)[0]), whole.embed(pictures(1)[0]), atol=1e-5)
        own, other = (predictor.explain(pictures(1)[0])[0] for predictor in (alone, whole))
        np.testing.assert_allclose(own.of("dog"), other.of("dog"), atol=1e-4)


def test_a_strangers_output_of_that_name_is_none(bundle, tmp_path):
    """Its file does not say that it is what export writes."""
    model = onnx.load(bundle.root / "onnx" / "model.fp32.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "stranger.onnx")
    with load_file(tmp_path / "stranger.onnx") as predictor, pytest.raises(BundleError, match="without embedding"):
        predictor.embed(pictures(1)[0])


def test_a_bundle_without_them_says_how_to_get_them(tiny_bundle):
    with load(tiny_bundle, name="ort-fp32") as predictor:
        with pytest.raises(BundleError, match=r"without embedding: export it again with `--output embedding`"):
            predictor.embed(pictures(1)[0])
        with pytest.raises(BundleError, match=r"`--output saliency`"):
            predictor.explain(pictures(1)[0])


@pytest.mark.parametrize("head", ["linear_max", "ml_decoder", "query2label", "transformer"])
def test_every_head_shows_each_position_alone(head, monkeypatch):
    small = {"dim": 16, "heads": 4, "ffn": 24}  # the authors' has a hundred million parameters
    monkeypatch.setitem(HEADS, "query2label", HEADS["query2label"]._replace(build=partial(Query2Label, **small)))
    torch.manual_seed(0)
    model = reparameterize(build_model(tiny_network.NAME, 3, head=head))
    with torch.no_grad():
        output = model(torch.rand(2, 3, 24, 16))
        maps = saliency(model, output)
        for y, x in np.ndindex(maps.shape[2:]):
            alone = model.read_map(output.features[:, :, y : y + 1, x : x + 1])
            torch.testing.assert_close(maps[:, :, y, x], alone, rtol=1e-4, atol=1e-5)


def test_a_library_network_explains_itself_where_its_classifier_reads_the_map():
    squeeze = build_model("torchvision/squeezenet1_1", 3, head="library")
    (spec,) = optional_specs(squeeze, ["saliency"], SIZE)
    assert spec.shape == ("batch", 3, 3, 3)
    vit = build_model("timm/test_vit", 3, head="library")
    size = (160, 160)
    with pytest.raises(ConfigError, match="does not read its last feature map"):
        optional_specs(vit, ["saliency"], size)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [(["depth"], "unknown output 'depth': one of embedding, saliency"), (["embedding"] * 2, "is given twice")],
)
def test_impossible_ones_are_refused(small, tmp_path, outputs, message):
    with pytest.raises(ConfigError, match=message):
        export_bundle(small, ["onnxruntime-cpu-fp32"], tmp_path / "bundle", outputs=outputs)


def test_a_graph_without_them_pays_nothing(small):
    image = torch.from_numpy(pictures(2))
    plain, rich = (
        torch.export.export(DeployGraph(reparameterize(small.model), outputs=outputs), (image,)).graph
        for outputs in ((), BOTH)
    )
    assert len(plain.find_nodes(op="output", target="output")[0].args[0]) == 2
    assert len(plain.nodes) < len(rich.nodes)
