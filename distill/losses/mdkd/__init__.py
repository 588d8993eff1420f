"""MDKD (MM 2024): dependencies among labels, over the batch and within an image."""

from .dependencies import (
    batch_and_instance_dependencies,
    batch_dependencies,
    batch_dependency,
    instance_dependencies,
    instance_dependency,
)

__all__ = [
    "batch_and_instance_dependencies",
    "batch_dependencies",
    "batch_dependency",
    "instance_dependencies",
    "instance_dependency",
]
