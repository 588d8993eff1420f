"""Losses that take each logit by itself."""

import math
from functools import partial

from loss_cases import Case, logits, register
from plain_numbers import log, sigmoid, softplus, total

from edgedistill.distill import losses


def _reduced(element, s, t, y, reduction):
    """Reduce a loss of (z_S, z_T, label) over the entries whose label is known."""
    known = [(i, k) for i in range(len(s)) for k in range(len(s[0])) if y[i][k] >= 0]
    result = total(element(s[i][k], t[i][k], y[i][k]) for i, k in known)
    return result / {"sum": 1, "batchmean": len(s), "mean": max(len(known), 1)}[reduction]


def _bce(z, _, label):
    return softplus(-z) if label else softplus(z)


def _mld(z, taught, _):
    p, absent = sigmoid(taught), sigmoid(-taught)
    return p * (softplus(-z) - softplus(-taught)) + absent * (softplus(z) - softplus(taught))


def _mse(z, taught, _):
    return (z - taught) * (z - taught)


def _asymmetric(z, _, label, *, gamma_neg, gamma_pos, clip):
    p = float(sigmoid(z))  # in the weights, without a gradient
    if label:
        return (1.0 - p) ** gamma_pos * softplus(-z)
    shifted = max(p - clip, 0.0)
    if shifted == 0.0:
        return 0.0
    return -(shifted**gamma_neg) * log(sigmoid(-z) + clip) if clip else shifted**gamma_neg * softplus(z)


def _focused(margin, gamma):
    miss = sigmoid(-margin)
    power = math.pow(float(miss), gamma)
    slope = gamma * math.pow(float(miss), gamma - 1) if gamma else 0.0
    return (power + slope * (miss - float(miss))) * softplus(-margin)


def _focal(z, _, label, *, gamma, alpha):
    return (alpha if label else 1 - alpha) * _focused(z if label else -z, gamma)


def _label_smoothing(z, _, label):
    p = 1.0 / (1.0 + math.exp(-9.0)) if label else 1.0 / (1.0 + math.exp(9.0))
    return p * (log(p) + softplus(-z)) + (1.0 - p) * (log(1.0 - p) + softplus(z))


def _binary_kl(s, t, y, temperature):
    softened = ([[z / temperature for z in row] for row in table] for table in (s, t))
    return _reduced(_mld, *softened, y, "batchmean") / len(s[0])


for reduction in ("batchmean", "sum", "mean"):
    register(
        Case(
            "bce",
            lambda s, t, y, r=reduction: losses.bce(s, y, r),
            partial(_reduced, _bce, reduction=reduction),
            logits,
            reduction,
        )
    )
    for loss, element in ((losses.mld, _mld), (losses.mse, _mse)):
        register(
            Case(
                loss.__name__,
                lambda s, t, y, f=loss, r=reduction: f(s, t, y, r),
                partial(_reduced, element, reduction=reduction),
                logits,
                reduction,
            )
        )

for variant, options in {
    "default": {"gamma_neg": 4.0, "gamma_pos": 0.0, "clip": 0.05},
    "focused, no clip": {"gamma_neg": 2.0, "gamma_pos": 1.5, "clip": 0.0},
}.items():
    register(
        Case(
            "asymmetric",
            lambda s, t, y, o=options: losses.asymmetric(s, y, **o),
            partial(_reduced, partial(_asymmetric, **options), reduction="batchmean"),
            logits,
            variant,
            stops=True,
        )
    )

for gamma, alpha in ((2.0, 0.25), (0.5, 0.5), (0.0, 0.75)):
    register(
        Case(
            "focal",
            lambda s, t, y, g=gamma, a=alpha: losses.focal(s, y, gamma=g, alpha=a),
            partial(_reduced, partial(_focal, gamma=gamma, alpha=alpha), reduction="batchmean"),
            logits,
            f"gamma {gamma:g}",
        )
    )


def _counts(classes):
    """Of present and absent labels: a long tail, with a class that is never present and one that always is."""
    present = [0, 60, *(40 // (k + 1) for k in range(classes))][:classes]
    return present, [60 - count for count in present]


def _distribution_balanced(s, _, y, *, gamma, mu, scale):
    present, absent = ([max(1, count) for count in counts] for counts in _counts(len(s[0])))
    terms = []
    for z, row in zip(s, y, strict=True):
        asked = sum(1 / present[k] for k, label in enumerate(row) if label == 1)
        for k, label in enumerate(row):
            if label >= 0:
                share = 1 / present[k] / asked if asked else math.inf
                weight = 0.1 + 1 / (1 + math.exp(-10 * (share - mu)))
                shifted = z[k] - 0.05 / scale * math.log(absent[k] / present[k])
                each = _focused(shifted, gamma) if label else _focused(-scale * shifted, gamma) / scale
                terms.append(weight * each)
    return total(terms) / len(s)


for options in ({"gamma": 2.0, "mu": 0.2, "scale": 2.0}, {"gamma": 0.0, "mu": 0.3, "scale": 5.0}):
    register(
        Case(
            "distribution_balanced",
            lambda s, t, y, o=options: losses.distribution_balanced(
                s, y, *map(s.new_tensor, _counts(s.shape[1])), gamma=o["gamma"], mu=o["mu"], negative_scale=o["scale"]
            ),
            partial(_distribution_balanced, **options),
            logits,
            f"gamma {options['gamma']:g}",
        )
    )

register(
    Case(
        "label_smoothing",
        lambda s, t, y: losses.label_smoothing(s, y),
        partial(_reduced, _label_smoothing, reduction="batchmean"),
        logits,
    )
)
for temperature in (1.0, 3.0):
    register(
        Case(
            "binary_kl",
            lambda s, t, y, at=temperature: losses.binary_kl(s, t, y, at),
            partial(_binary_kl, temperature=temperature),
            logits,
            f"T {temperature:g}",
        )
    )
