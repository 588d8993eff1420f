"""What the benchmark and a measured process say to each other: one line of JSON per message, over stdin and stdout."""

from typing import TypeAlias

import msgspec


class _Message(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """Both ends are the same version of this file, so that an unknown field is an error."""


class Start(_Message):
    """Load an artifact, as often as there are streams, and infer once.

    Attributes:
        source: the bundle's or the model file's path as the system spells it, which need not be UTF-8.
        identity: what `identity` says of it in the benchmark's process; another content is refused.
        artifact: its name there.
        backend: of a model file, what opens it.
        precision: of a model file, what to ask of the backend.
        device: the backend's device word; None for the deploy config's.
        threads: None for the deploy config's.
        batch_size: images per inference.
        size: of a model file, height and width where its graph leaves them open; None where it does not.
        streams: how many inferences may be under way at once.
    """

    source: bytes
    identity: str
    artifact: str
    backend: str | None
    precision: str | None
    device: str | None
    threads: int | None
    batch_size: int
    size: tuple[int, int] | None = None
    streams: int = 1


class Measure(_Message):
    """One turn: infer, one after the other, until both minimums are met."""

    queries: int
    seconds: float


class Saturate(_Message):
    """One turn: keep all streams busy until both minimums are met."""

    queries: int
    seconds: float


class Serve(_Message):
    """Answer images that come at random, in the order in which they come.

    Attributes:
        rate: of them a second, on average.
        queries: how many.
        limit_ms: an answer later than this is late.
        seed: of the times at which they come.
    """

    rate: float
    queries: int
    limit_ms: float
    seed: int


class Photograph(_Message):
    """Time each step from an encoded image to its labels.

    Attributes:
        encoded: the file's content.
        repeats: how often.
    """

    encoded: bytes
    repeats: int


class Started(_Message):
    """It runs. Milliseconds of importing the library, of loading, of the first inference; what it says it uses."""

    import_ms: float
    load_ms: float
    first_ms: float
    effective: dict[str, str]


class Refused(_Message):
    """The artifact does not run here; `refused` when the fault is the artifact's, not the machine's."""

    reason: str
    refused: bool


class Measured(_Message):
    """One turn, as seen from inside the process; None where this system does not tell.

    Attributes:
        samples_ms: wall time of each inference.
        canary_ms: mean time of the fixed work that ran between the inferences.
        canary_floor_ms: its shortest time.
        seconds: from the turn's beginning to its end.
        switches: how often a thread of this process had to leave a core that it still wanted.
        waited_s: how long its threads waited for a core, added up.
        peak_rss_bytes: largest resident memory so far.
        inferences_per_s: of all streams together; None where there is one.
    """

    samples_ms: list[float]
    canary_ms: float
    canary_floor_ms: float
    seconds: float
    switches: int | None
    waited_s: float | None
    peak_rss_bytes: int | None
    inferences_per_s: float | None = None


class Timed(_Message):
    """The steps of one photograph, in milliseconds: medians over the repeats."""

    width: int
    height: int
    decode_ms: float
    resize_ms: float
    infer_ms: float
    post_ms: float
    total_ms: float


def printable(text: str) -> str:
    """The text without what cannot be encoded: bytes of a file name that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


Task: TypeAlias = Measure | Saturate | Serve  # what is watched for disturbance
Request: TypeAlias = Start | Task | Photograph
Answer: TypeAlias = Started | Refused | Measured | Timed
