"""TensorRT engines: by the classic library on a GPU, else ahead of time by TensorRT-RTX, which needs none."""

import contextlib
import hashlib
import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ...runtime import cuda
from ...runtime.backends.onnx_facts import read_onnx
from ...runtime.backends.tensorrt import collecting_logger
from ...runtime.errors import MissingDependencyError
from ...runtime.targets import Target
from ...runtime.tensors import TensorSpec
from ..child import run_in_child
from ..conversions import Ingredients
from ..errors import ExportError, one_line
from .base import BUILDERS, Builder, Built

_ELSEWHERE = (
    "Export on such a device, whose own TensorRT builds for it, or ship the ONNX file to it (backend onnxruntime, "
    "device cuda)."
)


@BUILDERS.register("tensorrt")
class TensorRtBuilder(Builder):
    """Builds a strongly typed network: precision is the ONNX file's own, as TensorRT 10, 11 and RTX all accept."""

    precisions = {"fp32": "onnx.fp32", "fp16": "onnx.fp16", "int8": "onnx.int8.s8s8"}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        flavour, capabilities = _flavour(target)
        source = ingredients.get(self.conversion(target))
        path = _unused_path(ingredients.root / "tensorrt", target)
        what = f"{flavour} cannot build the engine"
        version = run_in_child(write_engine, flavour, source.path, path, ingredients.image, target, what=what)
        onnx = source.path.read_bytes()
        details = {
            "flavour": flavour,
            "version": version,
            "compute_capabilities": ", ".join(capabilities) or "portable",
            "onnx_precision": read_onnx(onnx).precision,
            "reproducible": "no: TensorRT chooses and lays out its kernels anew at each build",
            "onnx_sha256": hashlib.sha256(onnx).hexdigest(),
        }
        return Built((path,), "tensorrt-engine", details | source.details, for_elsewhere=flavour == "tensorrt_rtx")


def _unused_path(folder: Path, target: Target) -> Path:
    """Targets of one precision do not share an engine: batch range and compute capabilities are part of it."""
    folder.mkdir(exist_ok=True)
    taken = len(list(folder.glob(f"model.{target.precision}*.engine")))
    return folder / (f"model.{target.precision}.{taken + 1}.engine" if taken else f"model.{target.precision}.engine")


def _flavour(target: Target) -> tuple[str, list[str]]:
    """The library to build with and the SM versions that the engine will be for; none means portable."""
    if find_spec("tensorrt") is not None:
        with contextlib.suppress(MissingDependencyError), contextlib.closing(cuda.Gpu(0)) as gpu:
            _check_here(target, gpu.compute_capability)
            return "tensorrt", [gpu.compute_capability]
    if find_spec("tensorrt_rtx") is None:
        raise MissingDependencyError(
            "no TensorRT here: the classic tensorrt needs a GPU and comes with JetPack or from NVIDIA's package "
            'index; tensorrt_rtx builds without a GPU: `pip install "edgedistill[tensorrt]"` (x86-64 only).'
        )
    return "tensorrt_rtx", target.compute_capabilities


def _check_here(target: Target, compute_capability: str) -> None:
    """The classic library builds for the GPU that it runs on, and for no other."""
    if target.compute_capabilities and compute_capability not in target.compute_capabilities:
        raise ExportError(
            f"TensorRT builds for the GPU that is here, SM {compute_capability}, and {target.name} is for SM "
            f"{', '.join(target.compute_capabilities)}. {_ELSEWHERE}"
        )


def write_engine(flavour: str, source: str, out: str, image: dict[str, Any], target: dict[str, Any]) -> str:
    """In the child: the ONNX file `source` as the engine `out`; returns the library's version.

    Args:
        flavour: the library, "tensorrt" or "tensorrt_rtx".
        source: the precision of its graph is the engine's.
        out: the file.
        image: the graph's input, as JSON's types.
        target: the deploy config, as JSON's types.
    """
    trt = importlib.import_module(flavour)
    spec, wanted = msgspec.convert(image, TensorSpec), msgspec.convert(target, Target)
    messages: list[str] = []
    logger = collecting_logger(trt, messages)
    builder = trt.Builder(logger)
    # TensorRT 11 types every network strongly and may drop the flag.
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(source).read_bytes()):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ExportError(f"{trt.__name__} cannot parse the graph: {one_line(reasons)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    sizes = (wanted.batch.min, wanted.batch.typical, wanted.batch.max)
    profile.set_shape(spec.name, *((size, *spec.shape[1:]) for size in sizes))
    config.add_optimization_profile(profile)
    if wanted.precision == "fp32" and hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, with 10 bits of mantissa
    if flavour == "tensorrt_rtx":
        _set_compute_capabilities(trt, config, wanted)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"{trt.__name__} cannot build the engine: {one_line('; '.join(messages))}")
    Path(out).write_bytes(engine)
    return trt.__version__


def _set_compute_capabilities(trt: ModuleType, config: Any, target: Target) -> None:
    wanted = target.compute_capabilities
    known = {name: value for name, value in vars(trt.ComputeCapability).items() if name.startswith("SM")}
    names = [f"SM{version.replace('.', '')}" for version in wanted]
    for version, name in zip(wanted, names, strict=True):
        if name not in known:
            raise ExportError(
                f"{trt.__name__} {trt.__version__} builds nothing for SM {version} (`compute_capabilities` of "
                f"{target.name}): it knows {', '.join(sorted(known))}. {_ELSEWHERE}"
            )
    if wanted:
        config.num_compute_capabilities = len(wanted)
        for index, name in enumerate(names):
            config.set_compute_capability(known[name], index)
