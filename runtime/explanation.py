"""Where in an image each class is seen."""

import msgspec
import numpy as np


class Explanation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One image's saliency.

    Attributes:
        source: as of a `Prediction`.
        classes: C names.
        probabilities: float32 (C,).
        maps: float32 (C, h, w): the logit of each class at each position of the network's last map, h x w of them over
            the image as the network saw it (resized, perhaps cropped). Above 0 speaks for the class.
    """

    source: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    maps: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """The map float32 (h, w) of one class.

        Raises:
            KeyError: there is no such class.
        """
        if name not in self.classes:
            raise KeyError(f"no class {name!r}; there are {', '.join(self.classes)}")
        return self.maps[self.classes.index(name)]
