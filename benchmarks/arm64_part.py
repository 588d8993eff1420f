"""The part of arm64.py that runs on both machines: one artifact's logits, the pixels that they are of, and its labels.

    python arm64_part.py BUNDLE ARTIFACT PHOTOGRAPHS OUT

PHOTOGRAPHS is a file with a path a line. OUT is an .npz: pixels uint8 (N, H, W, 3), logits float32 (N, C), and what the
backend says that it did. Standard output is that of `edgedistill predict BUNDLE --json` on the same photographs, which
runs in this process: an emulated one takes long to begin.
"""

import json
import sys
from pathlib import Path

import numpy as np

from edgedistill import runtime
from edgedistill.cli import main as edgedistill_command
from edgedistill.runtime.preprocess import load


def main() -> None:
    bundle, artifact, listed, out = sys.argv[1:]
    paths = Path(listed).read_text(encoding="utf-8").splitlines()
    with runtime.load(bundle, name=artifact, threads=1) as predictor:
        pixels = np.stack([load(path, predictor.manifest.preprocessing) for path in paths])
        logits = np.concatenate([predictor.infer(image[None])[0] for image in pixels])
        np.savez(out, pixels=pixels, logits=logits, effective=np.array(json.dumps(predictor.effective)))
    sys.argv = ["edgedistill", "predict", bundle, "-a", artifact, "--threads", "1", "--json", *paths]
    edgedistill_command()


if __name__ == "__main__":
    main()
