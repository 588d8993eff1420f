"""How far other libraries' resizers are from the one that training, export and devices use, on the golden images.

    pip install torchvision opencv-python-headless scikit-image    # those that are missing are left out
    python benchmarks/resizers.py

The largest and the mean difference in 8-bit levels, for shrinking and for enlarging; docs/images.md shows the table.
`center_crop` cuts whole pixels first, as these libraries have it.
"""

import argparse
import base64
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic

GOLDEN = Path(__file__).parents[1] / "docs" / "golden_images"
RESULTS = Path(__file__).parent / "results" / "resizers.json"
Resizer = Callable[[np.ndarray, tuple[int, int], bool], np.ndarray]


def torchvision(pixels: np.ndarray, size: tuple[int, int], cubic: bool) -> np.ndarray:
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    mode = InterpolationMode.BICUBIC if cubic else InterpolationMode.BILINEAR
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return functional.resize(image, list(size), interpolation=mode, antialias=True).permute(1, 2, 0).numpy()


def opencv(mode: str) -> Resizer:
    def resize(pixels: np.ndarray, size: tuple[int, int], cubic: bool) -> np.ndarray:
        import cv2

        name = ("INTER_CUBIC" if cubic else "INTER_LINEAR") if mode == "filter" else mode
        return cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=getattr(cv2, name))

    return resize


def skimage(pixels: np.ndarray, size: tuple[int, int], cubic: bool) -> np.ndarray:
    from skimage.transform import resize

    found = resize(pixels, size, order=3 if cubic else 1, anti_aliasing=True, preserve_range=True)
    return np.floor(found + 0.5).clip(0, 255)


RESIZERS: dict[str, tuple[str, Resizer]] = {
    "torchvision, antialias": ("torchvision", torchvision),
    "OpenCV INTER_AREA": ("opencv-python-headless", opencv("INTER_AREA")),
    "scikit-image, anti_aliasing": ("scikit-image", skimage),
    "OpenCV INTER_LINEAR or INTER_CUBIC": ("opencv-python-headless", opencv("filter")),
    "OpenCV INTER_NEAREST": ("opencv-python-headless", opencv("INTER_NEAREST")),
}


def cut(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The centred part of the target's ratio, in whole pixels."""
    height, width = pixels.shape[:2]
    kept_height = round(min(height, width * size[0] / size[1]))
    kept_width = round(min(width, height * size[1] / size[0]))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return pixels[top : top + kept_height, left : left + kept_width]


def measure(resizer: Resizer, cases: list[dict]) -> dict[str, dict[str, float]]:
    """By way of resizing: the largest and the mean difference, the mean of the cases' own."""
    found: dict[str, list[np.ndarray]] = {}
    for case in cases:
        size = tuple(case["size"])
        pixels = np.asarray(Image.open(GOLDEN / case["file"]))
        way = "up" if pixels.shape[0] < size[0] else "down"
        shown = cut(pixels, size) if case["resize"] == "center_crop" else pixels
        wanted = np.frombuffer(base64.b64decode(case["rgb"]), np.uint8).reshape(*size, 3).astype(int)
        difference = np.abs(resizer(shown, size, case["interpolation"] == "bicubic") - wanted)
        found.setdefault(f"{case['resize']}, {case['interpolation']}, {way}", []).append(difference)
    return {
        way: {"max": float(max(d.max() for d in differences)), "mean": float(np.mean([d.mean() for d in differences]))}
        for way, differences in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    out = parser.parse_args().out
    cases = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))["resized"]
    results = {}
    for name, (distribution, resizer) in RESIZERS.items():
        try:
            installed = version(distribution)
        except PackageNotFoundError:
            print(f"{name}: {distribution} is not installed.")
            continue
        differences = measure(resizer, cases)
        results[name] = {"version": f"{distribution} {installed}", "differences": differences}
        for way, numbers in differences.items():
            print(f"{name:>36}  {way:<32}{numbers['max']:>6.0f}{numbers['mean']:>8.2f}")
    what = "differences to the golden pixels in 8-bit levels"
    summary = {"what": what, "resizers": results, "device": msgspec.to_builtins(describe_device())}
    write_atomic(out, json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
