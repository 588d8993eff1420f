"""What `export` was given, checked in a second: importing torch takes ten, and comes after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgedistill.runtime.errors import ConfigError, DataError
from edgedistill.runtime.image_files import check_file

from .asked_network import AskedNetwork
from .extras import register_training_formats
from .photos import find_photos

if TYPE_CHECKING:
    from edgedistill.export.judged_apart import Apart
    from edgedistill.runtime import Dataset
    from edgedistill.runtime.bundle import Bundle, InputKind
    from edgedistill.runtime.metrics import ThresholdRule
    from edgedistill.runtime.targets import Target

SELFTEST_IMAGES = 4


class ExportRequest(NamedTuple):
    """What is to be exported.

    Attributes:
        targets: checked deploy configs.
        golden: images that travel as proof.
        data: the labelled images, if any.
        apart: training images for int8 targets and images that thresholds are estimated on, if any.
        thresholds: by which rule.
        request: digest of it all, see `export.repeating`.
        made: the bundle that this request has made already, if it stands there.
        unpacked: it lacks the .zip that is asked for.
    """

    targets: list["Target"]
    golden: list[Path]
    data: "Dataset | None"
    apart: "Apart"
    thresholds: "ThresholdRule"
    request: str
    made: "Bundle | None"
    unpacked: bool


def check_export(
    network: AskedNetwork,
    targets: Sequence[str],
    out: Path,
    *,
    data: str | None,
    images: Path | None,
    calibration: str | None = None,
    calibration_images: int = 512,
    validation: str | None = None,
    validation_images: int = 2000,
    thresholds: str | None = None,
    selftest: Sequence[Path],
    input: "InputKind" = "uint8_nhwc",
    opset: int | None = None,
    outputs: Sequence[str] = (),
    zip: bool = False,
) -> ExportRequest:
    """Check everything that can be checked without loading the network.

    Raises:
        ConfigError: a target is unknown or impossible, or the options do not go together.
        DataError: an image cannot be read, or the data set is faulty or has other classes.
        ExportError: at `out` stands something that is not ours to replace.
    """
    from edgedistill.export.judged_apart import Apart, set_apart
    from edgedistill.export.operating_points import choose_validation
    from edgedistill.export.opset import check_opset
    from edgedistill.export.repeating import made_already, request_digest
    from edgedistill.export.replaceable import refuse_foreign, zip_beside
    from edgedistill.export.requested import check_outputs, require_calibration, resolve_targets
    from edgedistill.runtime.datasets import open_dataset
    from edgedistill.runtime.metrics import threshold_rule
    from edgedistill.runtime.preprocess import open_image

    if images is not None and data is None and calibration is None and validation is None:
        raise ConfigError(
            f"--images {images}: is the image folder of --data, --calibration and --validation; give one of them too."
        )
    rule = threshold_rule(thresholds or "best_f1")
    if thresholds is not None and validation is None:
        raise ConfigError(
            f"--thresholds {thresholds}: they are estimated on validation images: give them with --validation DATA. "
            "Without any the network's own thresholds hold."
        )
    resolved = resolve_targets(targets)
    check_opset(opset)
    require_calibration(resolved, given=calibration is not None)
    check_outputs(outputs)
    refuse_foreign(out, zip=zip)
    classes = network.classes
    for path in selftest:
        problem = check_file(path).problem
        if problem:
            raise DataError(problem)
        open_image(path)
    register_training_formats()
    labelled = None if data is None else open_dataset(data, images=images, classes=classes)
    apart = set_apart(
        None if calibration is None else open_calibration(calibration, images, classes),
        None if validation is None else open_dataset(validation, images=images, classes=classes),
        [] if labelled is None else [labelled],
        images=calibration_images,
    )
    if apart.validation is not None:
        apart = Apart(apart.calibration, choose_validation(apart.validation, validation_images))
    request = request_digest(
        network.sha256,
        resolved,
        input=input,
        opset=opset,
        outputs=outputs,
        golden=list(selftest) or SELFTEST_IMAGES,
        references=[] if labelled is None else [labelled],
        calibration=apart.calibration,
        validation=apart.validation,
        thresholds=rule,
    )
    made = made_already(out, request)
    unpacked = made is not None and zip and made_already(zip_beside(out), request) is None
    return ExportRequest(resolved, list(selftest), labelled, apart, rule, request, made, unpacked)


def open_calibration(given: str, images: Path | None, classes: Sequence[str]) -> "Dataset":
    """Training images with labels, or a folder of images without any, which calibrates all the same.

    Raises:
        DataError: there is no such data set, or no image in the folder.
    """
    import numpy as np

    from edgedistill.runtime.datasets import FORMATS, UNKNOWN, Dataset, open_dataset

    folder = Path(given)
    if not folder.is_dir() or any(FORMATS.get(name).recognise(folder) is not None for name in FORMATS.names()):
        return open_dataset(given, images=images, classes=classes)
    photos = [photo.path for photo in find_photos([given]) if not photo.problem]
    if not photos:
        raise DataError(f"{folder}: holds no image to calibrate on.")
    names = tuple(str(photo) for photo in photos)
    labels = np.full((len(photos), len(classes)), UNKNOWN, np.int8)
    return Dataset(f"images of {folder.name}", tuple(classes), names, photos, labels)
