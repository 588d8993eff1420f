"""`tflite.<precision>`: the traced program as LiteRT's file, which takes one image at a time."""

from ...runtime.backends.litert import LiteRtBackend
from ..child import run_in_child
from ..litert.convert import convert
from ..quantization.choosing import choose
from ..quantization.litert_quantiser import LiteRtQuantiser, measure
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
    images = ingredients.calibration_images
    source = ingredients.get("tflite.fp32")
    ingredients.say(f"measure activations on {len(images.ranges)} images")
    chosen = choose(
        LiteRtQuantiser(source.path, toolchain_python("litert")),
        measure(source.path, images.ranges),
        images,
        limits=ingredients.int8_limits,
        scratch=ingredients.scratch,
        say=ingredients.say,
    )
    return Converted(chosen.best.path, source.details | {"quantization": "litert"} | chosen.details)


def _in_words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
