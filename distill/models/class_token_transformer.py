"""A transformer encoder over image tokens and one token per class: the "TF" rows of CPSD."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .multi_head_attention import MultiHeadAttention


class PreNormLayer(nn.Module):
    """Attention and a GELU feed-forward part, each normalised before it; no bias in front of the attention."""

    def __init__(self, dim: int, heads: int, head_dim: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, heads, head_dim=head_dim, bias=False)
        self.norm_feed_forward = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, ffn), nn.GELU(), nn.Dropout(dropout), nn.Linear(ffn, dim), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """(B, N, D) -> (B, N - first, D): the tokens from `first` on, having seen all."""
        seen = self.norm_attention(tokens)
        tokens = tokens[:, first:] + self.dropout(self.attention(seen[:, first:], seen, seen))
        return tokens + self.feed_forward(self.norm_feed_forward(tokens))


class ClassTokenTransformer(nn.Module):
    """Positions of the last map and one token per class through one encoder; a linear layer reads the class tokens.

    CPSD (IJCAI 2022) Sec. 4.1, "ResNet101-TF", as in the authors' code: image tokens are a linear projection without a
    position, class tokens Linear + ReLU of given word vectors (GloVe there), which stay as they are; pre-norm layers
    whose heads are each as wide as the tokens, no normalisation behind them; one weight vector and bias read every
    class. Without word vectors the class tokens are learned. Only the class tokens are read, so the last layer computes
    no others. `reparameterize` stores the class tokens and drops the layer that computes them.

    Args:
        in_features: channels F of the feature map.
        num_classes: C.
        class_embeddings: word vectors (C, D'), one per class; None for learned tokens.
        dim: width D of tokens and embeddings.
        depth: layers.
        heads: attention heads.
        head_dim: width of a head.
        ffn: width of the feed-forward parts.
        dropout: in training only, behind attention, within and behind the feed-forward parts.
    """

    class_embeddings: Tensor | None
    tokens: Tensor | None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        class_embeddings: Tensor | None = None,
        dim: int = 1024,
        depth: int = 3,
        heads: int = 4,
        head_dim: int = 1024,
        ffn: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(in_features, dim)
        self.register_buffer("class_embeddings", class_embeddings)
        if class_embeddings is None:
            self.tokens = nn.Parameter(torch.randn(num_classes, dim))
        else:
            self.tokens = None
            self.embed = nn.Linear(class_embeddings.shape[1], dim)
        self.layers = nn.ModuleList(PreNormLayer(dim, heads, head_dim, ffn, dropout) for _ in range(depth))
        self.classify = nn.Linear(dim, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one feature map.

        Args:
            features: (B, F, H, W).

        Returns:
            Embeddings (B, C, D) and logits (B, C).
        """
        images = self.project(features.flatten(2).transpose(1, 2))
        classes = self._class_tokens().to(images.dtype)
        positions = images.shape[1]
        # Zeros and a sum in place of a concatenation: no copies of the class tokens for each image, and no shape
        # arithmetic in the exported graph.
        tokens = F.pad(images, (0, 0, 0, len(classes))) + F.pad(classes, (0, 0, positions, 0))
        for layer in self.layers[:-1]:
            tokens = layer(tokens)
        tokens = self.layers[-1](tokens, first=positions)
        return tokens, self.classify(tokens).squeeze(2)

    def reparameterize(self) -> None:
        """Replace the class tokens by their constant value, in place; they cannot be trained afterwards."""
        if self.class_embeddings is None:
            return
        with torch.no_grad():
            tokens = self._class_tokens()
        del self.tokens, self.embed
        self.register_buffer("tokens", tokens)
        self.class_embeddings = None

    def _class_tokens(self) -> Tensor:
        """(C, D)."""
        return F.relu(self.embed(self.class_embeddings)) if self.tokens is None else self.tokens
