"""int8 in PyTorch, operation by operation as runtimes compute it: unsigned activations, signed weights per channel.

Every tensor that an operation of `_COMPUTED` takes or gives is rounded to 256 levels of its range, as ONNX Runtime's
quantiser has it, with these exceptions: a ReLU is part of the operation before it; what only moves values keeps their
levels; what comes before the first and after the last convolution or linear layer, the logits too, is left in float.
Gradients pass through rounding where nothing is clipped (Jacob et al., CVPR 2018).
"""

import operator
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from ...runtime.errors import ConfigError
from .precision import in_float32

_MOMENTUM = 0.05  # of the observed ranges: a memory of about twenty batches
_PREFIX = "int8_"
_LEVELS = 255
_LARGEST_WEIGHT = 127
_INT32 = 2**31 - 1

_RECTIFIED = (nn.ReLU, nn.ReLU6, F.relu, F.relu6, torch.relu, "relu")
_COMPUTED = (
    *_RECTIFIED,
    *(nn.AdaptiveAvgPool2d, nn.AvgPool2d, F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, "mean"),
    *(operator.add, torch.add, "add", operator.mul, torch.mul, "mul", torch.cat),
    *(nn.LeakyReLU, nn.Sigmoid, nn.Hardsigmoid, nn.Hardswish, torch.sigmoid, "sigmoid", F.hardsigmoid, F.hardswish),
)
_MOVED = (
    *(nn.MaxPool2d, F.max_pool2d, torch.max_pool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Dropout, operator.getitem),
    *(torch.flatten, torch.reshape, torch.transpose, torch.permute, torch.chunk, torch.split),
    *("flatten", "reshape", "view", "transpose", "permute", "contiguous", "chunk", "split", "unsqueeze", "squeeze"),
)
_SEVERAL = (torch.chunk, torch.split, "chunk", "split")
_NUMBERS = ("size", "dim", getattr)


class ActivationRounding(nn.Module):
    """Rounds values to uint8 between a low and a high, which training follows as a moving average of each batch's.

    Attributes:
        low: at most 0, so that zero is exact.
        high: at least 0.
        observed: how many batches were seen.
    """

    low: Tensor
    high: Tensor
    observed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("observed", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """The nearest level of each value, float32."""
        values = values.float()
        if self.training:
            self._observe(values.detach())
        scale, zero_point = self.levels()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, _LEVELS)

    def levels(self) -> tuple[Tensor, Tensor]:
        """Scale (float32) and zero point (int32), both of no dimensions."""
        width = self.high - self.low
        scale = torch.where(width > 0, width / _LEVELS, torch.ones_like(width))
        return scale, torch.round(-self.low / scale).clamp(0, _LEVELS).to(torch.int32)

    def _observe(self, values: Tensor) -> None:
        low, high = torch.aminmax(values)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # The range of the whole step, whichever process has its ends.
            ends = torch.stack([-low, high])
            torch.distributed.all_reduce(ends, torch.distributed.ReduceOp.MAX)
            low, high = -ends[0], ends[1]
        share = torch.where(self.observed == 0, 1.0, _MOMENTUM)
        self.low.copy_(torch.lerp(self.low, low.clamp(max=0.0), share))
        self.high.copy_(torch.lerp(self.high, high.clamp(min=0.0), share))
        self.observed += 1


class SameLevels(nn.Module):
    """Stands where values have been moved: they are on the levels of `source` already."""

    def __init__(self, source: ActivationRounding) -> None:
        super().__init__()
        self.source = (source,)  # no submodule: its ranges are stored once

    def forward(self, values: Tensor) -> Tensor:
        """As they are."""
        return values


class RoundedConv2d(nn.Conv2d):
    """A convolution with int8 weights and an int32 bias; `source` rounds what it takes."""

    source: tuple[ActivationRounding]

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, H, W) -> (B, F', H', W')."""
        return self._conv_forward(maps, *_rounded(self))


class RoundedLinear(nn.Linear):
    """The same for a linear layer, in float32 also under autocast: the last one gives the logits."""

    source: tuple[ActivationRounding]

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., F) -> (..., F')."""
        return in_float32(lambda given: F.linear(given, *_rounded(self)), vectors, self.weight.device)


_ROUNDED: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: RoundedConv2d, nn.Linear: RoundedLinear}


def weight_scales(weight: Tensor) -> Tensor:
    """Of each output channel (F',): its largest magnitude becomes 127."""
    largest = weight.detach().abs().flatten(1).amax(1)
    return torch.where(largest > 0, largest / _LARGEST_WEIGHT, torch.ones_like(largest))


def bias_levels(bias: Tensor, scales: Tensor) -> Tensor:
    """The bias (F',) as whole numbers of the products' scales (F',), float32."""
    return torch.round(bias / scales).clamp(-_INT32 - 1, _INT32)


