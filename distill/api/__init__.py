"""Distilling in Python: plain `nn.Module`s and data sets, without a recipe."""

from .distilling import distil

__all__ = ["distil"]
