"""Which of a bundle's artifacts comes first here: what export and this device have found out about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..bundle.opened import Bundle
from ..bundle.records import Artifact
from ..preprocess import Decode
from .evidence import Evidence, Parity, evidence


class Standing(IntEnum):
    """How an artifact stands to its gates; the less the better."""

    MET = 0  # or there is none, or it is the reference itself
    UNKNOWN = 1
    MISSED = 2


@dataclass(frozen=True)
class Candidate:
    """An artifact, and what speaks for it.

    Attributes:
        artifact: which.
        proven: export verified it, or it passed here.
        standing: to its gates.
        gates: the same in words.
        p90_ms: by this device's own bench; None where there is none, or the machine was disturbed.
        benched: when that was, ISO 8601.
        disturbed: there is one, and the machine was disturbed.
    """

    artifact: Artifact
    proven: bool
    standing: Standing
    gates: str
    p90_ms: float | None = None
    benched: str = ""
    disturbed: bool = False

    @property
    def rank(self) -> tuple[bool, bool, Standing, bool, float]:
        """Artifacts of one rank stay in the manifest's order."""
        missed, slow = self.standing is Standing.MISSED, self.p90_ms is None
        return missed, not self.proven, self.standing, slow, 0.0 if self.p90_ms is None else self.p90_ms


def ranked(
    bundle: Bundle,
    artifacts: Sequence[Artifact],
    decode: Decode,
    *,
    threads: int | None = None,
    device: str | None = None,
) -> list[Candidate]:
    """The artifacts, the one to be taken first first; the arguments are those of `load`.

    First those that miss no gate, of these those that are proven, of these those that meet their gates, and of these
    the fastest by this device's latest bench of single images, with these threads and device word; those without come
    after, in the manifest's order.
    """
    if len(artifacts) == 1:
        return [Candidate(artifacts[0], proven=True, standing=Standing.UNKNOWN, gates="")]
    found = evidence(bundle, decode, threads=threads, device=device)
    return sorted((_candidate(artifact, found) for artifact in artifacts), key=lambda one: one.rank)


def why(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    """In a sentence, why this one of several."""
    name = chosen.artifact.name
    if len(candidates) == 1:
        return f"{name}: the only one that was asked for or is there."
    timed = [one for one in candidates if one is not chosen and one.p90_ms is not None]
    if chosen.p90_ms is not None:
        rest = f"; {timed[0].artifact.name} {timed[0].p90_ms:.3g} ms" if timed else ""
        speed = f"p90 {chosen.p90_ms:.3g} ms in this device's bench of {chosen.benched[:10]}{rest}"
    elif chosen.disturbed:
        speed = (
            "this device's bench was disturbed and does not say which is fastest: `edgedistill bench` once it is quiet"
        )
    else:
        speed = "which is fastest here no bench has measured: `edgedistill bench`"
    first = "misses a gate, and nothing better runs here" if chosen.standing is Standing.MISSED else chosen.gates
    proof = "" if chosen.proven else "; export could not run it"
    return f"{name}: {first}{proof}; {speed}."


def _candidate(artifact: Artifact, found: Evidence) -> Candidate:
    parity, (bench, when) = found.here.get(artifact.name), found.benches.get(artifact.name, (None, ""))
    standing, gates = _gates(artifact, found)
    proven = artifact.status == "verified" or (parity is not None and parity.verdict == "passed")
    if bench is None:
        return Candidate(artifact, proven, standing, gates)
    return Candidate(artifact, proven, standing, gates, bench.p90_ms, when, disturbed=bool(bench.disturbed))


def _gates(artifact: Artifact, found: Evidence) -> tuple[Standing, str]:
    parity = found.here.get(artifact.name) or found.elsewhere.get(artifact.name)
    where = "here" if artifact.name in found.here else "on another device"
    if missed := _missed(artifact, found, parity, where):
        return Standing.MISSED, missed
    if artifact.target.limits.max_map_drop is None:
        return Standing.MET, "has no gate on its mAP"
    if parity is None:
        return Standing.UNKNOWN, "not verified on labelled images yet"
    if parity.verdict == "passed":
        return Standing.MET, f"passed verify {where}"
    if parity.max_abs_logit == 0:
        return Standing.MET, "is what the others are compared with"
    return Standing.UNKNOWN, f"verify {where} left it {parity.verdict}"


def _missed(artifact: Artifact, found: Evidence, parity: Parity | None, where: str) -> str:
    """Which gate it misses, in words; empty when none is known of."""
    bench, _ = found.benches.get(artifact.name, (None, ""))
    slow = [gate for gate in bench.gates if gate.verdict == "failed"] if bench is not None else []
    if slow:
        return f"misses a gate here: {slow[0].sentence.rstrip('.')}"
    if parity is None or parity.verdict != "failed":
        return ""
    said = next((gate.sentence for gate in parity.gates if gate.verdict == "failed"), parity.reason)
    return f"misses a gate {where}: {said.rstrip('.')}"
