"""What every method is made of, found by asking the methods themselves: for `edgedistill list methods` and the docs."""

import inspect
import re
import textwrap
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..models.output import ModelOutput
from .base import METHODS, Method, TrainingContext
from .supervised import SUPERVISED, SupervisedLoss
from .term import Terms

_B, _C, _F, _D = 4, 6, 3, 2  # of invented outputs
_SIDES = (4, 2)


@dataclass(frozen=True)
class Reference:
    """A method at the defaults of its paper.

    Attributes:
        name: in a recipe.
        terms: names of its loss terms, of a student with a linear head and the branches that the method builds.
        relations: those that relate the images of a batch.
        needs: what it reads beside the student's logits.
        hyper_parameters: defaults by name.
        equations: paper, venue and equations.
        summary: what it computes, in Markdown.
        meanings: of the hyper-parameters, by name.
    """

    name: str
    terms: tuple[str, ...]
    relations: tuple[str, ...]
    needs: tuple[str, ...]
    hyper_parameters: dict[str, object]
    equations: str
    summary: str
    meanings: dict[str, str]


def references() -> list[Reference]:
    """Of every registered method, by name."""
    return [_describe(name, METHODS.get(name)) for name in METHODS.names()]


def loss_terms(method: Method) -> Terms:
    """The terms that the method returns for invented outputs, which hold what it needs and nothing else."""
    generator = torch.Generator().manual_seed(0)
    partitions = len(method.subsets(_labels(60), seed=0)) if method.trains_teachers else 1
    teacher = _invent(method.needs, partitions, generator) if method.needs_teacher else None
    student = _invent(method.needs, partitions, generator)
    targets = torch.from_numpy(_labels(_B))
    return method(student, teacher, targets, TrainingContext(epoch=1, step=1, total_steps=2))


def _labels(images: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (images, _C)).astype(np.int8)


def _invent(needs: frozenset[str], partitions: int, generator: torch.Generator) -> ModelOutput:
    def draw(*shape: int) -> Tensor:
        return torch.randn(_B, *shape, generator=generator)

    output = ModelOutput(logits=draw(_C))
    shapes = {
        "pooled": (_F,),
        "embeddings": (_C, _D),
        "calibration_logits": (_C,),
        "attention": (_SIDES[-1], _SIDES[-1]),
        "partition_logits": (partitions, _C),
    }
    for need in sorted(needs - {"stages"}):
        setattr(output, need, draw(*shapes[need]))
    if "embeddings" in needs:
        output.embedding_logits = draw(_C)
    if "stages" in needs:
        output.stages = [draw(_F, side, side) for side in _SIDES]
        output.reviewed = [draw(_F, side, side) for side in (1, *reversed(_SIDES))]
    return output


def _describe(name: str, kind: type[Method]) -> Reference:
    method = kind()
    terms = loss_terms(method)
    needs = tuple(sorted(method.needs))
    if method.needs_teacher:
        needs = ("teachers that it trains",) if method.trains_teachers else ("teacher", *needs)
    return Reference(
        name=name,
        terms=tuple(terms),
        relations=tuple(term for term in terms if terms[term].relates_images),
        needs=needs,
        hyper_parameters={field: getattr(method, field) for field in kind.__struct_fields__},
        equations=kind.equations,
        summary=_sections(kind)[0],
        meanings=_meanings(kind),
    )


def _meanings(kind: type[Method]) -> dict[str, str]:
    """Of the hyper-parameters; what a class says of an inherited one replaces what its base said."""
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Method):
            meanings |= _sections(base)[1]
    return {field: meanings.get(field, "") for field in kind.__struct_fields__}


def _sections(documented: type) -> tuple[str, dict[str, str]]:
    """A class's docstring: what stands before "Attributes:", and the attributes' texts by name."""
    prose, _, attributes = inspect.cleandoc(documented.__doc__ or "").partition("\nAttributes:\n")
    entries = re.split(r"^(\w+): ", textwrap.dedent(attributes), flags=re.MULTILINE)[1:]
    texts = zip(entries[::2], entries[1::2], strict=True)
    return prose.strip(), {name: " ".join(text.split()) for name, text in texts}


_INTRODUCTION = """# Methods

<!-- Written by: edgedistill list methods --markdown > docs/methods.md -->

What `method: {name: ...}` in a recipe may be. Terms are those under the default hyper-parameters, of a student with a
linear head and the branches that the method builds; with a star, those that relate the images of a batch to each
other, where all others are a mean or a sum over images. `needs` are outputs of both networks beside their logits.

The supervised term carries its loss's name. Where a recipe gives a student a training-only branch, the branch learns
from the annotations: `decoder_<loss>` is the term of an ML-Decoder, `calibration_pal` that of a calibration branch
(`ud` without `supervised` teaches that one itself).
"""

_SUPERVISED = """## Supervised losses

`supervised: asl`, or with its keys `supervised: {name: asl, clip: 0.1}`.
"""


def markdown() -> str:
    """The page docs/methods.md."""
    found = references()
    lines = [_INTRODUCTION, "| method | loss terms | needs | equations |", "|---|---|---|---|"]
    for entry in found:
        terms = " ".join(f"`{term}`" + ("\\*" if term in entry.relations else "") for term in entry.terms)
        needs = ", ".join(entry.needs) or "nothing"
        lines.append(f"| [`{entry.name}`](#{entry.name}) | {terms} | {needs} | {entry.equations} |")
    common, defaults = _meanings(Method), {field: getattr(Method(), field) for field in Method.__struct_fields__}
    lines += ["", "## Hyper-parameters of every method", "", *_table(defaults, common)]
    lines += ["", _SUPERVISED, "| `supervised` | | key | default | |", "|---|---|---|---|---|"]
    for name, loss in SUPERVISED.items():
        lines += _supervised_rows(name, loss)
    for entry in found:
        own = {
            field: default
            for field, default in entry.hyper_parameters.items()
            if field not in defaults or (default, entry.meanings[field]) != (defaults[field], common[field])
        }
        lines += ["", f"## {entry.name}", "", entry.summary]
        lines += ["", *_table(own, entry.meanings)] if own else []
    return "\n".join(lines) + "\n"


def _supervised_rows(name: str, loss: SupervisedLoss) -> list[str]:
    summary, meanings = _sections(type(loss))
    meanings = _sections(SupervisedLoss)[1] | meanings
    firsts = [(f"`{name}`", summary)] + [("", "")] * (len(loss.__struct_fields__) - 1)
    return [
        f"| {first} | {said} | `{key}` | {getattr(loss, key):.6g} | {_shown(meanings[key])} |"
        for (first, said), key in zip(firsts, loss.__struct_fields__, strict=True)
    ]


def _table(defaults: dict[str, object], meanings: dict[str, str]) -> list[str]:
    rows = [f"| `{name}` | {_shown(default)} | {_shown(meanings[name])} |" for name, default in defaults.items()]
    return ["| hyper-parameter | default | |", "|---|---|---|", *rows]


def _shown(value: object) -> str:
    return "none" if value is None else str(value).replace("|", "\\|")
