"""Training images per second and core, from JPEG files to a batch, beside torchvision's usual loader.

    python benchmarks/input_path.py [FOLDER] [--save]      # default folder: EDGEDISTILL_COCO18

One process and one thread; the loaders in turns within each round; CPU time, which other work on the machine disturbs
less than the clock; medians over the rounds, ratios within a round. Photographs of the folder are put together, nine at
a time, to 640 x 480 pixels, the usual size in COCO, and saved as JPEG 4:2:0 at quality 90.

"torchvision" is the loader of its examples: Pillow decodes, v2 transforms, `default_collate`; it ends in normalised
floats. "torchvision, uint8" leaves out conversion and normalisation, which ours leaves to the training's device.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from edgedistill.distill.data.decoded import DecodedImages, release_memory
from edgedistill.distill.data.loader import EpochSampler, training_loader
from edgedistill.distill.data.transforms import Cutout
from edgedistill.distill.data.views import Views
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

RESULTS = Path(__file__).parent / "results" / "input_path.json"
SIDE, BATCH = 224, 32
TILES, WIDTH, HEIGHT = 3, 640, 480
AUGMENT = {"flip + cutout": ["flip", "cutout"], "flip + cutout + RandAugment": ["flip", "cutout", "rand_augment"]}
REFERENCE = "torchvision"


def coco_sized(photographs: list[Path], count: int, folder: Path) -> list[Path]:
    """`count` JPEGs of 640 x 480 pixels, each of nine photographs."""
    made = []
    for number in range(count):
        mosaic = Image.new("RGB", (WIDTH, HEIGHT))
        for place in range(TILES * TILES):
            left, right = (WIDTH * (place % TILES + edge) // TILES for edge in (0, 1))
            top, bottom = (HEIGHT * (place // TILES + edge) // TILES for edge in (0, 1))
            path = photographs[(number * TILES * TILES + place) % len(photographs)]
            mosaic.paste(Image.open(path).convert("RGB").resize((right - left, bottom - top)), (left, top))
        made.append(folder / f"{number}.jpg")
        mosaic.save(made[-1], quality=90, subsampling="4:2:0")
    return made


class ImageFiles(TorchDataset):
    """As `torchvision.datasets.ImageFolder` reads them."""

    def __init__(self, paths: list[Path], transform: Callable) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with self.paths[index].open("rb") as stream:
            return self.transform(Image.open(stream).convert("RGB")), index


def torchvision_loader(paths: list[Path], *, rand_augment: bool, floats: bool) -> DataLoader:
    steps = [v2.Resize((SIDE, SIDE)), v2.RandomHorizontalFlip()]
    steps += [v2.RandAugment()] if rand_augment else []
    steps += [v2.PILToTensor(), Cutout(0.5)]  # torchvision has no Cutout
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)] if floats else []
    return DataLoader(ImageFiles(paths, v2.Compose(steps)), BATCH, shuffle=True)


def our_loader(dataset: Dataset, augment: list[str], decode: str, cache: str) -> Iterable:
    decoded = DecodedImages(dataset, Preprocessing(size=(SIDE, SIDE)), decode=decode, cache=cache)
    views = Views(dataset, decoded, augment, seed=0)
    sampler = EpochSampler(views, BATCH, seed=0)
    return training_loader(dataset, views, sampler, workers=0, device=torch.device("cpu"))


def measure(paths: list[Path], augment: list[str], rounds: int) -> dict:
    """CPU seconds per image of every loader and round."""
    names = tuple(path.name for path in paths)
    dataset = Dataset("photographs", ("any",), names, paths, np.zeros((len(paths), 1), np.int8))
    rand_augment = "rand_augment" in augment
    loaders = {
        REFERENCE: torchvision_loader(paths, rand_augment=rand_augment, floats=True),
        "torchvision, uint8": torchvision_loader(paths, rand_augment=rand_augment, floats=False),
        "decode: full": our_loader(dataset, augment, "full", "off"),
        "decode: reduced": our_loader(dataset, augment, "reduced", "off"),
        "decode: fast": our_loader(dataset, augment, "fast", "off"),
        "kept decoded": our_loader(dataset, augment, "reduced", "memory"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loaders}
    for row in range(-1, rounds):  # the first warms up and fills the cache
        for name, loader in loaders.items():
            began, images = time.process_time(), 0
            for batch in loader:
                images += len(batch[0] if isinstance(batch, list) else batch.images)
            if row >= 0:
                seconds[name].append((time.process_time() - began) / images)
    release_memory()
    return {
        name: {
            "images_per_second": 1 / statistics.median(found),
            "ratio": statistics.median(a / b for a, b in zip(seconds[REFERENCE], found, strict=True)),
            "seconds_per_image": found,
        }
        for name, found in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("EDGEDISTILL_COCO18"))
    parser.add_argument("--count", type=int, default=128, help="images per round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help=f"write the numbers to {RESULTS.name}")
    arguments = parser.parse_args()
    photographs = sorted(Path(arguments.folder).rglob("*.jpg")) if arguments.folder else []
    if not photographs:
        sys.exit("Name a folder of .jpg photographs, or set EDGEDISTILL_COCO18 to one.")
    if arguments.count < BATCH or arguments.count % BATCH:
        sys.exit(f"--count: give a multiple of {BATCH}.")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        paths = coco_sized(photographs, arguments.count, Path(temporary))
        kilobytes = statistics.mean(path.stat().st_size for path in paths) / 1000
        found = {name: measure(paths, augment, arguments.rounds) for name, augment in AUGMENT.items()}
    print(f"{WIDTH} x {HEIGHT}, {kilobytes:.0f} kB on average, to {SIDE} x {SIDE}: images per second and core")
    print(f"{'':20}" + "".join(f"{name:>32}" for name in found))
    for name in next(iter(found.values())):
        cells = (f"{rows[name]['images_per_second']:>23.0f}/s {rows[name]['ratio']:>5.2f} x" for rows in found.values())
        print(f"{name:20}" + "".join(cells))
    summary = {
        "what": f"images per second of CPU time, from JPEG files to a batch; ratios to {REFERENCE} within a round",
        "command": f"python benchmarks/input_path.py --count {arguments.count} --rounds {arguments.rounds} --save",
        "size": [WIDTH, HEIGHT],
        "kilobytes": kilobytes,
        "input": SIDE,
        "measurements": found,
        "device": msgspec.to_builtins(describe_device()),
    }
    if arguments.save:
        write_atomic(RESULTS, json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
