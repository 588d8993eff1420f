"""MDKD's dependencies by enumeration of every label sequence."""

import importlib
import itertools
from functools import partial
from unittest import mock

from loss_cases import Case, logits, register, weighted, wide_logits
from plain_numbers import huber, sigmoid, total

from edgedistill.distill import losses

ORDERS = (2, 3, 4)


def _mean_over_sequences(difference, labels, order):
    """Mean of Huber(average of D along the sequence); 0 where there is none."""
    sequences = list(itertools.permutations(labels, order))
    along = (total(difference[k][m] for k, m in itertools.pairwise(seq)) / (order - 1) for seq in sequences)
    return total(map(huber, along)) / max(len(sequences), 1)


def batch(s, t, y, orders=ORDERS, form="mean_square"):
    """One term per order."""
    images, classes = range(len(s)), range(len(s[0]))
    ps, pt = ([[sigmoid(z) for z in row] for row in logits] for logits in (s, t))
    difference = [[0.0 for _ in classes] for _ in classes]
    for k, m in itertools.permutations(classes, 2):
        both = [i for i in images if y[i][k] >= 0 and y[i][m] >= 0]
        psi = []
        for p in (pt, ps):
            gaps = [p[i][k] - p[i][m] for i in both]
            if form == "mean_square":
                psi.append(total(gap * gap for gap in gaps) / max(len(both), 1))
            else:
                psi.append(total(gaps) * total(gaps) / max(len(both), 1))
        difference[k][m] = psi[0] - psi[1]
    return [_mean_over_sequences(difference, classes, order) for order in orders]


def instance(s, t, y, orders=ORDERS):
    """One term per order."""
    terms = {order: [] for order in orders}
    for zs, zt, row in zip(s, t, y, strict=True):
        ps, pt = [sigmoid(z) for z in zs], [sigmoid(z) for z in zt]
        known = [k for k, label in enumerate(row) if label >= 0]
        square = lambda p, k, m: (p[k] - p[m]) * (p[k] - p[m])  # noqa: E731
        difference = [[square(pt, k, m) - square(ps, k, m) for m in range(len(row))] for k in range(len(row))]
        for order in orders:
            terms[order].append(_mean_over_sequences(difference, known, order))
    return [total(values) / len(s) for values in terms.values()]


def both(s, t, y):
    return [*batch(s, t, y, (2, 4)), *instance(s, t, y, (2, 3))]


def _all_known(y):
    return [[0 for _ in row] for row in y]


def _weighted(terms, *arguments):
    return total((1.0 + number) * term for number, term in enumerate(terms(*arguments)))


def _both(s, t, y):
    batch_terms, image_terms = losses.batch_and_instance_dependencies(s, t, (2, 4), (2, 3), targets=y)
    return weighted([*batch_terms.values(), *image_terms.values()])


def _through_gram_matrices(call):
    """As with more classes than an enumeration can have."""
    module = importlib.import_module("edgedistill.distill.losses.mdkd.dependencies")

    def patched(*arguments):
        with mock.patch.object(module, "_FEW_CLASSES", 0):
            return call(*arguments)

    return patched


for form, syncs in (("mean_square", 0), ("squared_sum", 1)):
    register(
        Case(
            "batch_dependency",
            lambda s, t, y, f=form: losses.batch_dependency(s, t, 3, y, f),
            lambda s, t, y, f=form: batch(s, t, y, (3,), f)[0],
            logits,
            form,
            syncs=syncs,
            whole_graph=not syncs,
        )
    )
    register(
        Case(
            "batch_dependencies",
            lambda s, t, y, f=form: weighted(losses.batch_dependencies(s, t, ORDERS, y, f).values()),
            partial(_weighted, partial(batch, form=form)),
            logits,
            form,
            syncs=len(ORDERS) * syncs,
            whole_graph=not syncs,
        )
    )
register(
    Case(
        "batch_dependencies",
        lambda s, t, y: weighted(losses.batch_dependencies(s, t, ORDERS).values()),
        lambda s, t, y: _weighted(batch, s, t, _all_known(y)),
        logits,
        "no targets",
    )
)
register(
    Case(
        "batch_dependencies",
        _through_gram_matrices(lambda s, t, y: weighted(losses.batch_dependencies(s, t, ORDERS, y).values())),
        partial(_weighted, batch),
        wide_logits,
        "more classes than images",
        syncs=1,
        whole_graph=False,
    )
)
register(
    Case(
        "instance_dependency",
        lambda s, t, y: losses.instance_dependency(s, t, 3, y),
        lambda s, t, y: instance(s, t, y, (3,))[0],
        logits,
    )
)
register(
    Case(
        "instance_dependencies",
        lambda s, t, y: weighted(losses.instance_dependencies(s, t, ORDERS, y).values()),
        partial(_weighted, instance),
        logits,
    )
)
register(
    Case(
        "instance_dependencies",
        lambda s, t, y: weighted(losses.instance_dependencies(s, t, ORDERS).values()),
        lambda s, t, y: _weighted(instance, s, t, _all_known(y)),
        logits,
        "no targets",
    )
)
register(Case("batch_and_instance_dependencies", _both, partial(_weighted, both), logits))
register(
    Case(
        "batch_and_instance_dependencies",
        _through_gram_matrices(_both),
        partial(_weighted, both),
        wide_logits,
        "more classes than images",
        syncs=1,
        whole_graph=False,
    )
)
