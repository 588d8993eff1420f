"""Multi-head attention with its projections apart, so that a constant query path can be computed once."""

from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """softmax(q k^T / sqrt(d)) v in each head, then one linear layer: Vaswani et al., NeurIPS 2017, Sec. 3.2.

    Args:
        dim: width D of what comes in and goes out.
        heads: attention heads.
        head_dim: width d of a head; D / heads unless given.
        bias: of the projections to queries, keys and values.
        dropout: on the attention weights, in training only.
    """

    folded: Tensor | None

    def __init__(
        self, dim: int, heads: int, *, head_dim: int | None = None, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if head_dim is None and dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}.")
        self.heads = heads
        inner = heads * (head_dim or dim // heads)
        self.to_query: nn.Module | None = nn.Linear(dim, inner, bias=bias)
        self.to_key, self.to_value = nn.Linear(dim, inner, bias=bias), nn.Linear(dim, inner, bias=bias)
        self.output = nn.Linear(inner, dim)
        self.dropout = nn.Dropout(dropout)
        self.folded: Tensor | None
        self.register_buffer("folded", None)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend.

        Args:
            query: (B or 1, Q, D); one set serves a whole batch. Not read after `fold_query`.
            key: (B, N, D).
            value: (B, N, D).

        Returns:
            (B, Q, D).
        """
        queries = self.folded if self.to_query is None else self._split(self.to_query(query))
        assert queries is not None
        keys, values = self._split(self.to_key(key)), self._split(self.to_value(value))
        # Written out, not scaled_dot_product_attention: one set of queries then broadcasts over the batch, and the
        # exported graph has neither its copies nor shape arithmetic.
        weights = (queries @ keys.transpose(2, 3) / keys.shape[3] ** 0.5).softmax(dim=3)
        return self.output((self.dropout(weights) @ values).transpose(1, 2).flatten(2))

    def fold_query(self, query: Tensor) -> None:
        """Keep the projection of a constant `query` (1, Q, D) in place of the layer that computes it."""
        assert self.to_query is not None
        self.folded = self._split(self.to_query(query))
        self.to_query = None

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, heads * d) -> (B, heads, N, d)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
