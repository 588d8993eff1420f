"""The bundle explains itself: README.md and example.py, for whoever finds the folder and knows nothing of us."""

import html
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..runtime.bundle import Artifact, Manifest, describe_file, expected_labels
from ..runtime.formatting import size
from .example_script import EXAMPLE, PACKAGES, example_artifact, example_script

README = "README.md"
_ROLES = {
    "teacher": "teacher",
    "baseline": "student without a teacher",
    "student": "student, distilled: this bundle's network",
    "network": "this bundle's network",
}
_MOST_LABELS = 5


def with_documents(manifest: Manifest, root: Path) -> Manifest:
    """Write README.md and, where an artifact ran here and there is a photograph, example.py; the manifest lists them.

    Args:
        manifest: of a bundle whose files are in place.
        root: the bundle's folder.
    """
    artifact = example_artifact(manifest) if manifest.selftest else None
    texts = {README: _readme(manifest, artifact)}
    if artifact is not None:
        texts[EXAMPLE] = example_script(manifest, artifact)
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8", newline="\n")
    return msgspec.structs.replace(manifest, documents=tuple(describe_file(root / name, root) for name in texts))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines; cells are plain text, or Markdown from this module."""
    return [_row(headings), _row(["---"] * len(headings)), *map(_row, rows)]


def plain(text: str) -> str:
    """Text that Markdown shows as it stands, in a table's cell too."""
    escaped = "".join(f"\\{character}" if character in "\\`*_[]|#~" else character for character in text)
    return html.escape(escaped, quote=False)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _readme(manifest: Manifest, artifact: Artifact | None) -> str:
    height, width = manifest.preprocessing.size
    model = manifest.lineage.exported.model if manifest.lineage else manifest.provenance.model
    by_itself = _try_it(manifest, artifact)
    parts = [
        f"# {plain(manifest.name)}",
        f"Labels photographs with {len(manifest.classes)} classes. The network is {plain(model)} for images of "
        f"{height} x {width} pixels; this folder holds it in each form that was asked for, with the proof that they "
        "agree. It was written by edgedistill's `export`; nothing in it changes but `results/` and `report.html`.",
        *by_itself,
        f"## With edgedistill\n\n{'The same' if by_itself else 'Labels'}, by the artifact that is fastest here, and "
        "what proves and measures them all:",
        _code(
            "sh",
            'pip install "edgedistill[onnxruntime]"',
            "edgedistill predict . photo.jpg",
            "edgedistill selftest .                      # the photographs in selftest/ give the same outputs here",
            "edgedistill verify . --data labels.csv      # the same mAP here, on your labelled photographs?",
            "edgedistill bench .                         # how fast is it here?",
            "edgedistill report .                        # all that was found, as one page: report.html",
        ),
        "In Python:",
        _code(
            "python",
            "from edgedistill import runtime",
            "",
            'with runtime.load(".") as predictor:',
            '    print(predictor.predict("photo.jpg")[0].labels)',
        ),
        f"## Classes\n\n{', '.join(map(plain, manifest.classes))}",
        f"## Input\n\n{_input(manifest)}",
        "## Artifacts, and what they were verified on",
        "\n".join(_artifacts(manifest)),
        _verified_on(manifest),
        *_lineage(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _try_it(manifest: Manifest, artifact: Artifact | None) -> list[str]:
    if artifact is None:
        return []
    sample, found = manifest.selftest[0].file.path, expected_labels(manifest, manifest.selftest[0], artifact)
    said = ", ".join(f"{plain(name)} {probability:.2f}" for name, probability in list(found.items())[:_MOST_LABELS])
    return [
        f"## Try it\n\nnumpy, Pillow and {PACKAGES[artifact.backend]} are enough:",
        _code(
            "sh", f"pip install numpy Pillow {PACKAGES[artifact.backend]}", f"python {EXAMPLE}",
            f"python {EXAMPLE} photo.jpg",
        ),
        f"The first run labels the photograph below (`{sample}`). Expected: {said or 'no label'}, within rounding.",
        f"![The sample photograph]({sample})",
    ]  # fmt: skip


def _code(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _input(manifest: Manifest) -> str:
    made, (height, width) = manifest.preprocessing, manifest.preprocessing.size
    how = "scaled to" if made.resize == "squash" else "cut to the largest centred part of that shape, then scaled to"
    fed = (
        "The graph takes those pixels as they are, uint8 (N, H, W, 3); normalisation is inside."
        if manifest.input == "uint8_nhwc"
        else f"Divide by 255, subtract {list(made.mean)}, divide by {list(made.std)}, and give float32 (N, 3, H, W)."
    )
    return (
        f"A photograph, turned upright by its EXIF orientation, in 8-bit RGB, {how} {height} x {width} pixels (height "
        f"by width, {made.interpolation}, antialiased). {fed}\n\nIts output `logits`, float32 "
        f"(N, {len(manifest.classes)}), has one number per class, in the order above. `manifest.json` has all in "
        "numbers: hashes, thresholds, temperatures."
    )


def _artifacts(manifest: Manifest) -> list[str]:
    rows = []
    for one in manifest.artifacts:
        file = f"`{one.files[0].path}`" if one.files else "-"
        rows.append([plain(one.name), one.precision, size(one.size) if one.files else "-", file, _checked(one)])
    return table(("artifact", "precision", "size", "file", "checked at export"), rows)


def _checked(artifact: Artifact) -> str:
    word = artifact.status.replace("_", " ")
    if artifact.parity is None or artifact.status != "verified":
        return plain(f"{word}: {artifact.reason}" if artifact.reason else word)
    return plain(
        f"{word}: no logit differs by more than {artifact.parity.max_abs_logit:.1e} on {artifact.parity.images} images"
        f" ({artifact.parity.runner})"
    )


def _verified_on(manifest: Manifest) -> str:
    against = manifest.provenance.framework or "the training framework"
    said = [f"Each artifact that ran was compared with {plain(against)}, image by image."]
    points = [one.operating_point for one in manifest.artifacts if one.operating_point is not None]
    if points:
        said.append(
            f"Thresholds and temperatures were estimated on {points[0].images:,} images of "
            f"{plain(points[0].dataset)} (rule: {plain(points[0].rule)})."
        )
    if manifest.calibration is not None:
        said.append(
            f"int8 was calibrated on {manifest.calibration.images:,} images of {plain(manifest.calibration.dataset)}."
        )
    said.append("What devices found since lies in `results/`.")
    return " ".join(said)


def _lineage(manifest: Manifest) -> list[str]:
    if manifest.lineage is None:
        return []
    rows = [
        [
            _ROLES.get(one.role, plain(one.role)),
            plain(one.model),
            plain(one.taught_by) or "-",
            "-" if one.mAP is None else f"{one.mAP:.2f}",
            "-" if one.parameters is None else f"{one.parameters / 1e6:.2f} M",
        ]
        for one in manifest.lineage.networks
    ]
    made = table(("network", "model", "taught by", "mAP", "parameters"), rows)
    of = manifest.lineage
    measured = f"\n\nmAP in points, on {of.images:,} images of {plain(of.dataset)}." if of.dataset else ""
    return ["## Where it comes from", "\n".join(made) + measured]
