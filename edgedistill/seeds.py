"""The whole chain under several seeds."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from .distill.recipe.loaded import LoadedRecipe
from .distill.study.seeds import ModelOverSeeds, Remark, SeedRun, SeedsReport, announced, written
from .distill.study.spread import spread
from .pipeline import Chain
from .run_summary import RunSummary
from .runtime.bench.report import ArtifactBench
from .runtime.parity import ArtifactParity


def run_over_seeds(loaded: LoadedRecipe, seeds: Sequence[int], console: Console) -> SeedsReport:
    """The whole chain once per seed, as `distill_over_seeds`; a missed gate does not stop the seeds after it."""
    summaries, runs = [], []
    for seeded in announced(loaded, seeds, console):
        summary = Chain(seeded, console).run()
        runs.append(
            SeedRun(
                seed=seeded.recipe.seed,
                folder=str(seeded.folder),
                verdict=summary.verdict,
                remarks=tuple(_remarks(summary)),
            )
        )
        summaries.append(summary)
    found = [{model.role: model.mAP for model in summary.models} for summary in summaries]
    models = tuple(ModelOverSeeds(role=role, test=spread([one[role] for one in found])) for role in found[0])
    return written(loaded, "run", summaries[0].test, runs, models)


def _remarks(summary: RunSummary) -> Iterator[Remark]:
    nothing_ran = summary.verdict == "could not run"
    judged: tuple[ArtifactParity | ArtifactBench, ...] = (*summary.parity.artifacts, *summary.bench.artifacts)
    for artifact in judged:
        for gate in artifact.gates:
            if not gate.passed:
                yield Remark(verdict=gate.verdict, sentence=f"{artifact.name}: {gate.sentence}")
        if artifact.reason and (artifact.verdict == "failed" or nothing_ran):
            yield Remark(verdict=artifact.verdict, sentence=f"{artifact.name}: {artifact.reason}")
    for artifact in summary.parity.artifacts:
        if artifact.verdict == "not judged" and not artifact.gates:
            yield Remark(verdict=artifact.verdict, sentence=f"{artifact.name}: its deploy config has no gate")
