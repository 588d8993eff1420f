"""`hub`: a folder as a model hub shows it: the model card, the page, and the bundle as it is.

The bundle keeps a folder of its own, so that its README.md stays the one that its manifest lists, and the card can be
written anew with what devices found since.
"""

from pathlib import Path

from ...runtime.bundle import MANIFEST, SIGNATURE, Bundle
from ...runtime.bundle.signature import signature_bytes
from ...runtime.errors import ConfigError
from ...runtime.report import write_report
from ...runtime.report.evidence import gather
from ...runtime.report.place import REPORT
from ..documents import README
from ..model_card import REPO, model_card
from .base import PACKAGES

BUNDLE = "bundle"


@PACKAGES.register("hub")
def package_hub(bundle: Bundle, out: Path) -> Path:
    """Write the folder; see `write_hub_folder`."""
    return write_hub_folder(bundle, out)


def write_hub_folder(bundle: Bundle, out: Path, *, repo: str = REPO, license: str | None = None) -> Path:
    """Write `out`/README.md, report.html and bundle/.

    The bundle's files are those that its manifest lists, each checked, its signature, and the reports of its results.
    Raw samples and scores stay behind: they say what the images of a split show, one by one, and the page has what is
    drawn of them.

    Args:
        bundle: from a folder or a .zip.
        out: an empty folder, or none.
        repo: where it will be, for the card.
        license: of the model, in the hub's words, e.g. "apache-2.0".

    Raises:
        BundleError: a file is not what the manifest lists.
        MissingDependencyError: huggingface_hub, which writes the card, is not installed.
        ConfigError: `out` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already and not empty: give another place.")
    card = model_card(gather(bundle), repo=repo, license=license)
    inside = out / BUNDLE
    for path, entry in {entry.path: entry for entry in bundle.manifest.files()}.items():
        _write(inside / path, bundle.read(entry))
    _write(inside / MANIFEST, bundle.manifest_bytes)
    if (signature := signature_bytes(bundle.storage)) is not None:
        _write(inside / SIGNATURE, signature)
    results = bundle.results_folder
    for report in sorted([*results.glob("*.json"), *results.glob("*/*.json")]):
        if report.is_file() and not report.is_symlink():
            _write(inside / "results" / report.relative_to(results), report.read_bytes())
    write_report(bundle, out / REPORT)
    _write(out / README, card.encode())
    return out


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
