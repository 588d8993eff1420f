"""What makes an artifact must not judge it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..runtime.datasets.base import Dataset
from ..runtime.datasets.overlap import TOLERATED, shared_images
from ..runtime.errors import ConfigError
from .quantization.calibration import IMAGES, Calibration, choose_calibration

_log = logging.getLogger("edgedistill")


@dataclass(frozen=True)
class Apart:
    """What `set_apart` returns, and an export takes without searching for shared images again.

    Attributes:
        calibration: of int8 targets, if any.
        validation: what thresholds are estimated on, if anything; labelled images.
    """

    calibration: Calibration | None = None
    validation: Dataset | None = None


def apart_from(used: Dataset, judged_on: Dataset) -> Dataset:
    """`used` without the few images on which the bundle is judged; published data sets hold some twice.

    Args:
        used: what calibrates, or estimates thresholds.
        judged_on: the test split.

    Raises:
        ConfigError: they are more than a few.
    """
    shared = shared_images(used, judged_on)
    if not len(shared):
        return used
    example = used.ids[shared[0]]
    if len(shared) > TOLERATED * len(used):
        raise ConfigError(
            f"{used.name}: {len(shared)} of its images are also in {judged_on.name}, on which the bundle is judged "
            f"({example}): calibrate on training images and estimate thresholds on validation images, never on the "
            "test split."
        )
    _log.warning(
        "%s: %d of its %d images are also in %s, on which the bundle is judged (%s): they are left out.",
        *(used.name, len(shared), len(used), judged_on.name, example),
    )
    return used.subset(np.setdiff1d(np.arange(len(used)), shared))


def apart_from_ranges(validation: Dataset, calibration: Calibration) -> Dataset:
    """`validation` without the images that measure int8's ranges, on which int8 is better than on new ones.

    Those that are held out of the calibration stay: they choose among int8 graphs, as they choose the thresholds.

    Raises:
        ConfigError: nothing is left.
    """
    shared = shared_images(validation, calibration.ranges)
    if not len(shared):
        return validation
    if len(shared) == len(validation):
        raise ConfigError(
            f"{validation.name}: all of its images measure int8's ranges, so that none is left to estimate thresholds "
            "and temperatures on: give validation images, or fewer calibration images."
        )
    _log.warning(
        "%s: %d of its %d images measure int8's ranges: thresholds and temperatures are estimated without them.",
        *(validation.name, len(shared), len(validation)),
    )
    return validation.subset(np.setdiff1d(np.arange(len(validation)), shared))


def set_apart(
    calibration: "Calibration | Dataset | Apart | None",
    validation: Dataset | None,
    judged_on: Sequence[Dataset],
    *,
    images: int = IMAGES,
) -> Apart:
    """Both without the images of the splits that judge, and the validation without those that measure int8's ranges.

    Of a data set a calibration of `images` images is chosen. What this function returned is returned as it is.

    Raises:
        ConfigError: the data sets share more than a few images, nothing is left, or validation images are given twice.
    """
    if isinstance(calibration, Apart):
        if validation is not None:
            raise ConfigError("`validation` is given twice: what `set_apart` returned holds the validation images too.")
        return calibration
    for split in judged_on:
        validation = None if validation is None else apart_from(validation, split)
        if isinstance(calibration, Dataset):
            calibration = apart_from(calibration, split)
        elif calibration is not None:
            calibration = Calibration(apart_from(calibration.ranges, split), apart_from(calibration.held_out, split))
    if isinstance(calibration, Dataset):
        calibration = choose_calibration(calibration, images)
    if calibration is not None and validation is not None:
        validation = apart_from_ranges(validation, calibration)
    return Apart(calibration, validation)
