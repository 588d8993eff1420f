"""From a trained student to one bundle that every device can run."""

from .bundle import export_bundle
from .errors import ExportError
from .reparameterize import reparameterize

__all__ = ["ExportError", "export_bundle", "reparameterize"]
