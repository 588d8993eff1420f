"""Which labels a scene has: four themes with a designed co-occurrence structure."""

from typing import NamedTuple

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STYLES = ("solid", "outline")
CLASSES = tuple(f"{digit}_{style}" for digit in DIGITS for style in STYLES)
MAX_LABELS = 6


class Theme(NamedTuple):
    """Five classes, named in `CLASSES`, that live together.

    Attributes:
        pair: two classes that are nearly always seen together.
        hub: the class through which the satellites meet.
        satellites: two classes that share a scene, apart from chance, only where the hub is.
    """

    pair: tuple[str, str]
    hub: str
    satellites: tuple[str, str]

    @property
    def members(self) -> tuple[str, ...]:
        return (*self.pair, self.hub, *self.satellites)


# Digits that look alike (3 and 8, 1 and 7, ...) are in different themes where they share a style, so that the company
# a digit keeps says something that its pixels may not.
THEMES = (
    Theme(("three_solid", "seven_outline"), "zero_solid", ("five_outline", "one_solid")),
    Theme(("eight_solid", "four_outline"), "six_outline", ("nine_outline", "two_solid")),
    Theme(("nine_solid", "one_outline"), "four_solid", ("six_solid", "three_outline")),
    Theme(("five_solid", "two_outline"), "eight_outline", ("seven_solid", "zero_outline")),
)
_MEMBERS = np.array([[CLASSES.index(name) for name in theme.members] for theme in THEMES])

_P_PAIR = 0.4  # the scene has the pair, whole or broken
_P_PAIR_WHOLE = 0.93
_P_HUB = 0.35
_P_SATELLITE_WITH_HUB = 0.7  # each, independently
_P_SATELLITE_ALONE = 0.4  # one of the two, where there is no hub
_P_STRANGER = (0.2, 0.08)  # a first and a second class from anywhere


def sample_labels(rng: np.random.Generator, scenes: int) -> np.ndarray:
    """Draw label sets of 1 to `MAX_LABELS` classes: bool (scenes, C)."""
    theme = rng.integers(len(THEMES), size=scenes)
    chance = rng.random((scenes, 8))
    has_pair = chance[:, 0] < _P_PAIR
    whole = chance[:, 1] < _P_PAIR_WHOLE
    first = rng.integers(2, size=scenes) == 0
    hub = chance[:, 2] < _P_HUB
    lone = chance[:, 3] < _P_SATELLITE_ALONE
    lone_first = rng.integers(2, size=scenes) == 0
    members = np.stack(
        [
            has_pair & (whole | first),
            has_pair & (whole | ~first),
            hub,
            np.where(hub, chance[:, 4] < _P_SATELLITE_WITH_HUB, lone & lone_first),
            np.where(hub, chance[:, 5] < _P_SATELLITE_WITH_HUB, lone & ~lone_first),
        ],
        axis=1,
    )
    labels = np.zeros((scenes, len(CLASSES)), dtype=bool)
    np.put_along_axis(labels, _MEMBERS[theme], members, axis=1)

    strangers = rng.integers(len(CLASSES), size=(scenes, len(_P_STRANGER)))
    invited = chance[:, 6:] < np.array(_P_STRANGER)
    invited[:, 0] |= ~labels.any(axis=1)  # no scene is empty
    for column in range(len(_P_STRANGER)):
        room = labels.sum(axis=1) < MAX_LABELS
        rows = np.flatnonzero(invited[:, column] & room)
        labels[rows, strangers[rows, column]] = True
    return labels


def sample_one_label(rng: np.random.Generator, scenes: int) -> np.ndarray:
    """Draw one class for each scene, all equally likely: bool (scenes, C)."""
    labels = np.zeros((scenes, len(CLASSES)), dtype=bool)
    labels[np.arange(scenes), rng.integers(len(CLASSES), size=scenes)] = True
    return labels
