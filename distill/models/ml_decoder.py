"""ML-Decoder: one embedding and one logit per class from a feature map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLDecoder(nn.Module):
    """Label-wise embedding decoder: one cross-attention layer without self-attention, one frozen query per class.

    Ridnik et al., ML-Decoder (2021), in the setting of L2D (ICCV 2023, authors' code): tokens are Linear + ReLU of the
    last map's positions; queries are frozen N(0, 1); the layer is post-norm with a ReLU feed-forward part; each class
    reads its logit from its own embedding by its own weight vector and bias.

    Until the attention, the queries are the same for every image: in eval mode they are computed once, without the
    batch, so that a runtime folds them; `reparameterize` stores the results and drops the layers.

    Args:
        in_features: channels F of the feature map.
        num_classes: C.
        dim: width D of the embeddings, a multiple of `heads`.
        heads: attention heads.
        ffn: width of the feed-forward part.
        dropout: on queries, attention weights and both parts of the feed-forward block, in training only.
    """

    queries: Tensor | None
    folded: Tensor
    folded_heads: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        dim: int = 768,
        heads: int = 8,
        ffn: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}.")
        self.heads = heads
        self.register_buffer("queries", torch.randn(num_classes, dim))
        self.register_buffer("folded", None)
        self.register_buffer("folded_heads", None)
        self.project = nn.Linear(in_features, dim)
        self.norm_queries = nn.LayerNorm(dim)
        self.to_query, self.to_key, self.to_value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attended = nn.Linear(dim, dim)
        self.norm_attention = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, ffn)
        self.contract = nn.Linear(ffn, dim)
        self.norm_output = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.class_weight = nn.Parameter(torch.empty(num_classes, dim))
        self.class_bias = nn.Parameter(torch.zeros(num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for projection in (self.to_query, self.to_key, self.to_value):
            # nn.MultiheadAttention draws the three as one (3D, D) matrix: a gain of sqrt(1/2) here.
            nn.init.xavier_uniform_(projection.weight, gain=0.5**0.5)
            nn.init.zeros_(projection.bias)
        nn.init.zeros_(self.attended.bias)
        nn.init.xavier_normal_(self.class_weight)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one feature map.

        Args:
            features: (B, F, H, W).

        Returns:
            Embeddings (B, C, D) and logits (B, C).
        """
        tokens = F.relu(self.project(features.flatten(2).transpose(1, 2)))
        queries, query_heads = self._query_path(features.shape[0])
        # Written out, not scaled_dot_product_attention: the one query set then broadcasts over the batch, and the
        # exported graph has neither its copies nor shape arithmetic.
        keys, values = self._split(self.to_key(tokens)), self._split(self.to_value(tokens))
        scores = query_heads @ keys.transpose(2, 3) / keys.shape[3] ** 0.5
        attention = self.dropout(scores.softmax(dim=3)) @ values
        attended = self.attended(attention.transpose(1, 2).flatten(2))
        x = self.norm_attention(queries + self.dropout(attended))
        hidden = self.dropout(F.relu(self.expand(x)))
        embeddings = self.norm_output(x + self.dropout(self.contract(hidden)))
        return embeddings, (embeddings * self.class_weight).sum(dim=2) + self.class_bias

    def reparameterize(self) -> None:
        """Replace the query path by its constant results, in place; the module cannot be trained afterwards."""
        self.eval()
        with torch.no_grad():
            self.folded, self.folded_heads = self._query_path(1)
        self.queries = None
        del self.norm_queries, self.to_query

    def _query_path(self, batch: int) -> tuple[Tensor, Tensor]:
        """Normalised queries (1 or B, C, D) and their attention heads (1 or B, heads, C, D / heads)."""
        if self.queries is None:
            return self.folded, self.folded_heads
        queries = self.queries[None]
        if self.training:
            queries = queries.expand(batch, -1, -1)  # each image draws its own dropout
        queries = self.norm_queries(queries + self.dropout(queries))
        return queries, self._split(self.to_query(queries))

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, heads, N, D / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
