"""The model that is trained: backbone, the head that ships, and branches that only training sees."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...runtime.errors import ConfigError
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from .attention import ChannelWeights, uncertainty_attention
from .branches import BRANCHES, BranchName
from .heads import HEADS, HeadName
from .linear_head import LinearHead
from .output import ModelOutput
from .precision import in_float32

if TYPE_CHECKING:
    from .spec import ModelSpec

R = TypeVar("R")


class Classifier(nn.Module):
    """A multi-label classifier on uint8 images.

    Args:
        backbone: maps normalised images to a list of feature maps, with `channels` of the last one.
        num_classes: C.
        head: what ships: a linear layer on pooled features, or one of those that embed every class; see
            `models.heads`.
        class_embeddings: (C, D'), for a head that starts from one vector per class.
        branches: networks beside it that are trained but never exported, e.g. the decoder whose label-wise embeddings
            L2D distils; see `models.branches`.
        mean: per RGB channel in [0, 1] units; the model's own normalisation.
        std: per RGB channel in [0, 1] units.

    Attributes:
        head_is_pretrained: the linear head holds the classifier of the weights file that `pretrained` named.
        spec: what built it, without its files; None for a network that no name builds.
        attention: how channels are weighted in the uncertainty attention; None, as it is built, computes none.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        *,
        head: HeadName = "linear",
        class_embeddings: Tensor | None = None,
        branches: Sequence[BranchName] = (),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_classes = num_classes
        self.channels = int(backbone.channels)  # 0 where the network shows no maps
        options = {} if class_embeddings is None else {"class_embeddings": class_embeddings}
        self.head = HEADS[head].build(self.channels, num_classes, **options)
        self._head_embeds = HEADS[head].gives == "embeddings"
        self.head_is_pretrained = self._adopt_pretrained_classifier()
        self.spec: ModelSpec | None = None
        self.attention: ChannelWeights | None = None
        self.branches = nn.ModuleDict()
        for branch in branches:
            self.attach(branch)
        scale = 1.0 / (255.0 * torch.tensor(std, dtype=torch.float32))
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        shift = torch.tensor(mean, dtype=torch.float32) / torch.tensor(std, dtype=torch.float32)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def _adopt_pretrained_classifier(self) -> bool:
        """Take over the weights file's classifier where the result computes exactly what the library's network does."""
        found = getattr(self.backbone, "pretrained_classifier", None)
        linear = getattr(self.head, "linear", None)
        if found is None or linear is None or found.weight.shape != linear.weight.shape:
            return False
        fresh = {name: value.clone() for name, value in linear.state_dict().items()}
        linear.load_state_dict({"weight": found.weight, "bias": found.bias})
        self.eval()
        _, logits = self.head(self.backbone(found.images)[-1])
        difference = (logits - found.logits).abs().max()
        self.train()
        if difference <= 1e-4 * (1 + found.logits.abs().max()):
            return True
        linear.load_state_dict(fresh)  # e.g. another pooling, or a changed stem: it has to be trained
        return False

    @property
    def has_maps(self) -> bool:
        """Whether there are feature maps; only a library's network that is taken as it is may have none."""
        return int(self.backbone.channels) > 0

    @property
    def head_names(self) -> tuple[str, ...]:
        """The modules that turn the last map into logits, as `get_submodule` finds them."""
        return ("head",)

    @property
    def gives(self) -> frozenset[str]:
        """The ModelOutput fields beyond the maps that forward fills."""
        embeds = {"embeddings"} if self._head_embeds else set()
        attends = {"attention"} if self.attention else set()
        branches = {BRANCHES[name].gives for name in self.branches if name in BRANCHES}
        pooled = {"pooled"} if self.has_maps else set()
        return frozenset(pooled | embeds | branches | attends)

    @property
    def _pools_by_average(self) -> bool:
        return isinstance(self.head, LinearHead) and isinstance(self.head.pool, nn.AdaptiveAvgPool2d)

    def attach(self, branch: BranchName) -> None:
        """Add a training-only branch where its output is not there already.

        Raises:
            ConfigError: the network has no feature map that it could read.
        """
        if BRANCHES[branch].gives not in self.gives:
            if not self.has_maps:
                raise ConfigError(f"the branch {branch!r} reads feature maps, and the network shows none.")
            self.branches[branch] = BRANCHES[branch].build(self.channels, self.num_classes)

    def detach_branches(self, keep: Collection[str] = ()) -> None:
        """Remove the training-only branches, as export does, but for those that give a field of `keep`."""
        kept: dict[str, nn.Module] = {
            name: branch for name, branch in self.branches.items() if name in BRANCHES and BRANCHES[name].gives in keep
        }
        self.branches = nn.ModuleDict(kept)
        if "calibration" not in kept:
            self.attention = None

    def attend(self, channel_weights: ChannelWeights) -> None:
        """Compute the uncertainty attention from now on, though never in inference mode; see `models.attention`.

        Raises:
            ConfigError: there is no calibration branch.
        """
        self.require_readable_head()
        if "calibration" not in self.branches:
            raise ConfigError("uncertainty attention needs a calibration branch, and the model has none.")
        self.attention = channel_weights

    def extra_repr(self) -> str:
        """What no layer shows and yet decides the outputs; the digest of a teacher is made of it too."""
        return f"attention={self.attention}" if self.attention else ""

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W), the arithmetic that export puts inside the graph.

        In the usual memory format: what `permute` leaves, channels last, is where RepVGG's backward pass kills a
        process on a CPU without AVX-512, see engine/optimize.py.
        """
        planes = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return planes * self.scale - self.shift

    def forward(self, images: Tensor) -> ModelOutput:
        """Every output for normalised images (B, 3, H, W)."""
        stages, representation, logits = self._read(images)
        if not stages:
            return ModelOutput(logits)
        features = stages[-1]
        pooled = self._pooled(features, representation)
        vector = self._calibrated(representation, pooled)
        output = ModelOutput(logits, features, stages, pooled, vector)
        if self._head_embeds:
            output.embeddings, output.embedding_logits = representation, logits
        elif "ml_decoder" in self.branches:
            output.embeddings, output.embedding_logits = self._precisely(self.branches["ml_decoder"], features)
        if "calibration" in self.branches:
            output.calibration_logits = self._precisely(self.branches["calibration"], vector)
        if self.attention and not torch.is_inference_mode_enabled():
            output.attention = self.uncertainty(features, self.branches["calibration"], self.attention)
        return output

    def uncertainty(self, features: Tensor, calibration: nn.Module, channel_weights: ChannelWeights) -> Tensor:
        """The uncertainty attention (B, H, W) of last maps, between the head and a calibration branch."""
        return uncertainty_attention(features, lambda maps: self._opinions(maps, calibration), channel_weights)

    def require_readable_head(self) -> None:
        """Raise ConfigError where the head cannot be asked about a map by itself, as uncertainty attention does."""

    def read_map(self, features: Tensor) -> Tensor:
        """What the head says (B, C) of last maps (B, F, H, W), which may be parts of one."""
        logits: Tensor = self.head(features)[1]
        return logits

    def _read(self, images: Tensor) -> tuple[list[Tensor], Tensor | None, Tensor]:
        """The maps, what the head reads (None where that is nobody's business), and the logits (B, C)."""
        stages = self.backbone(images)
        return stages, *self._precisely(self.head, stages[-1])

    def _precisely(self, read: Callable[[Tensor], R], features: Tensor) -> R:
        return in_float32(read, features, self.scale.device)

    def _pooled(self, features: Tensor, representation: Tensor | None) -> Tensor:
        # In the exported graph nobody reads a mean beside the head, and the exporter drops it.
        return (
            representation
            if representation is not None and self._pools_by_average
            else self._precisely(_mean, features)
        )

    @property
    def _reads_pooled(self) -> bool:
        return isinstance(self.head, LinearHead)

    def _calibrated(self, representation: Tensor | None, pooled: Tensor) -> Tensor:
        # What the head reads, where that is a vector: UD pools by the maximum, like its classifier.
        return representation if representation is not None and self._reads_pooled else pooled

    def _opinions(self, features: Tensor, branch: nn.Module) -> tuple[Tensor, Tensor]:
        """Logits and calibration logits (B, C) of a map, read without touching BatchNorm's running statistics."""
        representation, logits = self.head(features)
        vector = self._calibrated(representation, self._pooled(features, representation))
        statistics = {name: buffer.clone() for name, buffer in branch.named_buffers()}
        return logits, functional_call(branch, statistics, (vector,))


def _mean(features: Tensor) -> Tensor:
    return features.mean((2, 3))
