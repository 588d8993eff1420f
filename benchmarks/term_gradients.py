"""How hard each term of a method pulls at the network that ships, and where to: along a training of a study's cell.

    python benchmarks/term_gradients.py benchmarks/studies/digit_scenes*.yaml --seed 8 --method ud ud_code rkd

Trains the cell's first steps in a temporary folder, with its own loop. At some of them the gradient of every term over
the backbone's weights is taken by itself: its norm, as a share of the sum of the terms' norms, and the cosine to the
gradient of plain BCE on the annotations, which need not be a term. The teacher is that of the study's own run folder.
`--table` runs nothing and prints the stored numbers as Markdown.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine import ALONE, choose_device
from edgedistill.distill.engine.environment import describe_environment
from edgedistill.distill.engine.prepare import prepare
from edgedistill.distill.engine.prepared import Prepared
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.losses import bce
from edgedistill.distill.methods import TrainingContext, values
from edgedistill.distill.study.cell import Cell
from edgedistill.distill.study.study import Study, load_study
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "term_gradients.json"
LABELS = "(bce on the annotations)"
Pulls = dict[str, dict[str, float | None]]
console = Console(highlight=False, width=120)


def find(studies: list[Study], student: str, method: str, seed: int) -> Cell:
    """The first cell of that name, its teacher trained."""
    name = f"{student}/{method}/{seed}"
    found = [(study, cell) for study in studies for cell in study.cells if cell.name == name]
    if not found:
        raise SystemExit(f"{', '.join(study.where for study in studies)}: no cell is called {name}.")
    study, cell = found[0]
    if cell.teacher is not None and not cell.teacher.checkpoint.is_file():
        raise SystemExit(
            f"{cell.teacher.checkpoint} is missing: edgedistill study {study.where} --only {cell.teacher.name}"
        )
    return cell


def measure(cell: Cell, at: list[int]) -> dict[int, Pulls]:
    """By step and term: `share` of the norms' sum, `cosine` to the labels' gradient, and the term's `value`."""
    experiment = Experiment(cell.runnable(), Console(quiet=True))
    if experiment.loaded.method().trains_teachers:
        raise SystemExit(f"{cell.name} trains teachers of its own, which take as long as the study's cell does.")
    training = experiment.training("student", experiment.teacher())
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        job = dataclasses.replace(training.job, folder=Path(folder) / "student", records={})
        # A teacher that is asked again leaves no stored outputs of its own behind.
        teacher = training.teacher
        if isinstance(teacher, CachedSource):
            teacher = dataclasses.replace(teacher, store=False)
        prepared = prepare(job, training.model, teacher, Console(quiet=True), ALONE, part=training.part)
        prepared.state.trained.train()
        for number, pieces in enumerate(prepared.steps()):
            context = TrainingContext(0, number, prepared.total_steps)
            if number in at:
                found[number] = gradients(prepared, pieces[0], context)
            if number == max(at):
                break
            prepared.step(pieces, context)
    return found


def gradients(prepared: Prepared, batch: Batch, context: TrainingContext) -> Pulls:
    """Of every term and of the annotations' BCE, on one batch; the model is left as it was."""
    model, step = prepared.state.trained, prepared.step
    buffers = [buffer.clone() for buffer in model.buffers()]
    images, targets = batch.images.to(step.device), batch.targets.to(step.device)
    taught = step.teacher(batch, images, targets) if step.teacher is not None else None
    student = model(model.normalize(images))
    terms = values(step.method(student, taught, targets, context))
    weights = [weight for weight in prepared.state.model.backbone.parameters() if weight.requires_grad]
    labels = bce(student.logits, targets)
    pulls = {name: _flat(term, weights) for name, term in {**terms, LABELS: labels}.items()}
    with torch.no_grad():
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
    total = sum(pulls[name].norm() for name in terms)
    return {
        name: {
            "value": terms.get(name, labels).item(),
            "share": float(pull.norm() / total) if name in terms else None,
            "cosine": float(torch.nn.functional.cosine_similarity(pull, pulls[LABELS], dim=0)),
        }
        for name, pull in pulls.items()
    }


def _flat(term: Tensor, weights: list[Tensor]) -> Tensor:
    slopes = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    pairs = zip(slopes, weights, strict=True)
    return torch.cat([(torch.zeros_like(w) if slope is None else slope).flatten() for slope, w in pairs])


def show(method: str, found: dict[int, Pulls]) -> None:
    table = Table(title=f"{method}: share of the terms' gradient norms / cosine to the labels' gradient")
    table.add_column("term")
    for number in found:
        table.add_column(f"step {number}", justify="right")
    for term in next(iter(found.values())):
        if term != LABELS:
            cells = (row[term] for row in found.values())
            table.add_row(term, *(_cell(cell, " / ") for cell in cells))
    console.print(table)


def markdown(report: dict) -> str:
    """The stored numbers as one table."""
    methods = report["methods"]
    steps = list(next(iter(methods.values())))
    lines = [
        "| method | term | " + " | ".join(f"step {step}" for step in steps) + " |",
        "| --- | --- |" + " ---: |" * len(steps),
    ]
    for method, found in methods.items():
        terms = [term for term in found[steps[0]] if term != LABELS]
        for name, term in zip([method, *[""] * len(terms)], terms, strict=False):
            cells = (_cell(found[step][term], ", ") for step in steps)
            lines.append(f"| {name} | `{term}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(pull: dict[str, float], between: str) -> str:
    share = 100 * pull["share"]
    return f"{share:{'.0f' if share >= 1 else '.1g'}} %{between}{pull['cosine']:+.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="*", help="study files")
    parser.add_argument("--student", default="shufflenetv2_x0.5")
    parser.add_argument("--method", nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--at", type=int, nargs="+", default=[0, 20, 50, 100], help="steps of the first epoch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.out.read_text())))
        return
    if not arguments.studies or not arguments.method:
        parser.error("name at least one study file and one --method")
    try:
        studies = [load_study(path) for path in arguments.studies]
        cells = {name: find(studies, arguments.student, name, arguments.seed) for name in arguments.method}
        found = {}
        for name, cell in cells.items():
            found[name] = measure(cell, arguments.at)
            show(name, found[name])
    except EdgedistillError as error:
        raise SystemExit(f"error: {error}") from None
    report = {
        "command": f"python benchmarks/term_gradients.py {' '.join(map(str, arguments.studies))} "
        f"--student {arguments.student} --method {' '.join(arguments.method)} --seed {arguments.seed}",
        "device": msgspec.to_builtins(describe_device()),
        "torch": torch.__version__,
        "commit": describe_environment(choose_device(), ALONE, ())["commit"],
        "methods": found,
    }
    write_atomic(arguments.out, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
