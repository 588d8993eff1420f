"""Plain Python numbers that know their derivatives, for references of the losses that share nothing with torch.

A reference is written with loops, float64 and the functions below; `gradient` then runs through its operations
backwards. A `float` takes part as a constant: `float(x)` stops the gradient.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

_order = itertools.count()


class Number:
    """A float, and the operands that it was made of with its derivatives with respect to them."""

    __slots__ = ("operands", "order", "value")

    def __init__(self, value: float, operands: Sequence[tuple["Number", float]] = ()) -> None:
        self.value, self.operands, self.order = value, operands, next(_order)

    def __float__(self) -> float:
        return self.value

    def __add__(self, other):
        return total([self, other])

    __radd__ = __add__

    def __neg__(self):
        return Number(-self.value, [(self, -1.0)])

    def __sub__(self, other):
        return total([self, -other])

    def __rsub__(self, other):
        return total([-self, other])

    def __mul__(self, other):
        return dot([self], [other])

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * reciprocal(other)

    def __rtruediv__(self, other):
        return other * reciprocal(self)

    def __lt__(self, other):
        return self.value < float(other)

    def __gt__(self, other):
        return self.value > float(other)

    def __le__(self, other):
        return self.value <= float(other)


def _made(value: float, slopes: Iterable[tuple["Number | float", float]]) -> "Number | float":
    operands = [(operand, slope) for operand, slope in slopes if isinstance(operand, Number)]
    return Number(value, operands) if operands else value


def total(terms: Iterable) -> "Number | float":
    terms = list(terms)
    return _made(math.fsum(map(float, terms)), ((term, 1.0) for term in terms))


def dot(a: Sequence, b: Sequence) -> "Number | float":
    slopes = [*zip(a, map(float, b), strict=True), *zip(b, map(float, a), strict=True)]
    return _made(math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True)), slopes)


def _function(value: Callable[[float], float], slope: Callable[[float, float], float]) -> Callable:
    """A function of one number; `slope` is told the argument and the value."""

    def apply(x):
        result = value(float(x))
        return _made(result, [(x, slope(float(x), result))])

    return apply


exp = _function(math.exp, lambda x, y: y)
log = _function(math.log, lambda x, y: 1.0 / x)
log1p = _function(math.log1p, lambda x, y: 1.0 / (1.0 + x))
sqrt = _function(math.sqrt, lambda x, y: 0.5 / y)
reciprocal = _function(lambda x: 1.0 / x, lambda x, y: -y * y)


def softplus(x):
    """log(1 + e^x)."""
    return x + log1p(exp(-x)) if x > 0 else log1p(exp(x))


def sigmoid(x):
    return 1.0 / (1.0 + exp(-x)) if x > 0 else exp(x) / (1.0 + exp(x))


def log_sum_exp(row: Sequence):
    top = max(map(float, row))
    return top + log(total(exp(x - top) for x in row))


def huber(x):
    if -1.0 <= float(x) <= 1.0:
        return 0.5 * x * x
    return x - 0.5 if x > 0 else -x - 0.5


def gradient(result: "Number | float", inputs: Sequence[Number]) -> list[float]:
    """Derivatives of `result` with respect to `inputs`."""
    slopes = {result: 1.0} if isinstance(result, Number) else {}
    found, waiting = set(slopes), list(slopes)
    while waiting:
        for operand, _ in waiting.pop().operands:
            if operand not in found:
                found.add(operand)
                waiting.append(operand)
    for number in sorted(found, key=lambda n: n.order, reverse=True):
        for operand, slope in number.operands:
            slopes[operand] = slopes.get(operand, 0.0) + slope * slopes[number]
    return [slopes.get(number, 0.0) for number in inputs]