def _rounded(layer: Any) -> tuple[Tensor, Tensor | None]:
    scales = weight_scales(layer.weight)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(layer.weight, scales, zeros, 0, -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    if layer.bias is None:
        return weight, None
    products = layer.source[0].levels()[0] * scales
    return weight, layer.bias + (bias_levels(layer.bias, products) * products - layer.bias).detach()


def ranges_of(graph: fx.GraphModule) -> dict[str, tuple[float, float]]:
    """(low, high) of every rounded tensor, by name."""
    return {
        name.removeprefix(_PREFIX): (float(module.low), float(module.high))
        for name, module in graph.named_children()
        if isinstance(module, ActivationRounding)
    }


def is_range(key: str) -> bool:
    """Whether a key of a state dict is part of a range, and no weight."""
    return any(part.startswith(_PREFIX) for part in key.split("."))


def insert_rounding(graph: fx.GraphModule, ranges: Mapping[str, tuple[float, float]] | None = None) -> None:
    """Round a graph's operations, in place.

    Args:
        graph: of PyTorch's layers and functions on one input.
        ranges: (low, high) by name; else they are observed in training.

    Raises:
        ConfigError: no layer can be rounded, or `ranges` are those of another graph.
    """
    for node, module in _Plan(graph).modules().items():
        graph.add_submodule(_PREFIX + node.name, module)
        with graph.graph.inserting_after(node):
            rounded = graph.graph.call_module(_PREFIX + node.name, (node,))
        node.replace_all_uses_with(rounded, delete_user_cb=rounded.__ne__)
    graph.graph.lint()
    graph.recompile()
    if ranges is not None:
        _set_ranges(graph, ranges)


def _set_ranges(graph: fx.GraphModule, ranges: Mapping[str, tuple[float, float]]) -> None:
    differing = sorted(set(ranges_of(graph)) ^ set(ranges))
    if differing:
        raise ConfigError(f"the int8 ranges are those of another network: {differing[0]} is in one of the two only.")
    for name, (low, high) in ranges.items():
        module: Any = graph.get_submodule(_PREFIX + name)
        module.low.fill_(low)
        module.high.fill_(high)
        module.observed.fill_(1)


class _Plan:
    """Decides which of a graph's nodes are rounded.

    Args:
        graph: its layers with weights become rounded ones.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph, self.nodes = graph, list(graph.graph.nodes)
        self.calls = Counter(node.target for node in self.nodes if node.op == "call_module")
        self.tensors = self._activations()
        self.layers = [node for node in self.nodes if self._kind(node) == "layer"]
        if not self.layers:
            raise ConfigError("the network has no convolution and no linear layer that could be computed in int8.")

    def modules(self) -> dict[fx.Node, nn.Module]:
        """What rounds each node's values, in the graph's order."""
        wanted = self._wanted()
        sources: dict[fx.Node, ActivationRounding] = {}
        found: dict[fx.Node, nn.Module] = {}
        for node in self.nodes:
            if node not in self.tensors or node.target in _SEVERAL:
                continue
            if self._kind(node) == "moved" and (origin := _origin(node)) in sources:
                sources[node] = sources[origin]
                found[node] = SameLevels(sources[origin])
            elif node in wanted:
                found[node] = sources[node] = ActivationRounding()
        for node in self.layers:
            layer: Any = self.graph.get_submodule(str(node.target))
            layer.__class__ = _ROUNDED[type(layer)]  # another way to compute with the same weights
            layer.source = (sources[node.all_input_nodes[0]],)
        return found

    def _wanted(self) -> set[fx.Node]:
        """Nodes whose values runtimes hold in 8 bits, but for those that are only moved."""
        first, last = self.nodes.index(self.layers[0]), self.nodes.index(self.layers[-1])
        wanted: set[fx.Node] = set()
        for node in self.nodes[first : last + 1]:
            if node in self.tensors and self._kind(node) in ("layer", "computed"):
                wanted |= {node, *(given for given in node.all_input_nodes if given in self.tensors)}
        wanted.discard(self.layers[-1])
        for node in reversed(self.nodes):
            if node in wanted and self._kind(node) == "moved":
                wanted.add(_origin(node))
            then = next(iter(node.users)) if len(node.users) == 1 else None
            if then in wanted and self._target(then) in _RECTIFIED:
                wanted.discard(node)
        return wanted

    def _activations(self) -> set[fx.Node]:
        """Nodes whose values follow from the image, as tensors and not as sizes."""
        found: set[fx.Node] = set()
        for node in self.nodes:
            follows = any(given in found for given in node.all_input_nodes)
            if node.op == "placeholder" or (follows and node.op != "output" and node.target not in _NUMBERS):
                found.add(node)
        return found

    def _kind(self, node: fx.Node) -> Literal["layer", "computed", "moved", "other"]:
        target = self._target(node)
        if target in _ROUNDED:
            return "layer" if self.calls[node.target] == 1 else "other"  # one that is called twice has two inputs
        return "computed" if target in _COMPUTED else "moved" if target in _MOVED else "other"

    def _target(self, node: fx.Node) -> Any:
        """A layer's type, a function, or a method's name; None for what computes nothing."""
        if node.op == "call_module":
            return type(self.graph.get_submodule(str(node.target)))
        return node.target if node.op in ("call_function", "call_method") else None


def _origin(node: fx.Node) -> fx.Node:
    """Where a moved tensor's values come from; of one of several parts, where the whole does."""
    given = node.all_input_nodes[0]
    return given.all_input_nodes[0] if given.target in _SEVERAL else given
