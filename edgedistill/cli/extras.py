"""Commands that need more than the device's runtime say which extra brings it."""

from importlib.util import find_spec

from edgedistill.runtime.errors import MissingDependencyError

_TRAINING = ("torch", "torchvision", "timm", "safetensors", "sklearn", "tensorboard")


def require_training(command: str) -> None:
    """Raise MissingDependencyError unless torch and its companions are installed."""
    _require(command, "train", _TRAINING)


def require_export(command: str) -> None:
    """Raise MissingDependencyError unless the export toolchain is installed."""
    _require(command, "export", (*_TRAINING, "onnx", "onnxscript", "onnxruntime"))


def require_ray() -> None:
    """Raise MissingDependencyError unless Ray is installed."""
    if find_spec("ray") is None:
        raise MissingDependencyError('`--on ray` needs ray, not installed here: pip install "edgedistill[ray]".')


def register_training_formats() -> None:
    """Make the built-in scenes known as a dataset format; using it asks for scikit-learn."""
    import edgedistill.distill.data  # noqa: F401


def _require(command: str, extra: str, modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"`edgedistill {command}` needs {', '.join(missing)}, not installed here: "
            f'pip install "edgedistill[{extra}]" (this environment has the runtime: predict, verify, check, bench, '
            "selftest, inspect)."
        )
