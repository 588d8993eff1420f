"""How fast training images come: in full, at reduced scale, the fast way, or kept; and how the pixels differ.

    python benchmarks/decoding.py FOLDER [--tiles 1 2 6 12]      # default folder: EDGEDISTILL_COCO

Images per second of CPU time in one process, which other work on the machine disturbs little; files in the page
cache; variants in turns; from every image's median over the rounds. Data sets are often shrunk, cameras' photographs
are not: `--tiles n` also measures mosaics of n x n of the folder's photographs, saved as JPEG 4:2:0 at quality 90. They
hold more detail per pixel than a camera's, so the gain is rather understated and the difference overstated.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from edgedistill.distill.data.decoded import DecodedImages, release_memory
from edgedistill.distill.data.fast import load_fast
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing, load, load_reduced

RESULTS = Path(__file__).parent / "results" / "decoding.json"
VARIANTS = ("full", "reduced", "fast", "kept in memory", "kept on disk")


def mosaics(photographs: list[Path], tiles: int, count: int, folder: Path) -> list[Path]:
    """`count` JPEGs of tiles x tiles photographs each, in the size of the first."""
    if tiles == 1:
        return photographs[:count]
    made = []
    for number in range(count):
        chosen = [photographs[(number * tiles * tiles + index) % len(photographs)] for index in range(tiles * tiles)]
        width, height = Image.open(chosen[0]).size
        mosaic = Image.new("RGB", (width * tiles, height * tiles))
        for index, path in enumerate(chosen):
            tile = Image.open(path).convert("RGB").resize((width, height))
            mosaic.paste(tile, (index % tiles * width, index // tiles * height))
        made.append(folder / f"{tiles}-{number}.jpg")
        mosaic.save(made[-1], quality=90, subsampling="4:2:0")
    return made


def seconds_to_read(images: DecodedImages, index: int) -> float:
    started = time.process_time()
    images[index]
    return time.process_time() - started


def measure(paths: list[Path], side: int, rounds: int, folder: Path) -> dict:
    """Images per second of every variant, and the differences in 8-bit levels."""
    names = tuple(path.name for path in paths)
    dataset = Dataset("photographs", ("any",), names, paths, np.zeros((len(paths), 1), np.int8))
    size = Preprocessing(size=(side, side))
    readers = {
        "full": DecodedImages(dataset, size, decode="full", cache="off"),
        "reduced": DecodedImages(dataset, size, decode="reduced", cache="off"),
        "fast": DecodedImages(dataset, size, decode="fast", cache="off"),
        "kept in memory": DecodedImages(dataset, size, cache="memory"),
        "kept on disk": DecodedImages(dataset, size, cache="disk", folder=folder),
    }
    samples = {name: np.empty((rounds, len(paths))) for name in VARIANTS}
    for row in range(-1, rounds):  # the first fills the caches
        for name in VARIANTS:
            for index in range(len(paths)):
                seconds = seconds_to_read(readers[name], index)
                if row >= 0:
                    samples[name][row, index] = seconds
    release_memory()
    bicubic = msgspec.structs.replace(size, interpolation="bicubic")
    by_decoding, by_fast, by_filter = [], [], []
    for path in paths:
        full = load(path, size).astype(int)
        by_decoding.append(np.abs(full - load_reduced(path, size)))
        by_fast.append(np.abs(full - load_fast(path, size)))
        by_filter.append(np.abs(full - load(path, bicubic)))
    rates = {name: len(paths) / float(np.median(seconds, axis=0).sum()) for name, seconds in samples.items()}
    return {
        "images_per_second": rates,
        "ratio_to_full": {name: rate / rates["full"] for name, rate in rates.items()},
        "decoded_at_reduced_scale": float(np.mean([difference.any() for difference in by_decoding])),
        "difference": {
            "reduced": {"mean": float(np.mean(by_decoding)), "p99.9": float(np.percentile(by_decoding, 99.9))},
            "fast": {"mean": float(np.mean(by_fast)), "p99.9": float(np.percentile(by_fast, 99.9))},
            "bicubic instead of bilinear": {"mean": float(np.mean(by_filter))},
        },
        "seconds_per_round": {name: seconds.sum(axis=1).tolist() for name, seconds in samples.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("EDGEDISTILL_COCO"))
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 2, 6, 12])
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 224])
    parser.add_argument("--count", type=int, default=24, help="images per measurement (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    photographs = sorted(arguments.folder.rglob("*.jpg")) if arguments.folder else []
    if not photographs:
        sys.exit("Name a folder of .jpg photographs, or set EDGEDISTILL_COCO to one.")
    found = []
    print(f"{'photographs':>14}{'input':>7}" + "".join(f"{name:>17}" for name in VARIANTS) + f"{'difference':>12}")
    with tempfile.TemporaryDirectory() as temporary:
        for tiles in arguments.tiles:
            paths = mosaics(photographs, tiles, arguments.count, Path(temporary))
            width, height = (
                int(statistics.median(side)) for side in zip(*(Image.open(p).size for p in paths), strict=True)
            )
            for side in arguments.sizes:
                numbers = measure(paths, side, arguments.rounds, Path(temporary))
                found.append({"tiles": tiles, "median_size": [width, height], "input": side, "images": len(paths)})
                found[-1] |= numbers
                rates, ratios = numbers["images_per_second"], numbers["ratio_to_full"]
                cells = "".join(f"{rates[name]:>8.0f}/s{ratios[name]:>6.1f}x" for name in VARIANTS)
                print(f"{f'{width} x {height}':>14}{side:>7}{cells}{numbers['difference']['reduced']['mean']:>12.2f}")
    summary = {
        "what": "training images per second of CPU time, and the mean difference to full decoding in 8-bit levels",
        "command": f"python benchmarks/decoding.py --count {arguments.count} --rounds {arguments.rounds}",
        "measurements": found,
        "device": msgspec.to_builtins(describe_device()),
    }
    write_atomic(arguments.out, json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
