"""What can be exported: a network in PyTorch (ours or anybody's), or an ONNX file."""

from .base import NetworkCard, Source

__all__ = ["NetworkCard", "Source"]
