"""Which artifact of A is held against which of B."""

from typing import NamedTuple

from ..bench.report import ArtifactBench
from ..errors import ConfigError
from .reading import Side


class Pair(NamedTuple):
    """An artifact of every run that measured it, on both sides.

    Attributes:
        name: in A.
        other: in B, where it is called otherwise; empty where it is not.
        a: of A's runs, one at least.
        b: of B's.
        together: one benchmark measured both in turns.
    """

    name: str
    other: str
    a: list[ArtifactBench]
    b: list[ArtifactBench]
    together: bool


class Pairing(NamedTuple):
    """What is compared, and the names that one side alone has."""

    pairs: list[Pair]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()


def pair_artifacts(a: Side, b: Side, artifact: str | None, against: str | None) -> Pairing:
    """Pair by name; where each side has one artifact, those two.

    Args:
        a: the first side.
        b: the second.
        artifact: only this one of A; None for all.
        against: its name in B; None for the same.

    Raises:
        ConfigError: a name that was not measured, nothing in common, or something compared with itself.
    """
    names_a, names_b = _names(a), _names(b)
    for name, names, side in ((artifact, names_a, a), (against or artifact, names_b, b)):
        if name is not None and name not in names:
            raise ConfigError(f"{side.name}: has no measured artifact {name!r}; it has {_listed(names)}.")
    if artifact is not None:
        chosen = [(artifact, against or artifact)]
    elif len(names_a) == len(names_b) == 1:
        chosen = [(names_a[0], names_b[0])]
    else:
        chosen = [(name, name) for name in names_a if name in names_b]
    if not chosen:
        raise ConfigError(
            f"{a.name} ({_listed(names_a)}) and {b.name} ({_listed(names_b)}) have no artifact in common: say which "
            "with --artifact and --against (`artifact`, `against`)."
        )
    together = len(a.runs) == len(b.runs) == 1 and a.runs[0] == b.runs[0]
    if together and any(name == other for name, other in chosen):
        raise ConfigError(
            f"{a.name}: is compared with itself: say two of its artifacts with --artifact and --against (`artifact`, "
            "`against`)."
        )
    pairs = [
        Pair(name, "" if other == name else other, _called(a, name), _called(b, other), together)
        for name, other in chosen
    ]
    if artifact is not None:
        return Pairing(pairs)
    paired_a, paired_b = ({names[place] for names in chosen} for place in (0, 1))
    return Pairing(
        pairs,
        tuple(name for name in names_a if name not in paired_a),
        tuple(name for name in names_b if name not in paired_b),
    )


def _names(side: Side) -> list[str]:
    """Of the artifacts that ran, in order."""
    return list(dict.fromkeys(one.name for run in side.runs for one in run.artifacts if one.status == "ran"))


def _called(side: Side, name: str) -> list[ArtifactBench]:
    return [one for run in side.runs for one in run.artifacts if one.name == name and one.status == "ran"]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing that was measured"
