"""Query2Label and the class-token transformer: their arithmetic, their constant parts, their files, their export."""

import math
import pickle

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgedistill.distill import build_model, load_student
from edgedistill.distill.checkpoint import ModelCard, save_student
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.distill.models.class_embeddings import read_class_embeddings
from edgedistill.distill.models.class_token_transformer import ClassTokenTransformer
from edgedistill.distill.models.heads import HEADS
from edgedistill.distill.models.multi_head_attention import MultiHeadAttention
from edgedistill.distill.models.query2label import Query2Label, sine_positions
from edgedistill.distill.models.size import count_parameters
from edgedistill.export import reparameterize
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 5
WORDS = torch.linspace(-1, 1, CLASSES * 3).view(CLASSES, 3).sin()


def query2label(**options: object) -> Query2Label:
    torch.manual_seed(0)
    return shaken(Query2Label(6, CLASSES, dim=16, heads=4, ffn=24, **options)).eval()


def class_tokens(class_embeddings: Tensor | None = WORDS, **options: object) -> ClassTokenTransformer:
    torch.manual_seed(0)
    options = {"dim": 16, "head_dim": 8, "ffn": 24, **options}
    return shaken(ClassTokenTransformer(6, CLASSES, class_embeddings=class_embeddings, **options)).eval()


@torch.no_grad()
def shaken(head: nn.Module) -> nn.Module:
    """Biases and normalisations that are not zero and one, so that leaving one out is seen."""
    for parameter in head.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return head


BUILDERS = [query2label, class_tokens, lambda: class_tokens(None)]


@torch.no_grad()
def torchs_attention(attention: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same by torch's own module."""
    dim = attention.output.out_features
    theirs = nn.MultiheadAttention(dim, attention.heads, batch_first=True).eval()
    parts = (attention.to_query, attention.to_key, attention.to_value)
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([torch.zeros(dim) if part.bias is None else part.bias for part in parts]))
    theirs.out_proj.load_state_dict(attention.output.state_dict())
    return theirs(query, key, value)[0]


