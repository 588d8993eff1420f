"""Query2Label: a transformer whose queries are the classes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .multi_head_attention import MultiHeadAttention


class FeedForward(nn.Sequential):
    """Linear-ReLU-dropout-linear."""

    def __init__(self, dim: int, ffn: int, dropout: float) -> None:
        super().__init__(nn.Linear(dim, ffn), nn.ReLU(), nn.Dropout(dropout), nn.Linear(ffn, dim))


class AttentionLayer(nn.Module):
    """Attention and a feed-forward part, each normalised after its sum; as in DETR.

    With queries, keys and values from the same positions it is an encoder's layer; with a query per class, a decoder's
    without self-attention among the classes.
    """

    def __init__(self, dim: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout=dropout)
        self.norm_attention = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, ffn, dropout)
        self.norm_output = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One layer.

        Args:
            x: (B or 1, M, D), what attention adds to.
            queries: (B or 1, M, D).
            keys: (B, N, D).
            values: (B, N, D).

        Returns:
            (B, M, D).
        """
        x = self.norm_attention(x + self.dropout(self.attention(queries, keys, values)))
        return self.norm_output(x + self.dropout(self.feed_forward(x)))


class Query2Label(nn.Module):
    """Transformer encoder over the last map, decoder with one learned query per class, one linear layer per class.

    Liu et al., Query2Label (arXiv 2107.10834), as in the authors' code and, for the projection that is always there, as
    in CPSD's (IJCAI 2022): post-norm layers, sine positions added to queries and keys, no self-attention in the
    decoder, a normalisation behind it. The classes enter the first decoder layer as zeros, so that its queries are the
    same for every image: they are computed once for a batch, and `reparameterize` stores them and drops their layer.

    Args:
        in_features: channels F of the feature map.
        num_classes: C.
        dim: width D of tokens and embeddings, a multiple of 4 and of `heads`.
        heads: attention heads.
        ffn: width of the feed-forward parts.
        encoder_layers: over the positions of the map.
        decoder_layers: over the classes, at least one.
        dropout: in training only, on attention weights, within and behind the feed-forward parts, behind attention.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        dim: int = 2048,
        heads: int = 4,
        ffn: int = 8192,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f"dim {dim} is not a multiple of 4, which sine positions need.")
        self.project = nn.Linear(in_features, dim)
        self.encoder = nn.ModuleList(AttentionLayer(dim, heads, ffn, dropout) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(AttentionLayer(dim, heads, ffn, dropout) for _ in range(decoder_layers))
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Parameter(torch.randn(num_classes, dim))
        self.class_weight = nn.Parameter(torch.empty(num_classes, dim))
        self.class_bias = nn.Parameter(torch.empty(num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for layer in (*self.encoder, *self.decoder):
            attention = layer.attention
            for projection in (attention.to_query, attention.to_key, attention.to_value):
                # nn.MultiheadAttention draws the three as one (3D, D) matrix: a gain of sqrt(1/2) here.
                nn.init.xavier_uniform_(projection.weight, gain=0.5**0.5)
                nn.init.zeros_(projection.bias)
            nn.init.zeros_(attention.output.bias)
            for linear in (attention.output, layer.feed_forward[0], layer.feed_forward[3]):
                nn.init.xavier_uniform_(linear.weight)
        for parameter in (self.class_weight, self.class_bias):
            nn.init.uniform_(parameter, -(self.queries.shape[1] ** -0.5), self.queries.shape[1] ** -0.5)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one feature map.

        Args:
            features: (B, F, H, W).

        Returns:
            Embeddings (B, C, D) and logits (B, C).
        """
        memory = self.project(features.flatten(2).transpose(1, 2))
        positions = sine_positions(features.shape[2], features.shape[3], memory.shape[2], like=memory)
        for layer in self.encoder:
            placed = memory + positions
            memory = layer(memory, placed, placed, memory)
        queries, placed = self.queries[None], memory + positions
        labels = torch.zeros_like(queries)
        for layer in self.decoder:
            labels = layer(labels, labels + queries, placed, memory)
        embeddings = self.norm(labels)
        return embeddings, (embeddings * self.class_weight).sum(dim=2) + self.class_bias

    def reparameterize(self) -> None:
        """Replace the first layer's queries by their constant value, in place; it cannot be trained afterwards."""
        with torch.no_grad():
            first: Any = self.decoder[0]
            first.attention.fold_query(self.queries[None])


def sine_positions(height: int, width: int, dim: int, *, like: Tensor) -> Tensor:
    """Sines and cosines of a position's row and column, as in DETR (ECCV 2020) with normalised coordinates.

    Rows and columns count from 1 and are scaled to (0, 2 pi]; wavelengths rise geometrically to 10,000 times that. The
    first half of the channels encodes the row, the second the column; even channels are sines, odd ones cosines.

    Args:
        height: of the map.
        width: of the map.
        dim: D, a multiple of 4.
        like: gives device and dtype.

    Returns:
        (height * width, D), row by row.
    """
    wavelength = 10_000.0 ** (torch.arange(dim // 4, device=like.device) / (dim // 4))

    def encode(count: int) -> Tensor:
        angle = torch.arange(1, count + 1, device=like.device)[:, None] * (2 * math.pi / count) / wavelength
        return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)

    rows, columns = encode(height), encode(width)
    both = torch.cat((rows.repeat_interleave(width, dim=0), columns.repeat(height, 1)), dim=1)
    return both.to(like.dtype)
