"""One turn of one artifact: what was measured, what the machine did meanwhile, and what speaks against it."""

from ..record import Record


class Evidence(Record):
    """What was seen during a turn; None where this system does not tell.

    Attributes:
        seconds: from the turn's beginning to its end.
        steal: of the processor time that was wanted, the fraction that the hypervisor gave to other machines.
        others: fraction of the usable cores' time that other processes computed; the benchmark's own are not counted.
        switches: involuntary context switches of the measured process, per second.
        waited: seconds per second for which its threads were ready and waited for a core, added up.
        canary_ms: mean time of the fixed work that ran before, between and after the inferences.
        canary_floor_ms: its shortest time in this turn.
        load: load average over one minute at the turn's end.
    """

    seconds: float
    canary_ms: float
    canary_floor_ms: float
    steal: float | None = None
    others: float | None = None
    switches: float | None = None
    waited: float | None = None
    load: float | None = None


class Turn(Record):
    """One turn. Turns follow each other in the order measured, and so do their samples.

    Attributes:
        round: the round in which it was measured, from 1; above the plan's rounds it is a repetition.
        samples: how many of the artifact's samples are this turn's.
        p50_ms: median of its samples in milliseconds.
        p90_ms: their 0.9 quantile.
        evidence: what was seen meanwhile.
        disturbed_by: what speaks against the turn: the kind of evidence (see `disturbance`) and its value; empty when
            it was quiet.
        process: which of the artifact's processes measured it, from 1; 0 in reports that did not record it.
        inferences_per_s: of all streams together, where several were kept busy; None otherwise.
        watts: mean power while it was measured, where the machine has a counter; None without.
    """

    round: int
    samples: int
    p50_ms: float
    p90_ms: float
    evidence: Evidence
    disturbed_by: dict[str, float] = {}
    process: int = 0
    inferences_per_s: float | None = None
    watts: float | None = None

    @property
    def quiet(self) -> bool:
        return not self.disturbed_by
