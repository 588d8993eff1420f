"""What a machine has that a training on its GPU needs, as JSON: python benchmarks/gpu_environment.py FILE."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

MODULES = (
    "numpy",
    "PIL",
    "msgspec",
    "yaml",
    "typer",
    "rich",
    "torch",
    "torchvision",
    "timm",
    "safetensors",
    "tensorboard",
    "sklearn",
    "filelock",
)
OPTIONAL = ("simplejpeg", "pytest", "xdist", "triton", "onnx", "onnxruntime")


def main() -> None:
    found: dict[str, object] = {"python": sys.version}
    found |= {name: _version(name) for name in (*MODULES, *OPTIONAL)}
    missing = [name for name in MODULES if str(found[name]).startswith("missing")]
    if "torch" not in missing:
        found["gpu"] = _gpu()
    found["nvidia_smi"] = _told("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    Path(sys.argv[1]).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; WHEELS=folder names wheels of them")


def _version(name: str) -> str:
    try:
        return str(getattr(importlib.import_module(name), "__version__", "present"))
    except ImportError as error:
        return f"missing: {error}"


def _gpu() -> dict[str, object]:
    import torch

    if not torch.cuda.is_available():
        return {"available": False}
    free, total = torch.cuda.mem_get_info()
    return {
        "available": True,
        "name": torch.cuda.get_device_name(),
        "capability": torch.cuda.get_device_capability(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": torch.cuda.nccl.version(),
        "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        "free_bytes": free,
        "total_bytes": total,
    }


def _told(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"none ({error})"


if __name__ == "__main__":
    main()
