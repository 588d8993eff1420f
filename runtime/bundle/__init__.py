"""The bundle: one folder (or the same as a .zip) with every artifact of a student and the proof that they agree."""

from .expected import expected_labels
from .lineage import Ancestor, Lineage
from .manifest import decode_manifest, encode_manifest, manifest_schema
from .observed import Observed
from .opened import Bundle, open_bundle, results_folder
from .operating_point import OperatingPoint
from .packing import describe_file, zip_bundle
from .records import (
    MANIFEST,
    NO_SURROGATE,
    SCHEMA_VERSION,
    SIGNATURE,
    Artifact,
    CalibrationData,
    Coverage,
    ExportParity,
    FileEntry,
    GoldenImage,
    InputKind,
    Manifest,
    Provenance,
    Reference,
    Status,
)
from .results import Run, StoredRun, latest_run, read_runs, read_samples, read_stored, save_or_say, save_run

__all__ = [
    "MANIFEST",
    "NO_SURROGATE",
    "SCHEMA_VERSION",
    "SIGNATURE",
    "Ancestor",
    "Artifact",
    "Bundle",
    "CalibrationData",
    "Coverage",
    "ExportParity",
    "FileEntry",
    "GoldenImage",
    "InputKind",
    "Lineage",
    "Manifest",
    "Observed",
    "OperatingPoint",
    "Provenance",
    "Reference",
    "Run",
    "Status",
    "StoredRun",
    "decode_manifest",
    "describe_file",
    "encode_manifest",
    "expected_labels",
    "latest_run",
    "manifest_schema",
    "open_bundle",
    "read_runs",
    "read_samples",
    "read_stored",
    "results_folder",
    "save_or_say",
    "save_run",
    "zip_bundle",
]
