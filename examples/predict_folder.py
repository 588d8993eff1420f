"""Tag a folder of photographs with a bundle; torch is not needed.

pip install "edgedistill[onnxruntime]"
python predict_folder.py BUNDLE FOLDER
"""

import argparse
from pathlib import Path

from edgedistill import runtime
from edgedistill.runtime.images import image_suffixes

SUFFIXES = image_suffixes()

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("bundle", help="a bundle's folder or .zip")
parser.add_argument("folder", type=Path, help="photographs, also in folders below")
arguments = parser.parse_args()

with runtime.load(arguments.bundle) as predictor:
    for photo in sorted(arguments.folder.rglob("*")):
        if photo.suffix.lower() not in SUFFIXES or not photo.is_file():
            continue
        try:
            (prediction,) = predictor.predict(photo)
        except runtime.EdgedistillError as error:  # a damaged file costs no others
            print(error)
            continue
        # Where no class reaches its threshold, the most probable one with a question mark.
        labels = prediction.labels or {f"{name}?": p for name, p in prediction.top(1).items()}
        print(photo, "  ".join(f"{name} {p:.2f}" for name, p in labels.items()))
