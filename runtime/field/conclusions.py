"""What a field check lets one say, and what it does not, in sentences."""

from collections.abc import Iterator, Sequence

from ..formatting import counted, interval
from .report import Agreement, ClassDrift, Drift, EmbeddingDrift

_NAMED = 5


def conclusions(drift: Drift | None, no_drift: str, agreement: Agreement | None, images: int) -> tuple[str, ...]:
    """The sentences, for table, page and JSON alike.

    Args:
        drift: what was found, if anything was recorded.
        no_drift: why there is none.
        agreement: with a reference, if one was given.
        images: how many photographs.
    """
    return tuple(_sentences(drift, no_drift, agreement, images))


def _sentences(drift: Drift | None, no_drift: str, agreement: Agreement | None, images: int) -> Iterator[str]:
    if drift is not None:
        yield from _of_drift(drift, images)
    else:
        yield f"Nothing is said of drift: {no_drift}."
    if agreement is not None:
        yield from _of_agreement(agreement)
    yield (
        "None of this says how good the model is: it may be right on other photographs and wrong on familiar ones. "
        "`edgedistill verify` says it, once some photographs have labels."
    )


def _of_drift(drift: Drift, images: int) -> Iterator[str]:
    level, count = f"{100 * (1 - drift.confidence):g} %", len(drift.classes)
    if drift.found:
        yield (
            f"{len(drift.found)} of {count} classes score otherwise than in {drift.source}: {_listed(drift.found)}. "
            f"The chance that any of them is named wrongly is at most {level}."
        )
    else:
        yield (
            f"No class is seen to score otherwise than in {drift.source}. With {counted(images, 'photograph')} a class "
            f"whose distance is below {drift.visible:.2f} would not be seen."
        )
    if drift.embedding is not None:
        yield _of_embedding(drift.embedding)
    if drift.found or (drift.embedding is not None and drift.embedding.found):
        yield (
            "Other scores say that the photographs are of another kind, or that classes are more or less frequent; "
            "which of the two, only labels tell."
        )
    yield (
        "The tests take the photographs for independent: many of one scene, or frames of one film, raise false alarms."
    )


def _of_embedding(found: EmbeddingDrift) -> str:
    if not found.found:
        return "The embeddings are not seen to differ from the recorded ones."
    return (
        f"The embeddings differ from the recorded ones: their mean moved by {found.shift:.2f} standard deviations, and "
        f"{found.far:.0f} % of the photographs lie further out than 99 of 100 did (1 % where nothing changed)."
    )


def _of_agreement(agreement: Agreement) -> Iterator[str]:
    yield (
        f"{interval(agreement.changed, 1)} % of {agreement.images:,} photographs get other labels than by "
        f"{agreement.source}. Where both agree, both may be wrong."
    )


def _listed(found: Sequence[ClassDrift]) -> str:
    named = ", ".join(f"{one.name} ({'higher' if one.higher else 'lower'})" for one in found[:_NAMED])
    return f"{named} and {len(found) - _NAMED} more" if len(found) > _NAMED else named
