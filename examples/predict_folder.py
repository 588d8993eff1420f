"""Tag a folder of photographs with a bundle; torch is not needed.

pip install "edgedistill[onnxruntime]"
python predict_folder.py BUNDLE FOLDER
"""

import sys
from pathlib import Path

from edgedistill import runtime

bundle, folder = sys.argv[1:3]
with runtime.load(bundle) as predictor:
    photos = sorted(Path(folder).glob("*.jpg"))
    for photo, prediction in zip(photos, predictor.predict(photos), strict=True):
        print(photo.name, {name: round(p, 2) for name, p in prediction.labels.items()})
