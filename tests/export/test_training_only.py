"""What a method adds for its training is gone from what ships."""

import msgspec
import onnx
import pytest
import residual_network
import tiny_network
import torch

from edgedistill.distill.checkpoint import ModelCard, load_student, save_student
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import Classifier, ModelSpec, build_from_spec
from edgedistill.export import reparameterize
from edgedistill.export.conversions.onnx_fp32 import export_onnx
from edgedistill.export.graph import DeployGraph
from edgedistill.export.signature import input_spec
from edgedistill.runtime.preprocess import Preprocessing

SIZE = (32, 32)
BESIDE = ("embeddings", "calibration_logits", "attention")
SPEC = ModelSpec(name=residual_network.NAME)
CARD = ModelCard(
    edgedistill="0",
    name="student",
    model=SPEC,
    classes=("cat", "dog", "tree"),
    preprocessing=Preprocessing(size=SIZE),
    thresholds=(0.5,) * 3,
)


def traced(model: Classifier) -> tuple[list[str], list[tuple[int, ...]]]:
    """Operators of the program that every format is made from, in order, and the shapes of its weights."""
    images = torch.zeros(2, *SIZE, 3, dtype=torch.uint8)
    program = torch.export.export(DeployGraph(reparameterize(model)), (images,))
    operators = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    return operators, [tuple(value.shape) for value in program.state_dict.values()]


@pytest.fixture(scope="module")
def vanilla():
    return traced(build_from_spec(SPEC, 3))


@pytest.mark.parametrize(
    ("name", "added"), [("mdkd", set()), ("l2d", {"embeddings"}), ("ud", {"calibration_logits", "attention"})]
)
def test_a_student_ships_the_operators_of_the_vanilla_student(name, added, vanilla, tmp_path):
    model = build_from_spec(SPEC, 3)
    trained = TrainedNetwork(model, build_method(name).build_part(model, None, SIZE)).train()
    said = trained(torch.rand(2, 3, *SIZE))
    assert {field for field in BESIDE if getattr(said, field) is not None} == added
    save_student(tmp_path / "student.safetensors", model, CARD)
    assert traced(load_student(tmp_path / "student.safetensors").model) == traced(model) == vanilla


def test_a_student_with_a_branch_of_its_own_ships_them_too(vanilla):
    assert traced(build_from_spec(msgspec.structs.replace(SPEC, branches=["ml_decoder"]), 3)) == vanilla


def test_a_network_that_is_still_in_training_ships_them_too(vanilla):
    model = build_from_spec(msgspec.structs.replace(SPEC, branches=["calibration"]), 3).train()
    model.attend("softmax")
    assert traced(model) == vanilla
    assert "attention" in model.gives, "the training's own network is left as it is"
    assert len(vanilla[0]) > residual_network.CONVOLUTIONS


def test_the_file_that_ships_has_the_vanilla_students_operators(tmp_path):
    """In the ONNX file too, in order, with weights of the same shapes; for a teacher with all branches."""
    graphs = []
    for branches in ([], ["ml_decoder", "calibration"]):
        model = build_from_spec(ModelSpec(name=tiny_network.NAME, branches=branches), 3)
        path = export_onnx(DeployGraph(reparameterize(model)), input_spec("uint8_nhwc", SIZE), tmp_path / "model.onnx")
        graph = onnx.load(path).graph
        graphs.append(([node.op_type for node in graph.node], [tuple(entry.dims) for entry in graph.initializer]))
    assert graphs[0] == graphs[1]
    assert graphs[0][0].count("Gemm") + graphs[0][0].count("MatMul") == 1, "the linear head alone"
