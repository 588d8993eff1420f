"""From a bundle to its page."""

from pathlib import Path

from ..bundle import Bundle, open_bundle
from ..errors import ConfigError
from ..page import write_page
from .document import report_page
from .evidence import gather
from .place import is_report, report_place


def write_report(bundle: Bundle | str | Path, out: str | Path | None = None) -> Path:
    """Write all that is known of a bundle as one page: no file beside it, no network.

        runtime.write_report("bundle")  # bundle/report.html

    It holds what the manifest says and what verify and bench found on every device whose results lie in the bundle, of
    this very bundle. What is not there is left out of the page. Nothing else in the bundle is changed.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        out: the page; `report.html` in the bundle's folder, or beside the .zip, when absent. A page that `report` wrote
            there before is replaced.

    Returns:
        where the page is.

    Raises:
        BundleError: there is no bundle.
        ConfigError: at `out` stands something that is no page of ours.
        EdgedistillError: the folder cannot be written.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    place = report_place(opened) if out is None else Path(out)
    if (place.exists() or place.is_symlink()) and not is_report(place):
        raise ConfigError(f"{place}: is no page that `edgedistill report` wrote: not replaced. Give another place.")
    write_page(place, report_page(gather(opened)))
    return place
