"""What each precision claims, and how an artifact that claims it is proven: one row each."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import ConfigError

# Two exact float32 implementations differ by the order of summation: up to 4e-4 at |logit| ~ 10 between frameworks.
_FLOOR = 1e-3
_FLOOR_SHARE = 1e-4

# Allowed on a device, as a multiple of the largest error that export measured for the artifact on the golden and the
# held images: another device sums in another order, and the largest of a few errors varies by less than half. Swapped
# channels, a gamma of 1.2 or a shift by one pixel move the logits by far more (tests/export/test_selftest_catches.py).
MARGIN = 3.0
# The same for the mean over all golden logits, which hardly varies: it is this that notices a finer fault, such as
# another interpolation, behind the noise of a reduced precision.
MEAN_MARGIN = 1.5
# What export measured passes on the exporting machine, where the golden images alone spread less than all that export
# compared; but hardly past the share of their spread: a manifest may say anything, and int8's swapped channels cost 1.3
# times its share.
_AS_MEASURED, _AT_MOST = 1.05, 1.25


@dataclass(frozen=True)
class Precision:
    """A row.

    Attributes:
        name: the word in manifests, deploy configs and on the command line.
        claim: what it says of the arithmetic, for people.
        proof: "numeric": the logits must agree; "metric": the logits move, so that only the mAP can tell (then `share`
            just catches a broken graph).
        share: allowed |logit difference| to the training framework as a share of the logits' spread, where nothing was
            measured: at export, and on a device for what could not run at export.
        derivation: where `share` comes from.
        quantised: made of calibration images; what runs in it is counted when the artifact is built.
    """

    name: str
    claim: str
    proof: Literal["numeric", "metric"]
    share: float
    derivation: str
    quantised: bool = False

    def built(self, logits: np.ndarray) -> float:
        """Allowed |difference| of a logit when the artifact is built, for the framework's logits (N, C)."""
        return max(self._floor(logits), self.share * float(np.ptp(logits)))

    def shipped(self, logits: np.ndarray, measured: float | None) -> float:
        """Allowed |difference| of a logit on a device.

        Args:
            logits: the training framework's, (N, C).
            measured: the largest difference that export found for this artifact; None where it could not run there.
        """
        if measured is None:
            return self.built(logits)
        built = self.built(logits)
        as_measured = min(_AS_MEASURED * measured, _AT_MOST * built)
        return max(self._floor(logits), min(built, MARGIN * measured), as_measured)

    def shipped_mean(self, logits: np.ndarray, measured: float | None) -> float | None:
        """Allowed mean |difference| over the golden logits on a device; None where export measured none."""
        return None if measured is None else max(self._floor(logits), MEAN_MARGIN * measured)

    @staticmethod
    def _floor(logits: np.ndarray) -> float:
        return max(_FLOOR, _FLOOR_SHARE * float(np.ptp(logits)))


PRECISIONS: dict[str, Precision] = {}


def register_precision(row: Precision) -> Precision:
    """Add a row; a backend's module calls this for a precision of its own."""
    if PRECISIONS.get(row.name, row) != row:
        raise ValueError(f"the precision {row.name!r} is registered twice")
    PRECISIONS[row.name] = row
    return row


def find_precision(name: str) -> Precision | None:
    """The row called `name`, or None; other distributions' backends bring theirs when they are imported."""
    if name not in PRECISIONS:
        from .backends.base import BACKENDS

        BACKENDS.names()
    return PRECISIONS.get(name)


def precision_of(name: str) -> Precision:
    """The row called `name`.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    row = find_precision(name)
    if row is None:
        raise ConfigError(f"unknown precision {name!r}: one of {', '.join(PRECISIONS)}.")
    return row


def why_none(name: str) -> str:
    """Why there is no such precision, as one more sentence; empty where there is no more to say."""
    if "dynamic" not in name.lower():
        return ""
    return (
        " Dynamic int8 measures ranges while it runs: it is made for the large matrix products of language models, not "
        "for convolutions. Take int8, which is calibrated."
    )


register_precision(
    Precision(
        name="fp32",
        claim="float32 arithmetic, 24 significant bits",
        proof="numeric",
        share=1e-4,
        derivation="the order of summation: 4e-4 at |logit| ~ 10 between frameworks",
    )
)
register_precision(
    Precision(
        name="fp16",
        claim="float16 arithmetic, 11 significant bits; inputs and outputs in float32",
        proof="numeric",
        share=3e-2,
        derivation="an eighth of bf16's, by its three more bits",
    )
)
register_precision(
    Precision(
        name="bf16",
        claim="bfloat16 arithmetic, 8 significant bits; inputs and outputs in float32",
        proof="metric",
        share=2e-1,
        derivation=(
            "8 bits through some fifty layers: ImageNet's MobileNetV2 is off by up to 5 % of the spread on 24 "
            "photographs, a random one by 8 %; swapped channels cost 39 %, a missing normalisation 66 %"
        ),
    )
)
register_precision(
    Precision(
        name="int8",
        claim="convolutions of 8-bit integers, summed in 32 bits; inputs and outputs in float32",
        proof="metric",
        share=3e-1,
        derivation="of what swapped channels cost (39 % of the spread) three quarters; see bf16, which is finer",
        quantised=True,
    )
)
