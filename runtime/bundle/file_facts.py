"""What a model file says of itself, in the metadata of its own format: enough to use it without its bundle."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..errors import BundleError
from ..preprocess import Preprocessing
from ..record import Record
from .check import class_problems, preprocessing_problems, threshold_problems
from .records import SCHEMA_VERSION, InputKind

PREFIX = "edgedistill."


class FileFacts(Record):
    """Parts of a manifest that travel inside each model file; a file of somebody else's may have some of them, or none.

    Attributes:
        schema_version: of the manifest whose words these are.
        name: the student's or the run's.
        classes: in the order of every score; empty where the file does not say.
        preprocessing: the student's own.
        input: what the graph takes.
        thresholds: per class, the student's own: those that were estimated for the finished file are in the manifest.
    """

    schema_version: int = SCHEMA_VERSION
    name: str = ""
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    input: InputKind | None = None
    thresholds: tuple[float, ...] = ()


def encode_facts(facts: FileFacts) -> dict[str, str]:
    """Metadata by key, e.g. "edgedistill.classes"; the values are compact JSON."""
    return {
        f"{PREFIX}{key}": msgspec.json.encode(value).decode() for key, value in msgspec.structs.asdict(facts).items()
    }


def decode_facts(metadata: Mapping[str, str], where: str) -> FileFacts:
    """What `encode_facts` wrote, checked as a manifest is; keys that this version does not know are ignored.

    Args:
        metadata: of the loaded file, by key.
        where: the file, for messages.

    Raises:
        BundleError: a value is not what its key holds, or of a newer schema.
    """
    found: dict[str, Any] = {}
    try:
        for key, text in metadata.items():
            name = key.removeprefix(PREFIX)
            if name != key and name in FileFacts.__struct_fields__:
                found[name] = msgspec.json.decode(text)
        facts = msgspec.convert(found, FileFacts)
        problem = next(_problems(facts), "")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        problem = f"its metadata {PREFIX}* is damaged or not ours ({error})"
    if problem:
        raise BundleError(f"{where}: {problem}. Export it again.")
    return facts


def check_facts(facts: FileFacts, where: str, *, input: InputKind, size: tuple[int, int] | None, scores: int) -> None:
    """Raise BundleError where a file's metadata is another graph's.

    Args:
        facts: from `decode_facts`.
        where: the file, for messages.
        input: what the graph takes.
        size: (height, width) that it takes; None for any.
        scores: how many it gives.
    """
    if problem := _contradiction(facts, input, size, scores):
        raise BundleError(f"{where}: its metadata {problem}: the two do not belong together. Export it again.")


def _contradiction(facts: FileFacts, kind: InputKind, size: tuple[int, int] | None, count: int) -> str:
    if facts.input not in (None, kind):
        return f"says that it takes {facts.input}, and its graph takes {kind}"
    if size is not None and facts.preprocessing is not None and facts.preprocessing.size != size:
        height, width = facts.preprocessing.size
        return f"says that it takes {height}x{width} pixels, and its graph takes {size[0]}x{size[1]}"
    for what, found in (("class names", facts.classes), ("thresholds", facts.thresholds)):
        if found and len(found) != count:
            return f"holds {len(found)} {what}, and its graph gives {count} scores"
    return ""


def _problems(facts: FileFacts) -> Iterator[str]:
    if facts.schema_version != SCHEMA_VERSION:
        yield f"its metadata is of schema {facts.schema_version}, this edgedistill reads {SCHEMA_VERSION}"
    if facts.classes:
        yield from (f"its metadata: {problem}" for problem in class_problems(facts.classes))
    if facts.thresholds:
        names = facts.classes or tuple(map(str, range(len(facts.thresholds))))
        yield from (f"its metadata: {problem}" for problem in threshold_problems(names, facts.thresholds))
    if facts.preprocessing is not None:
        yield from (f"its metadata: {problem}" for problem in preprocessing_problems(facts.preprocessing))
