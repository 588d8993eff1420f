"""TensorRT engines: by the classic library on a GPU, else ahead of time by TensorRT-RTX, which needs none."""

import contextlib
import functools
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
from ...runtime.precisions import precision_of
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
_NO_LIBRARY = (
    "no TensorRT here: the classic tensorrt needs a GPU and comes with JetPack or from NVIDIA's package "
    'index; tensorrt_rtx builds without a GPU: `pip install "edgedistill[tensorrt]"` (x86-64 only).'
)


@BUILDERS.register("tensorrt")
class TensorRtBuilder(Builder):
    """Builds a strongly typed network: precision is the ONNX file's own, as TensorRT 10, 11 and RTX all accept."""

    precisions = {"fp32": "onnx.fp32", "fp16": "onnx.fp16", "int8": "onnx.int8.s8s8"}

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        """The classic library builds for the GPU that it runs on and no other, TensorRT-RTX for the ones it knows."""
        wanted, here = target.compute_capabilities, _gpu_here()
        if here is not None:
            if not wanted or here in wanted:
                return ""
            return (
                f"TensorRT builds for the GPU that is here, SM {here}, and {target.name} is for SM "
                f"{', '.join(wanted)}. {_ELSEWHERE}"
            )
        return _NO_LIBRARY if find_spec("tensorrt_rtx") is None else _unknown_to_rtx(target)

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        if missing := self.toolchain_missing(target):
            raise MissingDependencyError(missing)
        here = _gpu_here()
        flavour, capabilities = ("tensorrt_rtx", target.compute_capabilities) if here is None else ("tensorrt", [here])
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


def _gpu_here() -> str | None:
    """The SM version of the GPU that the classic library can build on."""
    if find_spec("tensorrt") is not None:
        with contextlib.suppress(MissingDependencyError), contextlib.closing(cuda.Gpu(0)) as gpu:
            return gpu.compute_capability
    return None


@functools.cache
def _rtx_knows() -> tuple[str, list[str]]:
    """TensorRT-RTX with its version, and the names of the SM versions that it builds for, e.g. "SM86"."""
    library, known = run_in_child(architectures, what="tensorrt_rtx cannot be asked what it builds for")
    return library, known


def architectures() -> tuple[str, list[str]]:
    """In the child: see `_rtx_knows`."""
    trt = importlib.import_module("tensorrt_rtx")
    return f"tensorrt_rtx {trt.__version__}", sorted(name for name in vars(trt.ComputeCapability) if name[:2] == "SM")


def _unknown_to_rtx(target: Target) -> str:
    """Why TensorRT-RTX cannot build for a target's GPUs, in one sentence; empty where it can."""
    if not target.compute_capabilities:
        return ""
    try:
        library, known = _rtx_knows()
    except ExportError as error:
        return str(error)
    unknown = [version for version in target.compute_capabilities if _architecture(version) not in known]
    if not unknown:
        return ""
    return (
        f"{library} builds nothing for SM {', '.join(unknown)} (`compute_capabilities` of {target.name}): it knows "
        f"{', '.join(known)}. {_ELSEWHERE}"
    )


def _architecture(compute_capability: str) -> str:
    """TensorRT-RTX's name of an SM version, e.g. of "8.6"."""
    return f"SM{compute_capability.replace('.', '')}"


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
    if precision_of(wanted.precision).quantised and hasattr(trt, "ProfilingVerbosity"):
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else its inspector tells names alone
    if flavour == "tensorrt_rtx":
        _set_compute_capabilities(trt, config, wanted)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"{trt.__name__} cannot build the engine: {one_line('; '.join(messages))}")
    Path(out).write_bytes(engine)
    return trt.__version__


def _set_compute_capabilities(trt: ModuleType, config: Any, target: Target) -> None:
    """None are set for a portable engine."""
    wanted = target.compute_capabilities
    if wanted:
        config.num_compute_capabilities = len(wanted)
        for index, version in enumerate(wanted):
            config.set_compute_capability(getattr(trt.ComputeCapability, _architecture(version)), index)
