"""The limits of a field check."""

from ..errors import ConfigError
from ..verdicts import Judgement, judge_at_most
from .report import Agreement, Drift


def check_limits(max_drift: float | None, max_changed: float | None, *, compared: bool) -> None:
    """Raise ConfigError for a limit that nothing can meet, or that nothing would judge."""
    if max_drift is not None and not 0 < max_drift <= 1:
        raise ConfigError(f"max_drift {max_drift:g}: is a distance from 0 to 1, e.g. 0.2.")
    if max_changed is not None and not 0 < max_changed <= 100:
        raise ConfigError(f"max_changed {max_changed:g}: is a percentage from 0 to 100, e.g. 5.")
    if max_changed is not None and not compared:
        raise ConfigError("max_changed: say against what: an artifact or a file of scores.")


def judge(
    drift: Drift | None, agreement: Agreement | None, images: int, max_drift: float | None, max_changed: float | None
) -> tuple[Judgement, ...]:
    """The limits that were asked for."""
    gates = []
    if max_drift is not None and drift is not None:
        worst = max(drift.classes, key=lambda one: one.distance.estimate or 0.0)
        more = "more photographs would tell"
        if images > drift.images_then:
            more = f"the {drift.images_then:,} recorded images allow no finer answer"
        what = f"the largest distance of a class's scores from the recorded ones ({worst.name})"
        gates.append(judge_at_most("max_drift", worst.distance, max_drift, what=what, unit="", more=more))
    if max_changed is not None and agreement is not None:
        what, more = "photographs with other labels", "more photographs would tell"
        gates.append(judge_at_most("max_changed", agreement.changed, max_changed, what=what, unit="%", more=more))
    return tuple(gates)
