"""Tag a folder of photographs with a bundle; torch is not needed.

pip install "edgedistill[onnxruntime]"
python predict_folder.py BUNDLE FOLDER
"""

import argparse

from edgedistill import runtime

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("bundle", help="a bundle's folder or .zip")
parser.add_argument("folder", help="photographs, also in folders below")
arguments = parser.parse_args()

with runtime.load(arguments.bundle) as predictor:
    for found in predictor.predict_stream(arguments.folder, bad="yield"):
        if isinstance(found, runtime.SkippedImage):  # a damaged file costs no others
            print(found.sentence)
            continue
        # Where no class reaches its threshold, the most probable one with a question mark.
        labels = found.labels or {f"{name}?": p for name, p in found.top(1).items()}
        print(found.source, "  ".join(f"{name} {p:.2f}" for name, p in labels.items()))
