"""The network that the device pays for; made where the networks are, because training counts its size too."""

from ..distill.models.reparameterize import reparameterize

__all__ = ["reparameterize"]
