"""L2D (ICCV 2023): distances between label-wise embeddings, within a class and within an image."""

from .terms import class_and_instance_aware, class_aware, instance_aware

__all__ = ["class_and_instance_aware", "class_aware", "instance_aware"]
