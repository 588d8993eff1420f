"""How the files in tests/golden/litert were made; the tests that only run them need no litert-torch.

    python tests/golden/tiny_litert.py [PYTHON OF AN ENVIRONMENT WITH LITERT-TORCH]

`tiny.tflite` is the closed form of tests/conftest.py. `convolutions.tflite` has three convolutions and a head of random
weights; in `convolutions.int8.tflite` the second convolution is left in float32. The channels of `unequal.tflite`
differ by a factor of up to ten thousand between its convolutions, which take that back.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from conftest import BIAS, CLASSES, SIZE, WEIGHTS

from edgedistill.export.child import run_in_child
from edgedistill.export.litert.convert import convert
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.litert_quantiser import LiteRtQuantiser
from edgedistill.export.quantization.litert_ranges import measure
from edgedistill.runtime.bundle.file_facts import FileFacts, encode_facts
from edgedistill.runtime.preprocess import Preprocessing

FOLDER = Path(__file__).parent / "litert"
FACTS = FileFacts(
    name="tiny",
    classes=CLASSES,
    preprocessing=Preprocessing(size=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    input="uint8_nhwc",
    thresholds=(0.5, 0.5, 0.5, 0.4),
)
METADATA = encode_facts(FACTS) | {"long": "long" * 500}


class Tiny(nn.Module):
    def forward(self, image):
        means = image.float().permute(0, 3, 1, 2).mul(1 / 255).mean((2, 3))
        logits = nn.functional.linear(means, torch.tensor(WEIGHTS.T.copy()), torch.tensor(BIAS))
        return logits, logits.sigmoid()


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6()),
            nn.MaxPool2d(3, 2, 1),  # its border is -inf
            *(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6()),
            *(nn.Conv2d(8, 16, 1), nn.ReLU6()),
        )
        self.head = nn.Linear(16, len(CLASSES))

    def forward(self, image):
        maps = self.body(image.float().permute(0, 3, 1, 2).mul(1 / 64).sub(2.0))
        logits = self.head(maps.mean((2, 3)))
        return logits, logits.sigmoid()


class Unequal(nn.Module):
    def __init__(self):
        super().__init__()
        layers = (
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, 2, 1), nn.LeakyReLU(0.1)),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            *(nn.Conv2d(8, 16, 1, groups=2), nn.ReLU()),
            *(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()),
        )
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(16, len(CLASSES))
        convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        with torch.no_grad():
            for first, second in itertools.pairwise(convolutions):
                scale = torch.logspace(-2, 2, len(first.weight))[torch.randperm(len(first.weight))]
                first.weight *= scale.view(-1, 1, 1, 1)
                first.bias *= scale
                if second.groups == len(second.weight):  # depthwise
                    second.weight /= scale.view(-1, 1, 1, 1)
                else:
                    rows = len(second.weight) // second.groups
                    second.weight /= (
                        scale.view(second.groups, 1, -1).repeat_interleave(rows, 0).view(len(second.weight), -1, 1, 1)
                    )

    def forward(self, image):
        maps = self.body(image.float().permute(0, 3, 1, 2).mul(1 / 64).sub(2.0))
        logits = self.head(maps.mean((2, 3)))
        return logits, logits.sigmoid()


def write(module: nn.Module, path: Path, python: Path) -> None:
    image = {"name": "image", "dtype": "uint8", "shape": [1, *SIZE, 3]}
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "program.pt2")
        example = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
        torch.export.save(torch.export.export(module.eval(), (example,)), program)
        arguments = (program, image, ["logits", "probabilities"], METADATA, path)
        run_in_child(convert, *arguments, what="no file", python=python)


if __name__ == "__main__":
    python = Path((*sys.argv[1:], sys.executable)[0])
    torch.manual_seed(0)
    write(Tiny(), FOLDER / "tiny.tflite", python)
    source = FOLDER / "convolutions.tflite"
    write(Convolutions(), source, python)
    write(Unequal(), FOLDER / "unequal.tflite", python)
    pixels = np.random.default_rng(0).integers(0, 256, (64, *SIZE, 3), np.uint8)
    ranges = {name: (found.low, found.high) for name, found in measure(source, GraphImages(pixels)).items()}
    LiteRtQuantiser(source, python).quantise(ranges, FOLDER / "convolutions.int8", in_float=["depthwise_conv_2d_1"])
