"""Where a bundle's network comes from: who taught it, what it is without that, and what each is worth on one split."""

from collections.abc import Iterator

from ..record import Record

_POINTS = 100
_FLOAT32_BYTES = 4


class Ancestor(Record):
    """A network in the training framework, as it did on the split.

    Attributes:
        role: "teacher"; "baseline": the student's network, taught by labels alone; "student": the network that was
            exported; "network": the same, where nobody said how it was trained. Other words are a later version's.
        model: what it is, e.g. "timm/resnet50" or "mobilenetv2 x0.5".
        taught_by: "labels", or the method that distilled it; empty where nobody knows.
        parameters: how many a device would load; None where they cannot be counted.
        mAP: points, over the classes with a positive; None where it was not measured.
        OF1: points, at threshold 0.5.
        CF1: points, at threshold 0.5.
    """

    role: str
    model: str
    taught_by: str = ""
    parameters: int | None = None
    mAP: float | None = None  # noqa: N815 (the field's spelling)
    OF1: float | None = None
    CF1: float | None = None

    @property
    def bytes(self) -> int | None:
        """Of its parameters in float32."""
        return None if self.parameters is None else _FLOAT32_BYTES * self.parameters


class Lineage(Record):
    """The networks in the order in which they were trained, the exported one last.

    Attributes:
        networks: at least the exported one.
        dataset: name of the split that their numbers are of; empty where nothing was measured.
        fingerprint: Dataset.fingerprint() of that split as it is listed.
        images: how many of its images were scored.
    """

    networks: tuple[Ancestor, ...]
    dataset: str = ""
    fingerprint: str = ""
    images: int = 0

    def find(self, role: str) -> Ancestor | None:
        """The last network of that role, or None."""
        return next((one for one in reversed(self.networks) if one.role == role), None)

    @property
    def exported(self) -> Ancestor:
        """The network that the bundle's artifacts were made of."""
        return self.networks[-1]


def lineage_problems(lineage: Lineage) -> Iterator[str]:
    """What is wrong with a decoded lineage, in words."""
    if not lineage.networks:
        yield "its lineage names no network"
    if lineage.images < 0:
        yield f"a lineage of {lineage.images} images"
    for one in lineage.networks:
        if one.parameters is not None and one.parameters < 0:
            yield f"its lineage gives {one.model!r} {one.parameters} parameters"
        if not all(0 <= value <= _POINTS for value in (one.mAP, one.OF1, one.CF1) if value is not None):
            yield f"its lineage gives {one.model!r} points that are not within 0 and 100"
