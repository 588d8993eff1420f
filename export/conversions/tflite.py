"""`tflite.<precision>`: the traced program as LiteRT's file, which takes one image at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ...runtime.backends.litert import LiteRtBackend
from ...runtime.targets import Gates
from ..child import run_in_child
from ..litert.convert import convert
from ..quantization.calibration import stored_images
from ..quantization.choosing import choose
from ..quantization.litert_quantiser import LiteRtQuantiser
from ..quantization.litert_ranges import measure
from ..toolchains import toolchain_python
from .base import CONVERSIONS, Converted, Ingredients


@CONVERSIONS.register("tflite.fp32")
def tflite_fp32(ingredients: Ingredients) -> Converted:
    """From `torch.exported`, by litert-torch."""
    outputs = ingredients.graph.output_names  # first: an ONNX file has none, whatever is installed
    python = toolchain_python("litert")
    program = ingredients.get("torch.exported").path
    path = ingredients.scratch / "model.fp32.tflite"
    image = ingredients.image
    taken = {"name": image.name, "dtype": image.dtype, "shape": [1, *image.shape[1:]]}
    versions = run_in_child(
        convert,
        program,
        taken,
        outputs,
        dict(ingredients.facts),
        path,
        what="LiteRT cannot convert the graph",
        python=python,
    )
    return Converted(path, {"converter": _in_words(versions)})


@CONVERSIONS.register("tflite.int8")
def tflite_int8(ingredients: Ingredients) -> Converted:
    """From `tflite.fp32`, by LiteRT's quantiser; chosen as every int8 file is."""
    LiteRtBackend.library()  # the float file is run to measure and to judge
    source = ingredients.get("tflite.fp32")
    path, details = run_in_child(
        choose_file,
        source.path,
        toolchain_python("litert"),
        ingredients.calibration_folder,
        ingredients.int8_limits,
        what="LiteRT cannot quantise the graph",
        say=ingredients.say,
    )
    return Converted(Path(path), source.details | {"quantization": "litert"} | details)


def choose_file(
    source: str, python: str, calibration: str, limits: dict[str, Any], say: Callable[[str], None]
) -> tuple[str, dict[str, str]]:
    """In the child: the best int8 file, in a folder of its own, and the details of how it was chosen."""
    images = stored_images(Path(calibration))
    scratch = Path(source).with_name("litert")
    scratch.mkdir()
    say(f"measure activations on {len(images.ranges)} images")
    chosen = choose(
        LiteRtQuantiser(Path(source), Path(python)),
        measure(Path(source), images.ranges),
        images,
        limits=msgspec.convert(limits, Gates),
        scratch=scratch,
        say=say,
    )
    return str(chosen.best.path), chosen.details


def _in_words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
