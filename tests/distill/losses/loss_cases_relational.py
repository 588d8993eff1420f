"""RKD and PKT by loops over pairs and triplets of images."""

from loss_cases import Case, features, register
from loss_cases_structure import CLOSEST, distance
from plain_numbers import dot, huber, log, sqrt, total

from edgedistill.distill import losses


def rkd_distance(student, teacher, _=None):
    n, tables = len(student), []
    for e in (student, teacher):
        table = [[0.0 if i == j else distance(e[i], e[j]) for j in range(n)] for i in range(n)]
        mean = total(map(total, table)) / max(n * (n - 1), 1)
        tables.append([[d / mean if n > 1 else d for d in row] for row in table])
    return total(huber(tables[0][i][j] - tables[1][i][j]) for i in range(n) for j in range(n)) / n**2


def _cosine(e, i, j, k):
    to_j, to_k = ([x - y for x, y in zip(e[other], e[i], strict=True)] for other in (j, k))
    lengths = distance(e[i], e[j]), distance(e[i], e[k])
    if any(float(length) <= CLOSEST for length in lengths):
        return 0.0
    return dot(to_j, to_k) / lengths[0] / lengths[1]


def rkd_angle(student, teacher, _=None):
    n = len(student)
    triplets = [(i, j, k) for i in range(n) for j in range(n) for k in range(n)]
    return total(huber(_cosine(student, *t) - _cosine(teacher, *t)) for t in triplets) / n**3


def pkt(student, teacher, _=None):
    n, eps, tables = len(student), 1e-7, []
    for e in (student, teacher):
        # A row of zeros gets no gradient.
        norms = [sqrt(dot(row, row)) if any(float(x) for x in row) else 0.0 for row in e]
        directions = [[x / (norm + eps) if norm > 0 else 0.0 for x in row] for row, norm in zip(e, norms, strict=True)]
        kernel = [[(1.0 + dot(a, b)) / 2.0 for b in directions] for a in directions]
        tables.append([[value / total(row) for value in row] for row in kernel])
    q, p = tables
    return total(p[i][j] * log((p[i][j] + eps) / (q[i][j] + eps)) for i in range(n) for j in range(n)) / n**2


for loss, reference in ((losses.rkd_distance, rkd_distance), (losses.rkd_angle, rkd_angle), (losses.pkt, pkt)):
    register(Case(loss.__name__, lambda s, t, y, f=loss: f(s, t), reference, features))
