"""The ML-Decoder head: its arithmetic, its constant query path, its export."""

import pytest
import torch
import torch.nn.functional as F

from edgedistill.distill.models.ml_decoder import MLDecoder


@pytest.fixture
def decoder() -> MLDecoder:
    torch.manual_seed(0)
    return MLDecoder(6, 5, dim=16, heads=4, ffn=32).eval()


def reference(decoder: MLDecoder, features: torch.Tensor) -> torch.Tensor:
    """The authors' layer, on torch's own multi-head attention."""
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    parts = (decoder.to_query, decoder.to_key, decoder.to_value)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        attention.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        attention.out_proj.load_state_dict(decoder.attended.state_dict())
    memory = F.relu(decoder.project(features.flatten(2).mT))
    target = decoder.norm_queries(2 * decoder.queries.expand(len(features), -1, -1))
    target = decoder.norm_attention(target + attention(target, memory, memory)[0])
    return decoder.norm_output(target + decoder.contract(F.relu(decoder.expand(target))))


def test_equals_a_post_norm_decoder_layer_without_self_attention(decoder):
    features = torch.randn(3, 6, 2, 4)
    embeddings, logits = decoder(features)
    torch.testing.assert_close(embeddings, reference(decoder, features), rtol=1e-4, atol=1e-5)
    for k in range(5):
        torch.testing.assert_close(logits[:, k], embeddings[:, k] @ decoder.class_weight[k] + decoder.class_bias[k])


def test_defaults_are_those_of_the_paper():
    decoder = MLDecoder(512, 80)
    embeddings, logits = decoder(torch.randn(2, 512, 3, 3))
    assert embeddings.shape == (2, 80, 768)
    assert logits.shape == (2, 80)
    assert decoder.expand.out_features == 2048
    assert decoder.heads == 8
    assert decoder.dropout.p == 0.1


def test_queries_are_frozen_but_stored(decoder):
    assert "queries" in decoder.state_dict()
    assert not any(parameter is decoder.queries for parameter in decoder.parameters())
    assert not decoder.queries.requires_grad


def test_training_draws_dropout_per_image_and_evaluation_does_not(decoder):
    features = torch.randn(1, 6, 2, 2).repeat(2, 1, 1, 1)
    one, other = decoder(features)[0]
    torch.testing.assert_close(one, other)
    one, other = decoder.train()(features)[0]
    assert not torch.allclose(one, other)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        MLDecoder(6, 5, dim=10, heads=4)


def test_folding_the_query_path_changes_nothing(decoder):
    features = torch.randn(3, 6, 2, 2)
    expected = decoder(features)
    decoder.reparameterize()
    assert not hasattr(decoder, "to_query")
    torch.testing.assert_close(decoder(features), expected, rtol=0, atol=0)


def test_exports_with_a_dynamic_batch_and_a_constant_query_path(decoder, tmp_path):
    import onnx
    import onnxruntime

    features = torch.randn(5, 6, 2, 2)
    expected = decoder(features)
    decoder.reparameterize()
    path = tmp_path / "decoder.onnx"
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        decoder, (torch.randn(2, 6, 2, 2),), path, dynamo=True, dynamic_shapes=({0: batch},), external_data=False
    )
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("LayerNormalization") == 2
    assert not {"Expand", "Slice"} & set(operators), "the queries must broadcast"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: features.numpy()})
    for actual, tensor in zip(outputs, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(actual), tensor.detach(), rtol=1e-4, atol=1e-5)