def plain_positions(height: int, width: int, dim: int) -> Tensor:
    """The authors' encoding, one number at a time."""
    half = dim // 2
    found = torch.empty(height, width, dim)
    for y in range(height):
        for x in range(width):
            for channel in range(dim):
                place = (y + 1) / height if channel < half else (x + 1) / width
                i = channel % half
                angle = 2 * math.pi * place / 10_000 ** (2 * (i // 2) / half)
                found[y, x, channel] = math.cos(angle) if i % 2 else math.sin(angle)
    return found.flatten(0, 1)


def test_positions_are_detrs():
    like = torch.zeros(1, dtype=torch.float16)
    torch.testing.assert_close(sine_positions(3, 5, 16, like=torch.zeros(1)), plain_positions(3, 5, 16))
    assert sine_positions(2, 2, 8, like=like).dtype == torch.float16


def plain_query2label(head: Query2Label, features: Tensor) -> Tensor:
    """The authors' forward pass on torch's own attention, image by image."""
    rows = []
    for features_of_one in features:
        memory = head.project(features_of_one.flatten(1).T)[None]
        positions = plain_positions(*features.shape[2:], memory.shape[2])
        for layer in head.encoder:
            memory = layer.norm_attention(
                memory + torchs_attention(layer.attention, memory + positions, memory + positions, memory)
            )
            memory = layer.norm_output(memory + layer.feed_forward[3](F.relu(layer.feed_forward[0](memory))))
        labels = torch.zeros(1, CLASSES, 16)
        for layer in head.decoder:
            attended = torchs_attention(layer.attention, labels + head.queries, memory + positions, memory)
            labels = layer.norm_attention(labels + attended)
            labels = layer.norm_output(labels + layer.feed_forward[3](F.relu(layer.feed_forward[0](labels))))
        rows.append(head.norm(labels)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("layers", [{}, {"encoder_layers": 0, "decoder_layers": 1}])
def test_query2label_is_the_authors(layers):
    head, features = query2label(**layers), torch.randn(2, 6, 2, 3)
    embeddings, logits = head(features)
    torch.testing.assert_close(embeddings, plain_query2label(head, features), rtol=1e-4, atol=1e-5)
    for k in range(CLASSES):
        torch.testing.assert_close(logits[:, k], embeddings[:, k] @ head.class_weight[k] + head.class_bias[k])


def plain_class_tokens(head: ClassTokenTransformer, features: Tensor) -> Tensor:
    """The authors' forward pass: every token through every layer, each head by itself."""
    images = head.project(features.flatten(2).mT)
    words = F.relu(head.embed(head.class_embeddings)) if head.tokens is None else head.tokens
    x = torch.cat([images, words.expand(len(features), -1, -1)], dim=1)
    for layer in head.layers:
        seen, attention = layer.norm_attention(x), layer.attention
        q, k, v = (part(seen).chunk(4, dim=2) for part in (attention.to_query, attention.to_key, attention.to_value))
        heads = [(a @ b.mT / math.sqrt(a.shape[2])).softmax(dim=2) @ c for a, b, c in zip(q, k, v, strict=True)]
        x = x + attention.output(torch.cat(heads, dim=2))
        hidden = F.gelu(layer.feed_forward[0](layer.norm_feed_forward(x)))
        x = x + layer.feed_forward[3](hidden)
    return x[:, -CLASSES:]


@pytest.mark.parametrize("words", [WORDS, None])
def test_the_class_token_transformer_is_the_authors(words):
    head, features = class_tokens(words), torch.randn(2, 6, 2, 3)
    embeddings, logits = head(features)
    torch.testing.assert_close(embeddings, plain_class_tokens(head, features), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, embeddings @ head.classify.weight[0] + head.classify.bias)


def test_word_vectors_stay_as_they_are_and_learned_tokens_are_learned():
    assert "class_embeddings" in class_tokens().state_dict()
    assert not class_tokens().class_embeddings.requires_grad
    learned = class_tokens(None)
    learned(torch.randn(1, 6, 2, 2))[1].sum().backward()
    assert learned.tokens.grad.abs().sum() > 0
    assert "class_embeddings" not in learned.state_dict()


def linear(ins: int, outs: int, bias: bool = True) -> int:
    return ins * outs + bias * outs


# Three layers each: attention, feed-forward part, two normalisations; then what the classes have of their own.
D, FFN = 2048, 8192
QUERY2LABEL = (
    linear(512, D) + 3 * (4 * linear(D, D) + linear(D, FFN) + linear(FFN, D) + 4 * D) + 2 * D + 80 * (2 * D + 1)
)
E, HEADS_OF_E = 1024, 4 * 1024
TRANSFORMER = linear(512, E) + 80 * E + linear(E, 1)
TRANSFORMER += 3 * (3 * linear(E, HEADS_OF_E, bias=False) + linear(HEADS_OF_E, E) + 2 * linear(E, E) + 4 * E)


@pytest.mark.parametrize(
    ("name", "parameters", "dim"), [("query2label", QUERY2LABEL, D), ("transformer", TRANSFORMER, E)]
)
def test_defaults_are_those_of_the_papers(name, parameters, dim):
    with torch.device("meta"):
        model = build_model("resnet18", 80, head=name)
        output = model(torch.zeros(2, 3, 64, 96))
    assert output.embeddings.shape == (2, 80, dim)
    assert output.embedding_logits is output.logits
    assert output.logits.shape == (2, 80)
    assert model.gives >= {"embeddings", "pooled"}
    assert count_parameters(model.head) == parameters


@pytest.mark.parametrize("build", BUILDERS)
def test_every_parameter_is_trained_and_dropout_is_drawn_for_each_image(build):
    head, features = build(), torch.randn(1, 6, 2, 2).repeat(2, 1, 1, 1)
    one, other = head(features)[0]
    torch.testing.assert_close(one, other)
    one, other = head.train()(features)[0]
    assert not torch.allclose(one, other)
    head(features)[1].square().sum().backward()
    assert [name for name, value in head.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("build", BUILDERS)
def test_folding_constant_parts_changes_nothing(build):
    head, features = build().requires_grad_(False), torch.randn(3, 6, 2, 2)
    expected, before = head(features), set(head.state_dict())
    folded = reparameterize(head)
    torch.testing.assert_close(folded(features), expected, rtol=0, atol=0)
    gone = {name.rpartition(".")[0] for name in before - set(folded.state_dict())}
    assert gone == ({"decoder.0.attention.to_query"} if build is query2label else set(gone) & {"embed", ""})
    assert count_parameters(head) >= count_parameters(folded)


@pytest.mark.parametrize("build", BUILDERS[:2])
def test_half_precision_stays_near(build):
    head, features = build(), torch.randn(2, 6, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, logits = head(features)
    torch.testing.assert_close(logits.float(), head(features)[1], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("build", [query2label, pytest.param(lambda: class_tokens(depth=2), marks=pytest.mark.slow)])
def test_exports_with_a_dynamic_batch(build, tmp_path):
    head, features = build(), torch.randn(5, 6, 3, 2)
    expected, path = head(features), tmp_path / "head.onnx"
    torch.onnx.export(
        reparameterize(head),
        (features[:2],),
        path,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    graph = onnx.load(path).graph
    constants = {entry.name for entry in graph.initializer}
    assert [node.op_type for node in graph.node if set(node.input) <= constants] == []
    assert not {"Expand", "Shape", "Gather", "Range"} & {node.op_type for node in graph.node}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        outputs = session.run(None, {session.get_inputs()[0].name: features[:count].numpy()})
        for actual, tensor in zip(outputs, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(actual), tensor[:count].detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dim": 18, "heads": 3}, "multiple of 4"), ({"dim": 16, "heads": 3}, "multiple of heads 3")],
)
def test_widths_that_do_not_divide_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Query2Label(6, CLASSES, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file of class embeddings"),
        (b"nonsense", "cannot be read as an array"),
        (pickle.dumps([[1.0]]), "cannot be read as an array"),
        (np.zeros((4, 3)), "has 4 rows for 5 classes"),
        (np.zeros(5), "one matrix of floating-point numbers"),
        (np.zeros((5, 3), dtype=int), "one matrix of floating-point numbers"),
        (np.full((5, 3), np.nan), "not finite"),
    ],
)
def test_files_of_word_vectors_that_do_not_fit_are_named(content, message, tmp_path):
    path = tmp_path / "glove.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(ConfigError, match=rf"glove\.npy: .*{message}"):
        read_class_embeddings(path, CLASSES)


def test_word_vectors_are_for_the_head_that_reads_them(tmp_path):
    with pytest.raises(ConfigError, match="`class_embeddings` is for `head: transformer`; `head: linear` reads none"):
        build_model("cifar_resnet20", CLASSES, class_embeddings=str(tmp_path / "glove.npy"))
    with pytest.raises(ConfigError, match="Allowed: .*query2label, transformer"):
        build_model("cifar_resnet20", CLASSES, head="q2l")


def test_a_checkpoint_holds_its_word_vectors(tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "transformer", HEADS["transformer"]._replace(build=_small_transformer))
    np.save(tmp_path / "glove.npy", WORDS.numpy().astype(np.float64))
    spec = ModelSpec(name="cifar_resnet20", head="transformer", class_embeddings=str(tmp_path / "glove.npy"))
    model = build_from_spec(spec, CLASSES).eval()
    torch.testing.assert_close(model.head.class_embeddings, WORDS)
    card = ModelCard(
        edgedistill="0",
        name="test",
        model=spec,
        classes=tuple("abcde"),
        preprocessing=Preprocessing(size=(32, 32)),
        thresholds=(0.5,) * CLASSES,
    )
    save_student(tmp_path / "student.safetensors", model, card)
    (tmp_path / "glove.npy").unlink()
    loaded = load_student(tmp_path / "student.safetensors").model
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(images).logits, model(images).logits)


def _small_transformer(in_features: int, num_classes: int, **options: Tensor) -> ClassTokenTransformer:
    return ClassTokenTransformer(in_features, num_classes, dim=16, head_dim=8, ffn=24, **options)


def test_a_sub_tasks_network_has_the_word_vectors_of_its_classes(open_cpsd, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "transformer", HEADS["transformer"]._replace(build=_small_transformer))
    vectors = np.arange(18, dtype=np.float32).reshape(6, 3)
    np.save(tmp_path / "glove.npy", vectors)
    changes = ("student.model.head=transformer", f"student.model.class_embeddings={tmp_path / 'glove.npy'}")
    teachers = open_cpsd(*changes).sub_teachers
    for task in teachers.planned():
        network = teachers.training(task).model
        assert network.head.class_embeddings.tolist() == vectors[list(task.classes)].tolist()
    (tmp_path / "glove.npy").unlink()
    with pytest.raises(ConfigError, match=r"`student\.model\.class_embeddings`: .*glove\.npy is no file"):
        open_cpsd(*changes)
