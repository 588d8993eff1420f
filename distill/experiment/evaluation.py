"""What a checkpoint says about the test split: the papers' tables, calibration, retrieval, its teacher beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime import metrics
from ...runtime.datasets import Dataset
from ...runtime.datasets.reading import first_duplicate, unknown_label
from ...runtime.errors import CheckpointError, ConfigError
from .. import metrics as training_metrics
from ..checkpoint import Student, load_student
from ..engine import Outputs
from ..engine.features import Features
from ..engine.views_at_test import ViewAtTest
from .experiment import Experiment
from .teachers import Teacher as Checkpoint
from .trainings import Role

_MOST_PAIRS = 10


@dataclass(frozen=True)
class LabelPair:
    """Two labels in the eyes of the ground truth, the model, and its teacher where there is one.

    Attributes:
        labels: the two classes.
        correlation: Pearson's, over the test images, by who says it: "truth", "teacher", "model"; NaN where a label
            does not vary.
        dependency: the mean square difference (MDKD Eq. 4), by who says it.
    """

    labels: tuple[str, str]
    correlation: dict[str, float]
    dependency: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """The model beside a teacher.

    Attributes:
        checkpoint: the teacher's.
        mAP: its own on the same images, in points.
        correlation_difference: float64 (C, C), the model's label correlations minus the teacher's (L2D Figure 5).
        mean_abs_difference: the mean over the pairs of different labels of its absolute values.
    """

    checkpoint: str
    mAP: float  # noqa: N815 (as everywhere in the JSON)
    correlation_difference: np.ndarray
    mean_abs_difference: float


@dataclass(frozen=True)
class Evaluation:
    """All that was found about a checkpoint.

    Attributes:
        checkpoint: its file or folder.
        data: the test images that could be decoded.
        found: `metrics.evaluate` on them.
        calibration_error: ECE over all labels together, in points.
        classwise_error: the mean over the classes of each one's own (UD Eq. 2), in points.
        bins: confidence against accuracy.
        difficult: `metrics.evaluate` on the images with a difficult label (UD Table 2); None where there is none.
        retrieval: precision at 1..K on the model's features, where it was asked for.
        teacher: where it was asked for.
        pairs: of the labels that were asked for; else those that differ most from the teacher.
        skipped: one line for each image that could not be decoded.
        tta: views of each image over which the model's logits are averaged, beside the image as it is; the teacher's
            never are.
    """

    checkpoint: Path
    data: Dataset
    found: dict[str, Any]
    calibration_error: float
    classwise_error: float
    bins: metrics.CalibrationBins
    difficult: dict[str, Any] | None
    retrieval: training_metrics.RetrievalPrecision | None
    teacher: Comparison | None
    pairs: list[LabelPair]
    skipped: list[str]
    tta: tuple[ViewAtTest, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For machines: the metrics at the top, the rest below its own key."""
        return {
            "checkpoint": str(self.checkpoint),
            "data": self.data.name,
            **self.found,
            "class_names": self.data.classes,
            "ECE": self.calibration_error,
            "classwise_ECE": self.classwise_error,
            "calibration": self.bins._asdict(),
            "difficult": self.difficult,
            "retrieval": None if self.retrieval is None else self.retrieval._asdict(),
            "teacher": None if self.teacher is None else asdict(self.teacher),
            "label_pairs": [asdict(pair) for pair in self.pairs],
            "skipped": self.skipped,
            "tta": list(self.tta),
        }


def finished_checkpoint(experiment: Experiment, role: Role) -> Checkpoint:
    """What the recipe's run has trained for a role; nothing is trained here.

    Raises:
        ConfigError: the recipe has no teacher, or its sub-teachers are not all trained.
        CheckpointError: it is not trained yet.
    """
    recipe, path = experiment.recipe, experiment.checkpoint(role)
    if role != "teacher":
        return _trained(path, experiment, role)
    where = experiment.loaded.where
    if experiment.loaded.method().trains_teachers:
        sub_teachers = experiment.sub_teachers
        if not sub_teachers.folder.is_dir() or sub_teachers.left():
            raise ConfigError(
                f"{where}: its sub-teachers are not all trained; `edgedistill train {where}` trains them."
            )
        return sub_teachers.merged()
    if recipe.teacher is None:
        raise ConfigError(f"{where}: the recipe has no teacher.")
    if recipe.teacher.train is None:  # one of other classes would be read back with those
        given = experiment.untrained_teacher()
        assert given is not None
        return given
    return _trained(path, experiment, role)


def _trained(path: Path, experiment: Experiment, role: Role) -> Student:
    if path.is_file():
        return load_student(path)
    loaded = experiment.loaded
    if role == "baseline" and not loaded.has_teacher:
        command = loaded.command("train")
    elif role == "baseline":
        command = loaded.command("run") + ("" if loaded.recipe.baseline else " baseline=true")
    else:
        command = loaded.command("train" if role == "teacher" else "distill")
    raise CheckpointError(f"{path}: no such checkpoint. `{command}` trains it.")


