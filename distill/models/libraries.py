"""Any `torchvision/<name>` or `timm/<name>` as a backbone, or whole, with the library's own classifier."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from .backbone import Backbone, probe_channels
from .precision import device_of, in_float32
from .torchvision_stages import TorchvisionViT, torchvision_stages
from .weights import LibraryNetwork, Pretrained, own_size, with_pretrained
from .whole import LogitsAlone, with_tail

_TORCHVISION_CLASSIFIER = ("fc.", "classifier.", "head.", "heads.")
_UNNORMALISED = ("Hiera", "HieraDet")  # whose maps timm cannot normalise


def torchvision_backbone(name: str, pretrained: Pretrained) -> nn.Module:
    """A torchvision classification network without its classifier.

    Raises:
        ConfigError: no such network, or one whose feature maps torchvision does not expose as modules.
    """
    model = _torchvision(name, pretrained)
    if isinstance(model, torchvision.models.VisionTransformer):
        model.heads = nn.Identity()
        return TorchvisionViT(model)
    stages = torchvision_stages(model, name)
    return Backbone(stages, _channels(model) or probe_channels(stages), model)


def torchvision_network(name: str, pretrained: Pretrained, num_classes: int) -> nn.Module:
    """The same network whole, with its classifier for C classes.

    Raises:
        ConfigError: no such network.
    """
    model = _torchvision(name, pretrained, num_classes)
    if isinstance(model, torchvision.models.VisionTransformer):
        network: nn.Module = TorchvisionViT(model)
    else:
        try:
            stages = torchvision_stages(model, name)
        except ConfigError:
            network = LogitsAlone(model)
        else:
            network = with_tail(model, stages)
    return _marked(network, model)


def _torchvision(name: str, pretrained: Pretrained, num_classes: int | None = None) -> nn.Module:
    require_network("torchvision", name)
    # GoogLeNet and Inception v3 would train an auxiliary classifier, and take 7 s to initialise their weights.
    plain: dict[str, Any] = (
        {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    )
    own = {} if num_classes is None else {"num_classes": num_classes}

    def create(weights: str | None) -> nn.Module:
        fresh = torchvision.models.get_model(name, weights=None, **plain, **own)
        if weights is None:
            return fresh
        model = torchvision.models.get_model(name, weights="DEFAULT")
        kept = {key: value for key, value in model.state_dict().items() if not key.startswith(_TORCHVISION_CLASSIFIER)}
        fresh.load_state_dict(kept, strict=False)
        if hasattr(fresh, "transform_input"):
            fresh.transform_input = model.transform_input
        return fresh

    whole = num_classes is not None
    return with_pretrained(create, pretrained, classifier=_TORCHVISION_CLASSIFIER, whole=whole)


def _channels(model: nn.Module) -> int | None:
    """F of the last map of networks that do not take a tiny image; None for the others."""
    if isinstance(model, (torchvision.models.GoogLeNet, torchvision.models.Inception3)):
        return model.fc.in_features
    if isinstance(model, torchvision.models.MaxVit):
        return model.classifier[3].in_features
    return None


class TimmStages(nn.Module):
    """Adapts timm's `forward_intermediates` to a backbone's list of maps.

    Args:
        model: one of timm's; with its classifier where `with_logits` is called.
    """

    def __init__(self, model: LibraryNetwork) -> None:
        super().__init__()
        self.model: Any = model
        self._normalises = type(model).__name__ not in _UNNORMALISED
        self._ends_in_a_map = False
        self.channels: int = self._last_channels()
        self.pretrained_classifier = getattr(model, "pretrained_classifier", None)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) -> maps (B, F_i, H_i, W_i), shallow to deep."""
        return self._forward(images)[0]

    def with_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps, and what the network's own head says (B, C)."""
        maps, final = self._forward(images)
        return maps, in_float32(self.model.forward_head, final, device_of(self))

    def read_map(self, features: Tensor) -> Tensor:
        """What the network's own head says (B, C) of last maps (B, F, H, W), if these are what it reads."""
        channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        logits: Tensor = self.model.forward_head(features.permute(0, 2, 3, 1) if channels_last else features)
        return logits

    def _forward(self, images: Tensor) -> tuple[list[Tensor], Any]:
        """The maps, and what the network's own head reads."""
        final, maps = self.model.forward_intermediates(images, norm=self._normalises, output_fmt="NCHW")
        if self._ends_in_a_map or (isinstance(final, Tensor) and final.ndim == 4):
            last = final.permute(0, 3, 1, 2) if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else final
            maps = [*maps[:-1], last]
        # Else token sequences, or several maps: the normalised last block, already reshaped to a map.
        return maps, final

    @torch.no_grad()
    def _last_channels(self) -> int:
        width = self.model.num_features
        if width in [one["num_chs"] for one in self.model.feature_info]:
            return width
        # A last convolution behind the stages, or a classifier that reads several maps side by side.
        training = self.training
        maps, final = self.eval()._forward(torch.zeros(1, 3, *own_size(self.model)))
        self.train(training)
        # Known by now, since what stands for a tensor while `FoldedClassifier` follows the network tells no dimensions.
        self._ends_in_a_map = isinstance(final, Tensor) and final.ndim == 4
        return maps[-1].shape[1]


