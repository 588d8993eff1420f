"""What 8 bits leave of weights, before and after branches are fused."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgedistill.export.fusion_ranges import fusion_ranges
from edgedistill.export.quantization.weight_ranges import LOW_SNR, low_ranges, weight_range


def test_values_worked_out_by_hand():
    assert weight_range(np.array([[127.0, -5.0], [1.0, 1.0]])).snr == np.inf  # multiples of the steps 1 and 1 / 127
    found = weight_range(np.array([[127.0, 0.4], [0.0, 0.0]]))  # 0.4 is lost; a channel of zeros does not count
    assert found.snr == pytest.approx(10 * np.log10((127**2 + 0.16) / 0.16))
    assert found.crest == pytest.approx(127 / np.sqrt((127**2 + 0.16) / 2))
    # Of two channels the mean of noise over power: one is exact.
    both = weight_range(np.array([[127.0, 0.4], [127.0, 1.0]]))
    assert both.snr == pytest.approx(found.snr + 10 * np.log10(2))
    assert weight_range(np.zeros((2, 3))) is None


def test_a_factor_for_each_channel_changes_nothing():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (8, 4, 3, 3))
    plain, scaled = weight_range(weight), weight_range(weight * rng.lognormal(0, 3, (8, 1, 1, 1)))
    assert (scaled.snr, scaled.crest) == pytest.approx((plain.snr, plain.crest))


def test_layers_below_the_limit_are_named(tmp_path):
    rng = np.random.default_rng(0)
    weights = {"even": rng.normal(0, 1, (4, 64, 3, 3)), "peak": rng.normal(0, 1, (4, 64, 3, 3))}
    weights |= {"flat": rng.normal(0, 1, (1024, 4)), "turned": rng.normal(0, 1, (4, 1024))}
    weights["peak"][:, 0, 1, 1] = 28
    weights["flat"][0] = weights["turned"][:, 0] = 40
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["image", "even"], ["a"], "first"),
        make("Conv", ["image", "peak"], ["b"], "second"),
        make("Gemm", ["x", "flat"], ["c"], "third"),
        make("Gemm", ["x", "turned"], ["d"], "fourth", transB=1),
        make("MatMul", ["x", "c"], ["e"], "of two activations"),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "four", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "four.onnx")
    by_output = {"second": weights["peak"], "third": weights["flat"].T, "fourth": weights["turned"]}
    found = {name: weight_range(value).snr for name, value in by_output.items()}
    assert max(found.values()) < LOW_SNR < weight_range(weights["even"]).snr
    worst = min(found, key=found.get)
    expected = f"3 layers keep less than 30 dB in 8 bits, the least {worst}: {found[worst]:.1f} dB"
    assert low_ranges(tmp_path / "four.onnx") == expected
    graph.initializer[1].CopyFrom(graph.initializer[0])
    del graph.node[1:]
    onnx.save(onnx.helper.make_model(graph), tmp_path / "one.onnx")
    assert low_ranges(tmp_path / "one.onnx") == ""


class Block(nn.Module):
    """RepVGG's, without BatchNorms."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.point = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def reparameterize(self) -> None:
        self.fused = nn.Conv2d(8, 8, 3, padding=1)
        self.fused.weight.copy_(self.dense.weight + nn.functional.pad(self.point.weight, [1] * 4))
        del self.dense, self.point


def test_branches_are_told_beside_the_kernel_that_they_became():
    torch.manual_seed(0)
    block = Block()
    block.point.weight.data += 40 * torch.eye(8)[:, :, None, None]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), block, nn.Linear(8, 2))
    found = {layer.name: layer for layer in fusion_ranges(model)}
    assert next(iter(found)) == "1.fused"  # the worst
    assert sorted(found) == ["0", "1.fused", "2"]
    fused = found["1.fused"]
    dense, point = (layer.weight.detach().numpy() for layer in (block.dense, block.point))
    assert fused.branches == {"dense": weight_range(dense), "point": weight_range(point)}
    total = dense.copy()
    total[:, :, 1, 1] += point[:, :, 0, 0]
    assert fused.after == weight_range(total)
    assert fused.after.snr < fused.before
    assert found["0"].branches == {}
    assert found["0"].before == found["0"].after.snr
