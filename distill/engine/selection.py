"""Which network is kept: those that may be are evaluated, and the best so far replaces the checkpoint."""

import math
from typing import Any

import msgspec
import torch

from ...runtime import metrics
from ...runtime.errors import EdgedistillError
from ..checkpoint import save_student
from ..models import Classifier
from .averaging import Weights, refresh_batchnorm
from .evaluate import NotFiniteError, predict_logits
from .job import Job
from .prepared import Prepared
from .world import World


def keep_best(job: Job, prepared: Prepared, world: World) -> dict[str, Any]:
    """Score the networks that may be kept after an epoch; a better mAP replaces the checkpoint.

    Returns:
        What the epoch's record says of it: `val_mAP` and `val_AP` of the best, `weights`, whose they are if not the
        trained ones, and `val_mAP_of` each where there are several.

    Raises:
        EdgedistillError: logits are not finite.
        DataError: too many images cannot be decoded.
    """
    state, found = prepared.state, {}
    for weights, network in state.candidates(job.settings.keep).items():
        if weights == "swa":
            torch.manual_seed(job.seed)  # of dropout
            refresh_batchnorm(network, state.model, prepared.images())
        found[weights] = _score(network, job, prepared, world)
    best: Weights = max(found, key=lambda weights: found[weights][0])
    record: dict[str, Any] = {}
    if len(found) > 1:
        record["val_mAP_of"] = {weights: round(score, 4) for weights, (score, _) in found.items()}
    record["val_mAP"], record["val_AP"] = found[best]
    return record | ({} if best == "raw" else {"weights": best})


def _score(network: Classifier, job: Job, prepared: Prepared, world: World) -> tuple[float, dict[str, float]]:
    """MAP and the AP of each class on the validation part; a better mAP replaces the checkpoint."""
    state = prepared.state
    # Each process has its own BatchNorm statistics; the network that is scored is the one that rank 0 saves.
    world.share(network.buffers())
    try:
        outputs = predict_logits(
            network,
            job.validation,
            job.card.preprocessing,
            max_bad_share=job.max_bad_share,
            world=world,
            decoded=prepared.validation,
        )
    except NotFiniteError as error:
        kept = f"the best checkpoint so far is kept, {job.folder / job.checkpoint}" if state.best >= 0 else None
        raise EdgedistillError(
            f"{job.title}: the training diverged in epoch {state.epoch} of {job.settings.epochs}, at learning rate "
            f"{state.rate:.3g} (`lr` {job.settings.lr:g}): {error} Lower `lr`, or set `clip_grad_norm: 1.0`; "
            f"{kept or 'no checkpoint was good enough to be kept'}."
        ) from error
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    scored = zip(job.card.classes, found["AP"].tolist(), strict=True)
    per_class = {name: round(ap, 4) for name, ap in scored if not math.isnan(ap)}
    if found["mAP"] > state.best:
        state.best = found["mAP"]
        thresholds = metrics.best_thresholds(outputs.scores, outputs.dataset.labels)
        card = msgspec.structs.replace(
            job.card,
            thresholds=tuple(float(t) for t in thresholds),
            metrics={key: float(found[key]) for key in ("mAP", "OF1", "CF1")} | {"epoch": float(state.epoch)},
        )
        path = job.folder / job.checkpoint
        world.together(lambda: save_student(path, network, card) if world.is_main else None)
    return found["mAP"], per_class
