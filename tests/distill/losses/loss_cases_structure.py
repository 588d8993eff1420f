"""L2D's class-aware and instance-aware terms by a double loop over pairs of embeddings."""

from loss_cases import Case, embeddings, register, weighted
from plain_numbers import dot, huber, sqrt, total

from edgedistill.distill import losses

CLOSEST = 1e-6


def distance(a, b):
    """Of identical embeddings 1e-6, without a gradient."""
    difference = [x - y for x, y in zip(a, b, strict=True)]
    square = dot(difference, difference)
    return sqrt(square) if square > CLOSEST**2 else CLOSEST


def _group(student, teacher, protocol):
    """Loss of the embeddings of one class, or of one image."""
    n = len(student)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    if not pairs:
        return 0.0
    ours, theirs = ([distance(e[i], e[j]) for i, j in pairs] for e in (student, teacher))
    if protocol == "paper":
        return total(huber(a - b) for a, b in zip(ours, theirs, strict=True))
    mine, mean = total(ours) / len(pairs), total(theirs) / len(pairs)
    return total(huber(a / mine - b / mean) for a, b in zip(ours, theirs, strict=True)) / n


def class_aware(s, t, y, protocol):
    groups = [[i for i in range(len(y)) if y[i][k] == 1] for k in range(len(y[0]))]
    return total(_group([s[i][k] for i in rows], [t[i][k] for i in rows], protocol) for k, rows in enumerate(groups))


def instance_aware(s, t, y, protocol):
    groups = [[k for k in range(len(y[0])) if y[i][k] == 1] for i in range(len(y))]
    return total(
        _group([s[i][k] for k in columns], [t[i][k] for k in columns], protocol) for i, columns in enumerate(groups)
    )


for protocol in ("code", "paper"):
    for loss, reference in ((losses.class_aware, class_aware), (losses.instance_aware, instance_aware)):
        register(
            Case(
                loss.__name__,
                lambda s, t, y, f=loss, p=protocol: f(s, t, y, p),
                lambda s, t, y, f=reference, p=protocol: f(s, t, y, p),
                embeddings,
                protocol,
                syncs=2,
                whole_graph=False,
            )
        )
    register(
        Case(
            "class_and_instance_aware",
            lambda s, t, y, p=protocol: weighted(losses.class_and_instance_aware(s, t, y, p)),
            lambda s, t, y, p=protocol: class_aware(s, t, y, p) + 2.0 * instance_aware(s, t, y, p),
            embeddings,
            protocol,
            syncs=2,
            whole_graph=False,
        )
    )