def timm_backbone(name: str, pretrained: Pretrained) -> nn.Module:
    """A timm network without its classifier.

    Raises:
        ConfigError: no such network, or one without intermediate feature maps.
    """
    model = _timm(name, pretrained)
    if not hasattr(model, "forward_intermediates"):
        raise ConfigError(
            f"timm/{name} does not expose its feature maps (no forward_intermediates in timm). `head: library` takes "
            "it as it is, with its own classifier."
        )
    _drop_classifier(model)
    return TimmStages(model)


def timm_network(name: str, pretrained: Pretrained, num_classes: int) -> nn.Module:
    """The same network whole, with its classifier for C classes; without maps where timm's would not be its own.

    Raises:
        ConfigError: no such network.
    """
    model = _timm(name, pretrained, num_classes)
    return _marked(timm_as_it_is(model) or LogitsAlone(model), model)


def timm_as_it_is(model: Any) -> nn.Module | None:
    """One of timm's networks with its maps and its own classifier; None without maps, or where it reads others."""
    if not hasattr(model, "forward_intermediates"):
        return None
    network = TimmStages(model)
    return network if _reads_the_same(network) else None


def _timm(name: str, pretrained: Pretrained, num_classes: int | None = None) -> nn.Module:
    require_network("timm", name)
    named = (timm.get_pretrained_cfg_value(name, "classifier") if timm.is_model_pretrained(name) else None) or ()
    classifier = {"head", "fc", "classifier", *((named,) if isinstance(named, str) else named)}
    own: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    return with_pretrained(
        lambda weights: timm.create_model(name, pretrained=bool(weights), **own),
        pretrained,
        classifier=tuple(f"{key}." for key in sorted(classifier)),
        whole=num_classes is not None,
    )


def _drop_classifier(model: Any) -> None:
    """Leave no classifier, and no pooling where timm can do without."""
    try:
        model.reset_classifier(0, "")
    except AssertionError:  # a head that always pools: nobody calls it
        parameters = inspect.signature(model.reset_classifier).parameters
        model.reset_classifier(0, **({"reset_other": True} if "reset_other" in parameters else {}))


@torch.no_grad()
def _reads_the_same(network: TimmStages) -> bool:
    """Whether what the head reads beside the maps is what it reads without them."""
    model, training = network.model, network.training
    images = torch.randn(1, 3, *own_size(model), generator=torch.Generator().manual_seed(0))
    network.eval()
    beside, alone = network._forward(images)[1], model.forward_features(images)
    network.train(training)
    pairs = list(zip(_tensors(beside), _tensors(alone), strict=False))
    return len(_tensors(beside)) == len(_tensors(alone)) and all(
        one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in pairs
    )


def _tensors(value: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _marked(network: Any, model: nn.Module) -> nn.Module:
    network.classifier_is_pretrained = getattr(model, "classifier_is_pretrained", False)
    return network


def require_network(library: str, name: str) -> None:
    """Raise ConfigError, with the nearest names, where "timm" or "torchvision" has no such network."""
    if library == "timm" and timm.is_model(name):  # a name may end in a tag of its weights, which no list holds
        return
    known = timm.list_models() if library == "timm" else torchvision.models.list_models(module=torchvision.models)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" Near: {', '.join(f'{library}/{n}' for n in near)}." if near else ""
    raise ConfigError(f"unknown model {library}/{name}.{hint}")
