"""Losses of the softmaxes over an image's classes, by loops over images and labels."""

from functools import partial

from loss_cases import Case, logits, register
from plain_numbers import exp, log_sum_exp, total

from edgedistill.distill import losses


def _images(s, t, y):
    """Student, teacher, and the positions of the positives and of the negatives of each image."""
    for zs, zt, row in zip(s, t, y, strict=True):
        yield zs, zt, *([k for k, label in enumerate(row) if label == wanted] for wanted in (1, 0))


def _divergence(zs, zt, members):
    lse_s, lse_t = log_sum_exp([zs[k] for k in members]), log_sum_exp([zt[k] for k in members])
    return total(exp(zt[k] - lse_t) * ((zt[k] - lse_t) - (zs[k] - lse_s)) for k in members)


def _partial_softmax(s, t, y):
    """One divergence per positive, between the softmaxes over it and all negatives."""
    return total(_divergence(zs, zt, [k, *no]) for zs, zt, yes, no in _images(s, t, y) for k in yes)


def _softmax_kl(s, t, y, temperature):
    softened = ([[z / temperature for z in row] for row in table] for table in (s, t))
    return total(_divergence(zs, zt, [*yes, *no]) for zs, zt, yes, no in _images(*softened, y) if yes or no)


def _pal(s, t, y):
    return total(
        total(log_sum_exp([zs[j] for j in (k, *no)]) - zs[k] for k in yes) / len(yes)
        for zs, _, yes, no in _images(s, t, y)
        if yes
    )


def _softmax_targets(s, t, y):
    return total(
        total(log_sum_exp([zs[j] for j in (*yes, *no)]) - zs[k] for k in yes) / len(yes)
        for zs, _, yes, no in _images(s, t, y)
        if yes
    )


def _over_batch(loss, s, t, y):
    return loss(s, t, y) / len(s)


def _register(loss, call, reference, variant=""):
    register(Case(loss, partial(call, reduction="batchmean"), partial(_over_batch, reference), logits, variant))
    register(Case(loss, partial(call, reduction="sum"), reference, logits, f"{variant} sum".strip()))


_register("partial_softmax", losses.partial_softmax, _partial_softmax)
_register("pal", lambda s, t, y, reduction: losses.pal(s, y, reduction), _pal)
_register("softmax_targets", lambda s, t, y, reduction: losses.softmax_targets(s, y, reduction), _softmax_targets)
for degrees in (1.0, 3.0):
    _register(
        "softmax_kl",
        partial(losses.softmax_kl, temperature=degrees),
        partial(_softmax_kl, temperature=degrees),
        f"T {degrees:g}",
    )
