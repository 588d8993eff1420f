"""The whole export: a network and its targets in, one bundle out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..runtime.bundle import (
    MANIFEST,
    SCHEMA_VERSION,
    Bundle,
    InputKind,
    Lineage,
    Manifest,
    encode_manifest,
    open_bundle,
)
from ..runtime.bundle.file_facts import FileFacts, encode_facts
from ..runtime.bundle.manifest import decode_manifest
from ..runtime.bundle.storage import FolderStorage
from ..runtime.datasets.base import Dataset
from ..runtime.files import write_atomic
from ..runtime.metrics import ThresholdRule, threshold_rule
from ..runtime.preprocess import ImageSource
from ..runtime.targets import Target
from .building import build_artifacts, keep_listed_files, needed_conversions
from .conversions import Ingredients
from .conversions.onnx_check import require_modules
from .documents import with_documents
from .given import ReferenceLogits, as_pairs, as_source, check_given, require_validation
from .golden import write_golden
from .judged_apart import Apart, set_apart
from .lineage import own_lineage
from .operating_points import with_operating_points
from .packages.zip import pack_beside
from .probes import make_probes
from .provenance import make_provenance
from .quantization.calibration import Calibration, decode_calibration
from .references import write_references
from .replaceable import refuse_foreign
from .requested import int8_gates, require_calibration, resolve_targets
from .signature import allowed_batch
from .sources import NetworkCard, Source
from .staging import staged_bundle
from .steps import Progress, Steps

if TYPE_CHECKING:
    from ..distill.checkpoint import Student


def export_bundle(
    student: "Source | Student | str | Path",
    targets: Sequence[Target | str | Path],
    out: str | Path,
    *,
    golden: Sequence[ImageSource] = (),
    reference: ReferenceLogits | Sequence[ReferenceLogits] = (),
    calibration: Calibration | Dataset | Apart | None = None,
    validation: Dataset | None = None,
    thresholds: ThresholdRule | str | float | None = None,
    input: InputKind = "uint8_nhwc",
    opset: int | None = None,
    outputs: Sequence[str] = (),
    name: str | None = None,
    lineage: Lineage | None = None,
    zip: bool = False,
    request: str = "",
    progress: Progress | None = None,
) -> Bundle:
    """Build every target's artifact of a network, check what runs here against it, and write the bundle.

    A target that cannot be built, or whose outputs are wrong, is recorded as "failed" with its reason and without
    files; one that this machine cannot run as "built_not_run".

    Args:
        student: a loaded checkpoint or its path; or any network: `from_module`, `from_library`, `from_onnx`.
        targets: deploy configs: values, names of packaged ones, or paths of .yaml files.
        out: the bundle's folder. A bundle that stands there is replaced once the new one is complete; what is not ours
            never is.
        golden: a few images for the self-test, see `golden.write_golden`.
        reference: the network's logits float32 (N, C) on one or more splits, which `verify` compares with on devices
            that have nothing of what trained it.
        calibration: training images for int8 targets, never those of `reference`: a data set, of which
            `choose_calibration` takes a balanced sample, or what it returned. What `judged_apart.set_apart` returned
            holds the validation images too, and is taken as it is.
        validation: labelled images, never those of `reference`, on which each artifact's own thresholds and temperature
            are estimated, see `operating_points.choose_validation`; without any the network's own hold.
        thresholds: how they are chosen on `validation`: a probability such as 0.5, "best_f1", which it is when absent,
            "precision=0.9", "recall=0.8".
        input: "uint8_nhwc" has normalisation inside the graph; "float32_nchw" leaves it to the app.
        opset: the operator set of ONNX files, see `opset.check_opset`; the default of what writes them when absent.
        outputs: further ones than logits and probabilities: "embedding", "saliency"; see `optional_outputs`.
        name: of the bundle; the network's own when absent.
        lineage: what the network descends from, itself last; the network alone when absent.
        zip: also write `<out>.zip`, in the place of a bundle's or of nothing.
        request: recorded, see `repeating.request_digest`.
        progress: called with (step, number of steps, what begins) at each step.

    Raises:
        ConfigError: an unknown, impossible or repeated target or output, an impossible operator set, an int8 target
            without calibration, one calibrated on the images of `reference`, or thresholds estimated on them, on none,
            or by an unknown rule.
        CheckpointError, DataError: the network, an image or a split cannot be used.
        MissingDependencyError: the ONNX toolchain, which every target needs, is not installed.
        ExportError: no target could be built, as when the network cannot be traced; or something that is not ours
            stands in the way.
    """
    out = Path(out)
    wanted = resolve_targets([targets] if isinstance(targets, str) else targets)
    check_given(outputs, opset, calibration=calibration, validation=validation)
    rule = threshold_rule("best_f1" if thresholds is None else str(thresholds))
    references = as_pairs(reference)
    limits = int8_gates(wanted)
    apart = set_apart(calibration, validation, [split for split, _ in references])
    require_calibration(wanted, given=apart.calibration is not None)
    require_validation(thresholds, apart)
    refuse_foreign(out, zip=zip)
    source = as_source(student)
    require_modules(*source.toolchain)
    source = source.giving(outputs)
    card, image = source.card, source.image(input)
    resolved = [msgspec.structs.replace(one, batch=allowed_batch(image, one.batch)) for one in wanted]
    more = (apart.calibration is not None) + (apart.validation is not None) + zip
    step = Steps(progress, total=2 + more + len(needed_conversions(resolved)) + len(resolved))

    with staged_bundle(out, zip=zip) as staging:
        root, scratch = staging.root, staging.scratch
        step("self-test images and reference logits")
        golden_records, golden_images = write_golden(golden, source, root)
        reference_records, samples = write_references(references, source, root)
        images = np.concatenate([golden_images, samples])
        probes = make_probes(source, images, input, golden=len(golden_images))

        facts = _facts(card, name, input)
        ingredients = Ingredients(root, scratch, source, input, probes, facts, opset=opset, say=step.detail)
        if apart.calibration is not None and limits is not None:
            step("read the calibration images")
            ingredients.int8_limits = limits
            ingredients.calibration = decode_calibration(
                apart.calibration, card.classes, card.preprocessing, uint8=input == "uint8_nhwc"
            )
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            name=name or card.name,
            classes=card.classes,
            preprocessing=card.preprocessing,
            input=input,
            inputs=(image,),
            outputs=source.outputs,
            thresholds=card.thresholds,
            provenance=make_provenance(source, request),
            artifacts=(),
            selftest=golden_records,
            references=reference_records,
            calibration=ingredients.calibration.record if ingredients.calibration is not None else None,
            lineage=lineage or own_lineage(source, references),
        )
        artifacts = build_artifacts(resolved, ingredients, Bundle(FolderStorage(root), manifest, b""), step)
        manifest = msgspec.structs.replace(manifest, artifacts=artifacts)
        if apart.validation is not None:
            step("thresholds and temperatures on validation images")
            whole = Bundle(FolderStorage(root), manifest, b"")
            manifest = with_operating_points(whole, apart.validation, rule, step.detail)
        keep_listed_files(root, manifest.artifacts)

        step("write the manifest")
        _write_manifest(with_documents(manifest, root), root)

    bundle = open_bundle(out)
    if zip:
        step("pack the .zip")
        pack_beside(bundle, out)
    return bundle


def _facts(card: NetworkCard, name: str | None, input: InputKind) -> dict[str, str]:
    """What each file says of itself."""
    return encode_facts(
        FileFacts(
            name=name or card.name,
            classes=card.classes,
            preprocessing=card.preprocessing,
            input=input,
            thresholds=card.thresholds,
        )
    )


def _write_manifest(manifest: Manifest, root: Path) -> None:
    encoded = encode_manifest(manifest)
    decode_manifest(encoded, "the new manifest")  # what is written can be read
    write_atomic(root / MANIFEST, encoded)
