"""Commands that need more than the device's runtime say which extra brings it."""

from importlib.util import find_spec

from edgedistill.runtime.errors import MissingDependencyError


def require_training(command: str) -> None:
    """Raise MissingDependencyError unless torch and its companions are installed."""
    _require(command, "train", ("torch", "torchvision", "timm", "safetensors", "sklearn", "tensorboard"))


def require_export(command: str) -> None:
    """Raise MissingDependencyError unless the export toolchain is installed."""
    require_training(command)
    _require(command, "export", ("onnx", "onnxscript", "onnxruntime"))


def register_training_formats() -> None:
    """Make dataset formats that only training brings (the built-in scenes) known, where training is installed."""
    if find_spec("torch") is not None and find_spec("sklearn") is not None:
        import edgedistill.distill.data  # noqa: F401


def _require(command: str, extra: str, modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"`edgedistill {command}` needs {', '.join(missing)}, not installed here: "
            f'pip install "edgedistill[{extra}]" (this environment has the runtime: predict, verify, bench, selftest, '
            "inspect)."
        )
