"""Does a bundle do on this device's photographs what it did before, as far as can be told without labels?"""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..batches import MAX_BAD_SHARE
from ..bundle.loose import open_source
from ..bundle.opened import Bundle
from ..bundle.results import save_or_say
from ..bundle.selection import select_artifacts
from ..datasets.folder import image_names
from ..device import device_slug
from ..errors import ConfigError, DataError
from ..images import ImageSource
from ..parity.report import SkippedImageRecord
from ..predictor import load
from ..predictor.given import Images, each_image
from ..predictor.loading import load_best
from ..targets import check_threads
from .choosing import choose_to_label
from .conclusions import conclusions
from .drift import compare_with_recorded
from .limits import check_limits, judge
from .outside import Scale, read_outside
from .recorded import NOTHING, read_recorded
from .reference import agreement_with, artifact_or_file, reference_of, require_another
from .report import CheckReport
from .scored import score_photographs

TO_LABEL = 50


def check(
    bundle: Bundle | str | Path,
    images: Images,
    *,
    against: str | Path | None = None,
    scale: Scale | None = None,
    artifact: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    to_label: int = TO_LABEL,
    max_drift: float | None = None,
    max_changed: float | None = None,
    confidence: float = 0.95,
    batch_size: int = 32,
    max_bad_share: float = MAX_BAD_SHARE,
    progress: Callable[[int, int], None] | None = None,
    require_signature: str | Path | None = None,
) -> CheckReport:
    """Check a bundle on photographs that nobody has labelled.

        report = runtime.check("bundle", "photos", against="onnx/fp32")
        print(report.conclusions)

    Drift: each class's scores, and the embeddings where the graph gives them, beside what the bundle recorded on its
    validation images, or beside the training framework's scores of a split that it holds. Agreement: with another
    artifact or with scores from elsewhere. And the photographs that are worth labelling next. The report is saved below
    results/<device>/.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        images: the path of a folder; or images as `Predictor.predict` takes them, in memory or by their paths.
        against: an artifact's name, or as in "onnx/fp32", or a .csv, .npz or .parquet file of scores whose ids are the
            photographs' paths from the folder ("0", "1", ... of images without a folder).
        scale: what the file's scores are; None: probabilities where all lie within 0 and 1.
        artifact: the artifact that is checked; by default the one that `load` takes, of those that `against` does not
            name.
        backend: only this backend's.
        precision: only this precision's.
        threads: intra-op threads of the backends, overriding the deploy configs.
        device: the backends' device word, overriding the deploy configs.
        to_label: how many photographs to name for labelling.
        max_drift: a gate: the largest distance (0-1) that any class's scores may have from the recorded ones.
        max_changed: a gate: percent of photographs that may have other labels than by the reference.
        confidence: of all intervals and tests.
        batch_size: images per inference.
        max_bad_share: share of undecodable images that is tolerated.
        progress: called with (images done, images in all).
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Raises:
        ConfigError: an impossible number, a gate on what is not compared, or an artifact against itself.
        BundleError: not signed by that key, no such artifact, an altered file, or outputs that are no numbers.
        DataError: no image, too many undecodable ones, or a scores file that does not fit.
        MissingDependencyError: nothing could be run here.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence {confidence:g} must lie between 0 and 1, e.g. 0.95.")
    if to_label < 0:
        raise ConfigError(f"to_label {to_label}: needs 0 or more.")
    check_limits(max_drift, max_changed, compared=against is not None)
    check_threads(threads)
    opened = open_source(bundle, require_signature=require_signature)
    where, ids, sources = _listed(images)
    named = artifact_or_file(opened, against)
    with ExitStack() as stack:
        matching = select_artifacts(opened, None if artifact is None else [artifact], backend, precision)
        others = [one for one in matching if one.name != named]  # whatever is faster, it is the reference
        first = load_best(opened, others or matching, threads, device)
        predictors = [stack.enter_context(first)]
        if isinstance(named, str):
            require_another(opened, first.artifact.name, named)
            other = load(opened, name=named, threads=threads, device=device)
            predictors.append(stack.enter_context(other))
        recorded = read_recorded(opened, first.artifact)
        if max_drift is not None and recorded is None:
            raise ConfigError(f"max_drift: {opened.root}: {NOTHING}.")
        embedding = None if recorded is None else recorded.embedding
        outside = None  # what is wrong with it is told before anything runs
        if isinstance(named, Path):
            thresholds = np.asarray(opened.manifest.thresholds_of(first.artifact))
            outside = read_outside(named, ids, opened.manifest.classes, thresholds, scale)
        photographs = score_photographs(
            predictors,
            sources,
            ids,
            recorded=embedding,
            batch_size=batch_size,
            max_bad_share=max_bad_share,
            progress=progress,
        )
    scored, classes = photographs.scored[0], opened.manifest.classes
    reference = reference_of(named, outside, photographs)
    agreement = agreement_with(scored, reference, classes, confidence)
    drift = None if recorded is None else compare_with_recorded(scored, recorded, classes, confidence)
    no_drift = NOTHING if drift is None else ""
    report = CheckReport(
        bundle=opened.manifest.name,
        manifest_sha256=opened.manifest_sha256,
        artifact=first.artifact.name,
        effective=dict(first.effective),
        photographs=where,
        images=len(photographs.ids),
        skipped=tuple(SkippedImageRecord(id=image.id, reason=image.reason) for image in photographs.skipped),
        agreement=agreement,
        drift=drift,
        no_drift=no_drift,
        to_label=choose_to_label(
            scored, None if reference is None else reference.scored, photographs.ids, classes, to_label
        ),
        conclusions=conclusions(drift, no_drift, agreement, len(photographs.ids)),
        gates=judge(drift, agreement, len(photographs.ids), max_drift, max_changed),
        device=device_slug(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return save_or_say(bundle, "check", report)


def _listed(images: Images) -> tuple[str, tuple[str, ...], list[ImageSource]]:
    """Where they are in words, their names, and the images."""
    if isinstance(images, str | Path):
        folder = Path(images)
        names = image_names(folder)
        return str(folder), names, [folder / name for name in names]
    sources = list(each_image(images))
    if not sources:
        raise DataError("there is no image to check.")
    where = "1 image" if len(sources) == 1 else f"{len(sources)} images"
    return where, tuple(map(str, range(len(sources)))), sources
