"""What of a teacher's outputs a cache stores: one line per field."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.errors import ConfigError


@dataclass(frozen=True)
class Field:
    """One stored output.

    Attributes:
        name: of the ModelOutput attribute, of the word in a method's `needs` and of the file.
        per: an `image` stores (B, ...) whole; a `positive` stores of (B, C, ...) the entries whose label is 1.
    """

    name: str
    per: Literal["image", "positive"] = "image"


FIELDS = {
    field.name: field
    for field in (
        Field("logits"),
        Field("pooled"),
        Field("calibration_logits"),
        Field("attention"),
        Field("partition_logits"),
        Field("embeddings", per="positive"),
    )
}


def fields_for(needs: frozenset[str]) -> tuple[str, ...]:
    """Names of the fields that a method with these `needs` reads from its teacher: the logits, and those.

    Raises:
        ConfigError: it needs something that is not stored, e.g. feature maps.
    """
    unstored = sorted(needs - FIELDS.keys())
    if unstored:
        raise ConfigError(
            f"the method reads the teacher's {', '.join(f'`{need}`' for need in unstored)}, which a teacher cache does "
            "not hold (feature maps are too large): set `teacher.cache: false`, which runs the teacher in every step."
        )
    return tuple(name for name in FIELDS if name == "logits" or name in needs)
