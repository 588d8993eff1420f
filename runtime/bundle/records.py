"""manifest.json as values. docs/bundle.md lists every key, when it is written and what a runtime must do with it."""

from typing import Literal

import numpy as np

from ..preprocess import Preprocessing
from ..record import Record
from ..targets import Target
from ..tensors import TensorSpec
from .file_entry import FileEntry
from .lineage import Lineage
from .observed import Observed
from .operating_point import OperatingPoint

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"  # beside it, where somebody signed it: see `signature`
NO_SURROGATE = "no_surrogate"  # of an artifact's details: why nothing could be evaluated in its place

# On the wire a status is a string; these are the ones that export writes.
Status = Literal["verified", "built_not_run", "failed"]
InputKind = Literal["uint8_nhwc", "float32_nchw"]


class ExportParity(Record):
    """Difference of an artifact's outputs to the training framework's, measured when the bundle was made.

    Attributes:
        images: how many images were compared.
        max_abs_logit: the largest absolute difference of any logit. On a device the self-test allows a multiple of it
            and of the golden mean (`runtime.precisions`).
        mean_abs_logit: the mean absolute difference.
        golden_mean_abs_logit: the mean absolute difference on the golden images alone; None in bundles without.
        runner: what computed the outputs, e.g. "onnxruntime 1.32.0"; empty in bundles that did not record it.
        further: of each optional output, by name: the norm of the difference in units of the framework's norm.
    """

    images: int
    max_abs_logit: float
    mean_abs_logit: float
    golden_mean_abs_logit: float | None = None
    runner: str = ""
    further: dict[str, float] = {}


class Coverage(Record):
    """Which convolutions a backend computes in int8, counted in the graph that it executes and not in the file.

    Attributes:
        runner: whose graph was counted, e.g. "onnxruntime 1.32.0".
        convolutions: how many there are.
        int8: how many of them are computed in int8.
        in_float: names of the others.
    """

    runner: str
    convolutions: int
    int8: int
    in_float: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Of the convolutions that are computed in int8; 1 where there is none."""
        return self.int8 / self.convolutions if self.convolutions else 1.0


class CalibrationData(Record):
    """Which images the int8 artifacts owe their ranges to, and which selected the calibrator and the layers in float.

    Attributes:
        dataset: name of the split whose images measured ranges.
        fingerprint: Dataset.fingerprint() of those images as they are listed.
        images: how many of them could be decoded.
        held_out_dataset: name of the split whose images selected.
        held_out_fingerprint: the same of those.
        held_out_images: the same of those.
    """

    dataset: str
    fingerprint: str
    images: int
    held_out_dataset: str
    held_out_fingerprint: str
    held_out_images: int


class Artifact(Record):
    """One deploy config's result.

    Attributes:
        name: the deploy config's name, unique in the bundle.
        target: the whole deploy config.
        files: what the backend loads, the main file first; empty when the build failed.
        status: "verified" ran here and agreed; "built_not_run" could not run on the exporting machine; "failed".
        reason: why the status is not "verified".
        format: of the main file, e.g. "onnx", "openvino-ir", "tensorrt-engine"; empty in older bundles.
        parity: against the training framework, for what ran.
        surrogate: the same of what ran in its place where its device was not there: another device with the same file,
            or the same graph in another format; its runner says which. It proves the graph, not the device.
        coverage: of an int8 artifact that ran, itself or as a surrogate: what is computed in int8 there.
        operating_point: its own temperature and thresholds; None where it did not run at export, or there were no
            validation images: then the manifest's thresholds hold, at temperature 1.
        observed: its outputs on the validation images, summed up; None likewise.
        details: what a backend must know or a person may ask, e.g. TensorRT's flavour, version and target SMs.
    """

    name: str
    target: Target
    files: tuple[FileEntry, ...]
    status: str
    reason: str = ""
    format: str = ""
    parity: ExportParity | None = None
    surrogate: ExportParity | None = None
    coverage: Coverage | None = None
    operating_point: OperatingPoint | None = None
    observed: Observed | None = None
    details: dict[str, str] = {}

    @property
    def backend(self) -> str:
        return self.target.backend

    @property
    def precision(self) -> str:
        return self.target.precision

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.bytes for entry in self.files)

    def calibrated(self, logits: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """The probabilities float32 (N, C) that it reports, of its graph's outputs (N, C): at its temperature."""
        point = self.operating_point
        return probabilities if point is None else point.probabilities(logits)


class GoldenImage(Record):
    """A self-test image as the camera or dataset wrote it, with the training framework's logits for it."""

    file: FileEntry
    logits: tuple[float, ...]


class Reference(Record):
    """The training framework's logits on an evaluation split.

    Attributes:
        file: a .npy of float32 (N, C); the rows of images that could not be decoded are NaN.
        dataset: the split's name.
        fingerprint: Dataset.fingerprint() of the split as it is listed; verify uses the logits for that split only.
    """

    file: FileEntry
    dataset: str
    fingerprint: str


class Provenance(Record):
    """Where the student came from and what built the artifacts.

    Attributes:
        framework: what computed the original network's logits, which everything is compared with: e.g. "torch 2.14.1",
            or "onnxruntime 1.32.0" where an ONNX file was exported; empty in bundles that did not record it.
        request_sha256: over all that was asked of export, so that the same request again does nothing; empty where the
            caller did not say.
    """

    edgedistill: str
    created: str
    model: str
    checkpoint_sha256: str
    recipe_sha256: str = ""
    framework: str = ""
    request_sha256: str = ""
    toolchain: dict[str, str] = {}


class Manifest(Record):
    """manifest.json: immutable after export.

    Attributes:
        input: what the graph takes; "uint8_nhwc" has normalisation and layout inside the graph.
        outputs: "logits" and "probabilities" (batch, C), and optional ones, whose `kind` says what they are.
        thresholds: per class, in the order of `classes`: the probability at which an artifact without an operating
            point of its own reports a label.
        calibration: what the int8 artifacts were calibrated on; None where there is none.
        lineage: what the network descends from; None in bundles that did not record it.
        documents: files for people: README.md, and a script that shows how to use the graph.
    """

    schema_version: int
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    input: InputKind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    thresholds: tuple[float, ...]
    provenance: Provenance
    artifacts: tuple[Artifact, ...]
    selftest: tuple[GoldenImage, ...] = ()
    references: tuple[Reference, ...] = ()
    calibration: CalibrationData | None = None
    lineage: Lineage | None = None
    documents: tuple[FileEntry, ...] = ()

    def thresholds_of(self, artifact: Artifact) -> tuple[float, ...]:
        """The thresholds (C,) that an artifact's labels are reported at: its own, or the bundle's."""
        return self.thresholds if artifact.operating_point is None else artifact.operating_point.thresholds

    def files(self) -> list[FileEntry]:
        """Every file that the manifest vouches for."""
        entries = [entry for artifact in self.artifacts for entry in artifact.files]
        entries += [file for one in self.artifacts if one.observed is not None for file in one.observed.files()]
        entries += [golden.file for golden in self.selftest]
        entries += [reference.file for reference in self.references]
        return [*entries, *self.documents]
