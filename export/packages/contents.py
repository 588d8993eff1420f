"""What of a bundle an app takes along: the manifest as it is, some artifacts' files, the self-test's photographs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ...runtime.bundle import MANIFEST, SIGNATURE, Artifact, Bundle
from ...runtime.bundle.selection import select_artifacts
from ...runtime.bundle.signature import signature_bytes
from ...runtime.errors import ConfigError
from ...runtime.formatting import size
from .template import fill


def format_of(artifact: Artifact) -> str:
    """Of its main file, in the manifest's words; older bundles tell it by the file's name alone."""
    suffix = PurePosixPath(artifact.files[0].path).suffix.lstrip(".") if artifact.files else ""
    return artifact.format or {"xml": "openvino-ir"}.get(suffix, suffix)


def choose_artifacts(
    bundle: Bundle,
    kind: str,
    names: Sequence[str] | None,
    *,
    formats: Mapping[str, Collection[str]],
    target: str,
    devices: Collection[str] = (),
) -> list[Artifact]:
    """The artifacts that an app can run, in the manifest's order: those named, or all that it can.

    Args:
        bundle: whose.
        kind: the package, for messages.
        names: those that are wanted; None for all.
        formats: of the main files that it runs, by backend.
        target: a deploy config that makes such a one, for messages.
        devices: those of its deploy configs that are preferred where none are named, e.g. ("cpu",); any if none fits.

    Raises:
        BundleError: no such artifact.
        ConfigError: one that was named cannot be run by the app, or there is none that can.
    """
    chosen = select_artifacts(bundle, names) if names else list(bundle.manifest.artifacts)
    read = dict.fromkeys(format for known in formats.values() for format in known)
    wanted = f"{' and '.join(formats)} with a file of format {' or '.join(read)}"
    fit = [
        one for one in chosen if one.files and one.status != "failed" and format_of(one) in formats.get(one.backend, ())
    ]
    if names and len(fit) < len(chosen):
        other = next(one for one in chosen if one not in fit)
        raise ConfigError(
            f"{other.name}: {kind!r} runs artifacts of {wanted}; this one is of {other.backend}, "
            f"{format_of(other) or 'without a file'}, {other.status.replace('_', ' ')}."
        )
    if not fit:
        held = ", ".join(f"{one.name} ({one.backend}, {format_of(one) or 'no file'})" for one in chosen) or "nothing"
        raise ConfigError(
            f"{bundle.root}: no artifact for {kind!r}, which runs those of {wanted}; it holds {held}. "
            f"Export one with `--target {target}`."
        )
    preferred = [one for one in fit if one.target.device in devices]
    return fit if names else preferred or fit


def write_contents(bundle: Bundle, artifacts: Sequence[Artifact], out: Path) -> list[str]:
    """Write the manifest (and who signed it), the artifacts' files and the self-test's photographs below `out`.

    The manifest stays byte for byte, so that its hash and its signature hold; what it lists besides is left out.

    Returns:
        The files' paths below `out`, in order.

    Raises:
        BundleError: a file is not what the manifest lists.
    """
    entries = [entry for artifact in artifacts for entry in artifact.files]
    entries += [golden.file for golden in bundle.manifest.selftest]
    written = {MANIFEST: bundle.manifest_bytes}
    if (signature := signature_bytes(bundle.storage)) is not None:
        written[SIGNATURE] = signature
    for path, data in written.items():
        _write(out / path, data)
    for entry in entries:
        if entry.path not in written:
            written[entry.path] = b""
            _write(out / entry.path, bundle.read(entry))
    return list(written)


def table(artifacts: Sequence[Artifact]) -> str:
    """What an app runs, as a table of its README."""
    rows = ["| artifact | precision | file | size | status |", "|---|---|---|---:|---|"]
    for one in artifacts:
        cells = (one.name, one.precision, one.files[0].path, size(one.size), one.status.replace("_", " "))
        rows.append("| " + " | ".join(fill("{{cell}}", {"cell": cell}, ".md") for cell in cells) + " |")
    return "\n".join(rows)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
