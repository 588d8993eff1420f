"""A classifier as the graph that ships, BatchNorm folded away: what can be trained again exactly as it will run."""

import copy
import operator
from collections import Counter
from collections.abc import Mapping
from typing import Any

from timm.layers import BatchNormAct2d
from torch import Tensor, fx, nn
from torch.nn.utils import fuse_conv_bn_eval

from ...runtime.errors import ConfigError, first_line
from .classifier import Classifier
from .reparameterize import reparameterize
from .rounding import insert_rounding, ranges_of

_OUT_OF_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul}


class FoldedClassifier(Classifier):
    """A classifier in its deploy form, with the weights of that form as parameters.

    Parallel branches are summed and each BatchNorm is part of the convolution before it; one that follows no
    convolution keeps the statistics it has. Training-only branches are those of `model`, as they are.

    Args:
        model: left as it is.

    Raises:
        ConfigError: the network decides by values what it computes, so that it is no graph.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__(_Operations(reparameterize(model)), model.num_classes, head="library")
        self._head_embeds = model._head_embeds
        self._head_names = tuple(f"backbone.graph.{name}" for name in model.head_names)
        self._pooling = model._pools_by_average, model._reads_pooled
        self.branches = copy.deepcopy(model.branches)
        self.scale.copy_(model.scale)
        self.shift.copy_(model.shift)
        self.requires_grad_(True)
        self.train(model.training)

    @property
    def head_names(self) -> tuple[str, ...]:
        """As of every classifier; the graph's modules have the names of the network that it was made from."""
        names = {name for name, _ in self.named_modules()}
        return tuple(name for name in self._head_names if name in names)

    @property
    def int8_ranges(self) -> dict[str, tuple[float, float]]:
        """(low, high) of every activation that is rounded, by name; empty for the float graph."""
        return ranges_of(self.backbone.graph)

    def round_to_int8(self, ranges: Mapping[str, tuple[float, float]] | None = None) -> "FoldedClassifier":
        """Compute from now on what the int8 graph of export computes; see `models.rounding`.

        Args:
            ranges: of a training in int8; without them they are observed while training.

        Raises:
            ConfigError: `ranges` are those of another network.
        """
        insert_rounding(self.backbone.graph, ranges)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "FoldedClassifier":
        """BatchNorms that are left keep their statistics."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def require_readable_head(self) -> None:
        """Refused: UD's attention asks the head about maps that the graph did not compute.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("uncertainty attention reads a head by itself, and this network is one graph.")

    def read_map(self, features: Tensor) -> Tensor:
        """As of every classifier, for a linear head.

        Raises:
            ConfigError: it has another, which is a part of the graph that cannot be asked by itself.
        """
        if not self._reads_pooled:
            raise ConfigError("of a network that is one graph only a linear head can be asked by itself.")
        vectors = features.mean((2, 3)) if self._pools_by_average else features.amax((2, 3))
        logits: Tensor = self.backbone.graph.head.linear(vectors)
        return logits

    @property
    def _pools_by_average(self) -> bool:
        return self._pooling[0]

    @property
    def _reads_pooled(self) -> bool:
        return self._pooling[1]

    def _read(self, images: Tensor) -> tuple[list[Tensor], Tensor | None, Tensor]:
        stages, representation, logits = self.backbone.graph(images)
        return list(stages), representation, logits


class _Operations(nn.Module):
    """The graph, in the place of a backbone."""

    def __init__(self, deployed: Classifier) -> None:
        super().__init__()
        self.channels = deployed.channels
        self.graph = _folded(deployed)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps, shallow to deep."""
        return list(self.graph(images)[0])


class _Tracer(fx.Tracer):
    """Follows `Classifier._read` into everything but PyTorch's own layers and timm's BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.traced_func_name = "_read"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, BatchNormAct2d) or super().is_leaf_module(m, module_qualified_name)


def _folded(deployed: Classifier) -> fx.GraphModule:
    try:
        graph = fx.GraphModule(deployed, _Tracer().trace(deployed))
    except Exception as error:  # of somebody else's forward
        raise ConfigError(f"the network cannot be written as one graph of operations ({first_line(error)}).") from error
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in list(graph.graph.nodes):
        node.target = _OUT_OF_PLACE.get(node.target, node.target)
        if node.op == "call_module":
            _simplify(graph, node, calls)
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    return graph


def _simplify(graph: fx.GraphModule, node: fx.Node, calls: Counter[Any]) -> None:
    module: Any = graph.get_submodule(str(node.target))
    before: Any = node.args[0]
    if hasattr(module, "inplace"):
        module.inplace = False  # what a method reads is not overwritten
    if isinstance(module, nn.BatchNorm2d) and before.op == "call_module":
        layer = graph.get_submodule(str(before.target))
        alone = calls[node.target] == calls[before.target] == len(before.users) == 1
        if isinstance(layer, nn.Conv2d) and alone:
            graph.set_submodule(str(before.target), fuse_conv_bn_eval(layer, module))
            module = module.act if isinstance(module, BatchNormAct2d) else nn.Identity()
            if hasattr(module, "inplace"):
                module.inplace = False
            graph.set_submodule(str(node.target), module)
    if isinstance(module, nn.Identity):
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
