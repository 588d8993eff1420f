"""From a trained student to one bundle that every device can run."""

from .errors import ExportError
from .exporting import export_bundle
from .reparameterize import reparameterize

__all__ = ["ExportError", "export_bundle", "reparameterize"]