def evaluate_checkpoint(
    experiment: Experiment,
    checkpoint: Checkpoint,
    *,
    threshold: float | Literal["oracle_k", "best"] = 0.5,
    top_k: int | None = None,
    retrieval: int | None = None,
    teacher: Checkpoint | None = None,
    labels: Sequence[str] = (),
    tta: Sequence[ViewAtTest] = (),
) -> Evaluation:
    """Run a checkpoint over the recipe's test split and say all that is asked for.

    Args:
        experiment: whose test split it is.
        checkpoint: the model.
        threshold: see `metrics.evaluate`; also "best": per class, as chosen on the validation images in training.
        top_k: see `metrics.evaluate`.
        retrieval: K of the precision at 1..K; None for none.
        teacher: to compare label correlations with.
        tta: views of each image over which the model's logits are averaged, see `views_at_test`.
        labels: classes whose pairs are to be shown, at least two; none for the pairs that differ most from the teacher.

    Raises:
        ConfigError: an option does not fit the checkpoint or the data.
        DataError: a class is unknown, or the checkpoint's classes are not those of the data.
    """
    classes = checkpoint.card.classes
    if labels:
        _check_labels(labels, classes)
    chosen = _best_thresholds(checkpoint) if threshold == "best" else threshold
    if tta and retrieval is not None:
        raise ConfigError("--tta averages logits, and --retrieval reads features: give one of them.")
    outputs = experiment.test(checkpoint, tta) if retrieval is None else experiment.features(checkpoint)
    scores, data = outputs.scores, outputs.dataset
    taught_by = None if teacher is None else experiment.test(teacher)
    comparison = None if taught_by is None or teacher is None else _compare(outputs, taught_by, str(teacher.path))
    rows = None if data.difficult is None else data.difficult.any(axis=1)
    return Evaluation(
        checkpoint=checkpoint.path,
        data=data,
        found=metrics.evaluate(scores, data.labels, chosen, top_k),
        calibration_error=100 * metrics.expected_calibration_error(scores, data.labels),
        classwise_error=100 * metrics.classwise_calibration_error(scores, data.labels),
        bins=metrics.calibration_bins(scores, data.labels),
        difficult=metrics.evaluate(scores[rows], data.labels[rows], chosen, top_k)
        if rows is not None and rows.any()
        else None,
        retrieval=_retrieve(outputs.pooled, data, retrieval) if isinstance(outputs, Features) and retrieval else None,
        teacher=comparison,
        pairs=_pairs(outputs, taught_by, comparison, labels),
        skipped=outputs.skipped,
        tta=tuple(tta),
    )


def _best_thresholds(checkpoint: Checkpoint) -> np.ndarray:
    chosen = np.asarray(checkpoint.card.thresholds)
    if (chosen == 0.5).all():  # what a card holds before a training chooses
        raise ConfigError(f"{checkpoint.path}: holds no thresholds chosen on validation images; give --threshold 0.5.")
    return chosen


def _check_labels(labels: Sequence[str], classes: Sequence[str]) -> None:
    for name in labels:
        if name not in classes:
            raise unknown_label("--labels", name, classes, "Separate the labels by commas.")
    if len(labels) < 2 or first_duplicate(labels) is not None:
        raise ConfigError(f"--labels {','.join(labels)}: give at least two different labels.")


def _retrieve(pooled: np.ndarray, data: Dataset, most: int) -> training_metrics.RetrievalPrecision:
    if most >= len(data):
        raise ConfigError(
            f"--retrieval {most}: {data.name} has {len(data)} images, so that {len(data) - 1} can be found."
        )
    return training_metrics.retrieval_precision(training_metrics.nearest_images(pooled, most), data.labels)


def _common(model: Outputs, teacher: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of both, and labels, for the images that both could decode and in the model's class order."""
    columns = [teacher.dataset.classes.index(name) for name in model.dataset.classes]
    place = {name: row for row, name in enumerate(teacher.dataset.ids)}
    shared = [row for row, name in enumerate(model.dataset.ids) if name in place]
    rows = [place[model.dataset.ids[row]] for row in shared]
    return model.scores[shared], teacher.scores[rows][:, columns], model.dataset.labels[shared]


def _compare(model: Outputs, teacher: Outputs, checkpoint: str) -> Comparison:
    said, taught, labels = _common(model, teacher)
    difference = training_metrics.correlation_difference(said, taught)
    apart = np.abs(difference[np.triu_indices(len(difference), k=1)])
    known = apart[~np.isnan(apart)]
    return Comparison(
        checkpoint=checkpoint,
        mAP=metrics.evaluate(taught, labels)["mAP"],
        correlation_difference=difference,
        mean_abs_difference=float(known.mean()) if known.size else float("nan"),
    )


def _pairs(
    model: Outputs, teacher: Outputs | None, comparison: Comparison | None, labels: Sequence[str]
) -> list[LabelPair]:
    classes = model.dataset.classes
    if labels:
        chosen = list(combinations([classes.index(name) for name in labels], 2))
    elif comparison is not None:
        chosen = training_metrics.most_different_pairs(comparison.correlation_difference, _MOST_PAIRS)
    else:
        return []
    if teacher is None:
        said, truth = model.scores, model.dataset.labels
        sayers: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    else:
        said, taught, truth = _common(model, teacher)
        sayers = {"teacher": (taught, None)}
    sayers = {"truth": (truth == 1, truth >= 0), **sayers, "model": (said, None)}
    correlation = {who: training_metrics.label_correlation(*values) for who, values in sayers.items()}
    dependency = {who: training_metrics.label_pair_dependency(*values) for who, values in sayers.items()}
    return [
        LabelPair(
            (classes[k], classes[m]),
            {who: float(matrix[k, m]) for who, matrix in correlation.items()},
            {who: float(matrix[k, m]) for who, matrix in dependency.items()},
        )
        for k, m in chosen
    ]
