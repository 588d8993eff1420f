"""The rows of the papers' tables as recipes, with the figures that are printed of them."""
