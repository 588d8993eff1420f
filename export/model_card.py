"""The model card that a hub shows: what the network is, what it reaches on which device, and how to use it."""

import re
from typing import Any

from ..runtime.bundle import Manifest
from ..runtime.errors import MissingDependencyError
from ..runtime.formatting import interval, milliseconds, size
from ..runtime.report.evidence import Compared, Evidence
from ..runtime.report.tradeoff import points
from .documents import plain, table

_TASK, _TASK_NAME = "image-classification", "Multi-label image classification"
REPO = "ORGANISATION/NAME"  # until somebody says where it will be
_TAGS = ("multi-label", "knowledge-distillation", "edge")


def model_card(evidence: Evidence, *, repo: str = REPO, license: str | None = None) -> str:
    """README.md in the Hugging Face form: metadata with the metrics in YAML, then prose.

    Args:
        evidence: a bundle and what devices found.
        repo: where it will be, for the command that fetches it.
        license: of the model, in the hub's words.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import ModelCardData
    except ImportError:
        raise MissingDependencyError(
            'the model card is written by huggingface_hub, not installed here: pip install "edgedistill[hub]".'
        ) from None
    manifest = evidence.bundle.manifest
    formats = sorted({one.format.partition("-")[0] for one in manifest.artifacts if one.files and one.format})
    results = _results(evidence)
    data = ModelCardData(
        license=license,
        library_name="edgedistill",
        pipeline_tag=_TASK,
        tags=[*_TAGS, *formats],
        model_name=manifest.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_prose(evidence, repo)}"


def _results(evidence: Evidence) -> list[Any]:
    """One metric of the network itself, and one of each artifact that verify compared on that split."""
    lineage, found = evidence.bundle.manifest.lineage, []
    if lineage is not None and lineage.dataset and lineage.exported.mAP is not None:
        network = lineage.exported
        for metric, value in (("mAP", network.mAP), ("OF1", network.OF1), ("CF1", network.CF1)):
            if value is not None:
                found.append(_metric(lineage.dataset, metric, value, f"{metric}, {network.model} in float32"))
    newest: dict[str, Compared] = {}
    for one in evidence.on_split():
        newest.setdefault(one.artifact.name, one)
    for one in newest.values():
        reached = one.artifact.mean_ap
        if reached is not None and reached.estimate is not None:
            where = f"mAP, {one.artifact.name} on {one.place.name}"
            found.append(_metric(one.report.dataset, "mAP", reached.estimate, where))
    return found


def _metric(dataset: str, metric: str, value: float, name: str) -> Any:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=_TASK,
        task_name=_TASK_NAME,
        dataset_type=re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-") or "images",
        dataset_name=dataset,
        metric_type=metric,
        metric_name=name,
        metric_value=round(value, 4),
    )


def _prose(evidence: Evidence, repo: str) -> str:
    manifest = evidence.bundle.manifest
    height, width = manifest.preprocessing.size
    model = manifest.lineage.exported.model if manifest.lineage else manifest.provenance.model
    parts = [
        f"# {plain(manifest.name)}",
        f"Labels photographs with {len(manifest.classes)} classes: {plain(model)} for images of {height} x {width} "
        "pixels, exported and measured with edgedistill. `bundle/` holds every form of it with the proof that they "
        "agree, and explains itself in `bundle/README.md`; `report.html` shows all that was measured: download it and "
        "open it.",
        f"![A photograph of the bundle](bundle/{manifest.selftest[0].file.path})" if manifest.selftest else "",
        *_measured(evidence),
        "## Use it",
        "```sh\n"
        'pip install huggingface_hub "edgedistill[onnxruntime]"\n'
        f"hf download {repo} --local-dir model\n"
        "edgedistill predict model/bundle photo.jpg\n"
        "edgedistill selftest model/bundle    # the same outputs on your machine?\n"
        "```",
        f"## Classes\n\n{', '.join(map(plain, manifest.classes))}",
        *_limits(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(evidence: Evidence) -> list[str]:
    found = points(evidence)
    if not found:
        return []
    rows = [
        [
            *(plain(one.device), plain(one.artifact), interval(one.mean_ap), milliseconds(one.p50_ms)),
            *(one.latency, size(one.bytes), one.verdict),
        ]
        for one in found
    ]
    headings = ("device", "artifact", "mAP [95 % CI]", "p50 ms", "p90 ms [95 % CI]", "size", "verdict")
    return ["## Measured", "\n".join(table(headings, rows))]


def _limits(manifest: Manifest) -> list[str]:
    """What the numbers do not say."""
    lineage = manifest.lineage
    if lineage is None or not lineage.dataset:
        return []
    return [
        "## What the numbers are of",
        f"{lineage.images:,} images of {plain(lineage.dataset)}. On photographs of another kind the network may do "
        "worse; `edgedistill verify` tells on labelled ones of yours.",
    ]
