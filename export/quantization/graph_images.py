"""Images as a graph takes them, one batch at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...runtime.preprocess import Preprocessing, normalize


@dataclass(frozen=True)
class GraphImages:
    """Decoded images; a batch of them is what the graph takes.

    Attributes:
        pixels: uint8 (N, H, W, 3).
        normalised_by: where the graph takes normalised float32 (N, 3, H, W), which is four times as much memory.
    """

    pixels: np.ndarray
    normalised_by: Preprocessing | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> np.ndarray:
        batch = self.pixels[rows]
        return batch if self.normalised_by is None else normalize(batch, self.normalised_by)

    def batches(self, graph_takes: int | str | None, most: int) -> Iterator[np.ndarray]:
        """All of them in batches of `most`; where a graph takes a fixed number, of that, the last one filled up.

        Args:
            graph_takes: the first axis of its input: a number, or none.
            most: images at a time, where it takes any number.
        """
        size = graph_takes if isinstance(graph_takes, int) else most
        for at in range(0, len(self), size):
            batch = self[at : at + size]
            if isinstance(graph_takes, int) and len(batch) < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            yield batch

    def spread(self, count: int) -> "GraphImages":
        """`count` of them from first to last, so that a list in the order of its classes shows them all."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int))
        return GraphImages(self.pixels[rows], self.normalised_by)
