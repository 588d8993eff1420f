"""UD's attention and ReviewKD's maps, by loops over positions."""

import math

from loss_cases import Case, Example, Inputs, maps, register
from plain_numbers import dot, sqrt, total

from edgedistill.distill import losses


def _attention(s, t, y, form):
    """The first channel of every map; images without a known label count 0."""
    terms = []
    for a, b, row in zip(s, t, y, strict=True):
        gaps = [p - q for i, j in zip(a[0], b[0], strict=True) for p, q in zip(i, j, strict=True)]
        square = dot(gaps, gaps)
        if any(label >= 0 for label in row) and square > 0:  # no gradient where the maps are equal
            terms.append(sqrt(square) if form == "l2" else square / len(gaps))
    return total(terms) / len(s)


def _resized(image, height, width):
    """Bilinear, with the centres of the corner pixels half a pixel inside."""
    rows, columns = len(image), len(image[0])

    def sources(position, size, of):
        at = max((position + 0.5) * of / size - 0.5, 0.0)
        low = min(int(at), of - 1)
        return (low, 1.0 - (at - low)), (min(low + 1, of - 1), at - low)

    return [
        [
            total(
                image[i][j] * (of_row * of_column)
                for i, of_row in sources(y, height, rows)
                for j, of_column in sources(x, width, columns)
            )
            for x in range(width)
        ]
        for y in range(height)
    ]


def _resized_attention(s, t, y):
    return _attention([[_resized(image[0], 5, 6)] for image in s], t, y, "l2")


def _hierarchical_context(s, t, _):
    """As they are and averaged to 4 x 4, 2 x 2 and 1 x 1 where the map is larger."""
    height, width = len(s[0][0]), len(s[0][0][0])
    result, share = 0.0, 0.0
    for number, side in enumerate((None, *(n for n in (4, 2, 1) if n < min(height, width)))):
        rows, columns = (
            [range(i * size // n, math.ceil((i + 1) * size / n)) for i in range(n)]
            for size, n in ((height, side or height), (width, side or width))
        )
        means = [
            total(a[i][j] - b[i][j] for i in of_rows for j in of_columns) / (len(of_rows) * len(of_columns))
            for image, taught in zip(s, t, strict=True)
            for a, b in zip(image, taught, strict=True)
            for of_rows in rows
            for of_columns in columns
        ]
        weight = 0.5**number
        result, share = result + weight * dot(means, means) / len(means), share + weight
    return result / share


def _smaller(example: Example) -> Example:
    return Example(example.student[..., :3, :4].contiguous(), example.teacher, example.targets)


for form in ("l2", "mse"):
    register(
        Case(
            "attention_distance",
            lambda s, t, y, f=form: losses.attention_distance(s[:, 0], t[:, 0], y, f),
            lambda s, t, y, f=form: _attention(s, t, y, f),
            maps,
            form,
        )
    )
register(
    Case(
        "attention_distance",
        lambda s, t, y: losses.attention_distance(s[:, 0], t[:, 0], y),
        _resized_attention,
        Inputs(lambda b, c: _smaller(maps.sized(b, c)), {"random": _smaller(maps.edges["random"])}),
        "resized",
    )
)
register(Case("hierarchical_context", lambda s, t, y: losses.hierarchical_context(s, t), _hierarchical_context, maps))
