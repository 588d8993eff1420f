"""What all of it ran on, and which bytes it is about: enough to do it again, and to see whether it is the same."""

from ..formatting import size
from ..page import Markup, element, table
from .evidence import Evidence, Place
from .section import Section, folded

_LEAD = "What the numbers were measured on, and which files they are about."


def environment_section(evidence: Evidence) -> Section:
    """Devices, libraries, provenance, hashes, and how to measure on one more device."""
    manifest = evidence.bundle.manifest
    made = manifest.provenance
    facts = [
        ("bundle", manifest.name),
        ("manifest's SHA-256", evidence.bundle.manifest_sha256),
        ("checkpoint's SHA-256", made.checkpoint_sha256),
        ("recipe's SHA-256", made.recipe_sha256),
        ("exported", f"{made.created} by edgedistill {made.edgedistill}"),
        ("compared with", made.framework),
        *((name, version) for name, version in made.toolchain.items()),
    ]
    provenance = table(("what", "which"), [fact for fact in facts if fact[1]])
    files = [(entry.path, size(entry.bytes), element("code", entry.sha256)) for entry in _files(evidence)]
    left_out = (
        element(
            "p",
            f"{evidence.left_out} runs are left out: they are of another bundle that stood here, or cannot be read.",
            class_="faint",
        )
        if evidence.left_out
        else ""
    )
    return Section(
        "environment",
        "Environment",
        _LEAD,
        Markup(
            "".join(map(_device, evidence.places))
            + left_out
            + folded("Where the bundle comes from", element("div", provenance, class_="facts"))
            + folded("Files", table(("file", "size", "SHA-256"), files, numbers=("size",)))
        ),
    )


def _files(evidence: Evidence) -> list:
    return list({entry.path: entry for entry in evidence.bundle.manifest.files()}.values())


def _device(place: Place) -> Markup:
    found = place.device
    facts = [
        ("processor", f"{found.cpu} ({found.arch})"),
        ("cores", f"{found.cores} of {found.cores_total}"),
        ("memory", "" if found.memory_bytes is None else f"{found.memory_bytes / 2**30:.1f} GiB"),
        ("graphics", "; ".join(found.gpus)),
        ("system", f"{found.os}, Python {found.python}"),
        ("governor", found.governor or ""),
        ("libraries", ", ".join(f"{name} {version}" for name, version in found.versions.items())),
    ]
    rows = [fact for fact in facts if fact[1]]
    return Markup(element("h3", place.name) + element("div", table(("what", "which"), rows), class_="facts"))
