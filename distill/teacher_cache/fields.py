"""What of a teacher's outputs a cache stores: one line per field."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.errors import ConfigError


@dataclass(frozen=True)
class Field:
    """One stored output.

    Attributes:
        name: of the ModelOutput attribute and of the file.
        need: the word in a method's `needs` that asks for it; None: every method reads it.
        per: an `image` stores (B, ...) whole; a `positive` stores of (B, C, ...) the entries whose label is 1.
    """

    name: str
    need: str | None
    per: Literal["image", "positive"] = "image"


FIELDS = {
    field.name: field
    for field in (
        Field("logits", need=None),
        Field("pooled", need="pooled"),
        Field("calibration_logits", need="calibration"),
        Field("partition_logits", need="partition_logits"),
        Field("embeddings", need="embeddings", per="positive"),
    )
}


def fields_for(needs: frozenset[str]) -> tuple[str, ...]:
    """Names of the fields that a method with these `needs` reads from its teacher.

    Raises:
        ConfigError: it needs something that is not stored, e.g. feature maps.
    """
    unstored = sorted(needs - {field.need for field in FIELDS.values()})
    if unstored:
        raise ConfigError(
            f"the method reads the teacher's {', '.join(f'`{need}`' for need in unstored)}, which a teacher cache does "
            "not hold (feature maps are too large): set `teacher.cache: false`, which runs the teacher in every step."
        )
    return tuple(field.name for field in FIELDS.values() if field.need is None or field.need in needs)
