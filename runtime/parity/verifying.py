"""Does every artifact of a bundle say the same as the reference, on labelled images, on this machine?"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..batches import MAX_BAD_SHARE
from ..bundle.loose import open_source
from ..bundle.naming import named_artifact
from ..bundle.opened import Bundle
from ..bundle.records import Artifact
from ..bundle.results import save_or_say
from ..bundle.selection import nothing_ran, select_artifacts
from ..datasets import UNKNOWN, Dataset, open_dataset
from ..device import device_slug
from ..errors import BundleError, ConfigError, DataError
from ..metrics import least_resamples, sigmoid
from ..preprocess import Decode
from ..targets import check_threads
from .collecting import Collected, Progress, collect_outputs
from .judging import PRESETS, Judged, Labelled, judge_parity
from .outputs import Outputs
from .report import ArtifactParity, ParityReport, ReferenceParity, SkippedImageRecord
from .scores import SplitScores

DatasetSource: TypeAlias = "Dataset | Mapping[str, Any] | str | Path"


def verify(
    bundle: Bundle | str | Path,
    dataset: DatasetSource,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    labels: str | Path | None = None,
    threads: int | None = None,
    device: str | None = None,
    batch_size: int = 32,
    max_bad_share: float = MAX_BAD_SHARE,
    decode: Decode = "full",
    reference: np.ndarray | None = None,
    against: str | None = None,
    preset: str | None = None,
    resamples: int = 0,
    progress: Progress | None = None,
    require_signature: str | Path | None = None,
) -> ParityReport:
    """Run the artifacts on a labelled data set and judge each against the reference.

    Three tiers: the bundle's own photographs against what export stored for them (numbers), the labels at the shipped
    thresholds (decisions), and mAP, AP, OF1 and CF1 with what they lose (metrics). Every image is decoded once and goes
    through all artifacts. The reference is `reference`, or the artifact `against`, or the training framework's logits
    that the bundle stores for this very split, or the bundle's onnxruntime fp32 artifact run here; the report says
    which. The report is saved below results/<device>/, with every image's scores beside it.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        dataset: an opened data set, what `open_dataset` takes, or, with `labels`, the image folder.
        artifacts: names; all that match by default.
        backend: only this backend's.
        precision: only this precision's.
        labels: the label file, when `dataset` is the image folder.
        threads: intra-op threads of the backends, overriding the deploy configs.
        device: the backends' device word, overriding the deploy configs; one that does not know it could not run.
        batch_size: images per inference.
        max_bad_share: share of undecodable images above which nothing is reported.
        decode: how images are decoded, as of `load`: what is judged must be what `predict` does.
        reference: logits (N, C) for the data set's images, in its order and in the bundle's order of classes.
        against: the artifact that is the reference, by its name or as in "onnx/fp32"; run here, at its own thresholds.
        preset: "99" or "99.9": each artifact must keep that share of the reference's mAP, with the whole interval; a
            gate beside the deploy config's own.
        resamples: also the paired bootstrap's interval of the drop, from so many resamples; 0 for none.
        progress: called with (images done, images in all).
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Returns:
        The report; an artifact that cannot run here is in it with the reason.

    Raises:
        ConfigError: an impossible number of threads, an unknown preset, too few resamples, or two references.
        BundleError: not signed by that key, no such artifact, none could be run and one was refused,
            or an own photograph is altered.
        MissingDependencyError: no artifact could be run here.
        DataError: the classes differ, no label is known, too many images are undecodable, or there is no reference.
    """
    check_threads(threads)
    _check_asked(reference, against, preset)
    opened = open_source(bundle, require_signature=require_signature)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    _check_resamples(resamples, chosen)
    data = _open_data(dataset, labels, opened.manifest.classes)
    if not (data.labels != UNKNOWN).any():
        raise DataError(
            f"{data.name}: no label of its {len(data):,} images is known, and verify is about labels: give labelled "
            "images. What images without labels tell, `edgedistill check` says."
        )
    stored = None if against else _stored_reference(opened, data, reference)
    own = [] if stored else [named_artifact(opened, against) if against else _own_reference(opened, data)]

    collected = collect_outputs(
        opened,
        [*chosen, *(artifact for artifact in own if artifact not in chosen)],
        data,
        threads=threads,
        device=device,
        batch_size=batch_size,
        max_bad_share=max_bad_share,
        decode=decode,
        progress=progress,
    )
    ran = [artifact for artifact in chosen if artifact.name in collected.logits]
    if not ran:
        raise nothing_ran(opened, collected.failures)
    source, logits = stored or _computed_reference(own[0], collected, opened, asked=against is not None)
    comparable = np.isfinite(logits).all(axis=1)
    kept = collected.decoded & comparable
    if not kept.any():
        raise DataError(f"{data.name}: no image is left to compare with {source}.")
    expected = Outputs(logits[kept], sigmoid(logits[kept]), np.asarray(opened.manifest.thresholds))
    if against:
        expected = collected.outputs(own[0], opened.manifest, kept)

    outputs = [(artifact, collected.outputs(artifact, opened.manifest, kept)) for artifact in ran]
    mean_ap, records = judge_parity(
        [Judged(artifact, one, collected.golden.get(artifact.name)) for artifact, one in outputs],
        expected,
        Labelled([data.ids[n] for n in np.flatnonzero(kept)], data.labels[kept], data.classes),
        itself="" if stored else own[0].name,
        preset=preset or "",
        resamples=resamples,
    )
    compared = {record.name: record for record in records}
    unreferenced = np.flatnonzero(collected.decoded & ~comparable)
    report = ParityReport(
        bundle=opened.manifest.name,
        manifest_sha256=opened.manifest_sha256,
        dataset=data.name,
        fingerprint=data.fingerprint(),
        images=int(kept.sum()),
        decode=decode,
        skipped=(
            *(SkippedImageRecord(id=image.id, reason=image.reason) for image in collected.skipped),
            *(SkippedImageRecord(id=data.ids[i], reason="the reference has no logits for it") for i in unreferenced),
        ),
        classes_without_positives=int((~(data.labels[kept] == 1).any(axis=0)).sum()),
        reference=ReferenceParity(
            source=source, mean_ap=mean_ap, stored=stored is not None, artifact="" if stored else own[0].name
        ),
        artifacts=tuple(compared[a.name] if a.name in compared else _not_run(a, collected) for a in chosen),
        device=device_slug(),
        preset=preset or "",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    scores = SplitScores(
        data.labels[kept], expected.probabilities, {artifact.name: one.probabilities for artifact, one in outputs}
    )
    return save_or_say(bundle, "verify", report, samples=scores.samples())


def _check_asked(reference: np.ndarray | None, against: str | None, preset: str | None) -> None:
    """What cannot be meant, before anything runs."""
    if reference is not None and against is not None:
        raise ConfigError("`reference` and `against` are two references: give one.")
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: there are {', '.join(PRESETS)}.")


def _check_resamples(resamples: int, artifacts: Sequence[Artifact]) -> None:
    least = max(least_resamples(artifact.target.limits.confidence) for artifact in artifacts)
    if resamples and resamples < least:
        raise ConfigError(f"{resamples} resamples are too few for an interval: take {least} or more, or 0 for none.")


def _open_data(dataset: DatasetSource, labels: str | Path | None, classes: tuple[str, ...]) -> Dataset:
    if isinstance(dataset, Dataset):
        if labels is not None:
            raise ConfigError("`labels` goes with an image folder; an opened data set has its labels already.")
        return dataset.with_classes(classes)
    if labels is None:
        return open_dataset(dataset, classes=classes)
    if isinstance(dataset, Mapping):
        raise ConfigError("`labels` goes with an image folder; a data set's description names its labels itself.")
    return open_dataset(labels, images=dataset, classes=classes)


def _stored_reference(bundle: Bundle, data: Dataset, given: np.ndarray | None) -> tuple[str, np.ndarray] | None:
    """Logits that need not be computed here, with their source in words."""
    source = "the caller's logits"
    if given is None:
        source, given = "the training framework, stored at export", bundle.reference_logits(data.fingerprint())
    if given is None:
        return None
    if given.shape != data.labels.shape:
        raise DataError(f"{data.name}: the reference ({source}) is {given.shape}, the data set {data.labels.shape}.")
    return source, np.asarray(given, dtype=np.float32)


def _own_reference(bundle: Bundle, data: Dataset) -> Artifact:
    try:
        return next(one for one in select_artifacts(bundle, None, "onnxruntime", "fp32") if one.files)
    except (BundleError, StopIteration):
        raise DataError(
            f"{bundle.root}: holds neither the training framework's logits for {data.name!r} nor an onnxruntime fp32 "
            "artifact to compare with. Give `reference`, or export with the target onnxruntime-cpu-fp32."
        ) from None


def _computed_reference(
    artifact: Artifact, collected: Collected, bundle: Bundle, *, asked: bool
) -> tuple[str, np.ndarray]:
    if artifact.name in collected.failures:
        raise DataError(
            f"{bundle.root}: its reference {artifact.name} does not run here: "
            f"{collected.failures[artifact.name].reason} Mend that, or compare with another artifact by `against`."
        )
    stored = ", ".join(repr(reference.dataset) for reference in bundle.manifest.references)
    why = f"; the training framework's stored logits are for another split: {stored}" if stored and not asked else ""
    return f"{artifact.name} on this device{why}", collected.logits[artifact.name]


def _not_run(artifact: Artifact, collected: Collected) -> ArtifactParity:
    failure = collected.failures[artifact.name]
    return ArtifactParity(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        verdict="failed" if failure.refused else "could not run",
        reason=failure.reason,
        bytes=artifact.size,
    )
