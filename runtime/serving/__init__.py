"""A bundle behind HTTP: POST an image, get its labels. What it needs comes with the extra `serve`."""
