"""Networks are traced and simplified once for all tests and workers: it takes five seconds, and gives the same file."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # the runtime's tests run where there is no torch
    from torch import nn

    from edgedistill.export.probes import Probes
    from edgedistill.runtime.tensors import BatchRange, TensorSpec


@pytest.fixture(scope="session")
def sharing_traces(shared_folder) -> Callable[[], AbstractContextManager[None]]:
    """Within it, a network of the same modules and weights as another is not traced and simplified again."""
    from edgedistill.export.conversions import onnx_fp32, simplifying

    write, whole = onnx_fp32.export_onnx, onnx_fp32.check_and_simplify

    def export(graph: "nn.Module", image: "TensorSpec", path: Path, *, opset: int | None = None, **_: Any) -> Path:
        own = {name: value for name, value in vars(graph).items() if not name.startswith("_")}
        key = hashlib.sha256(repr((graph, own, image, opset)).encode())
        for name, tensor in (*graph.named_parameters(), *graph.named_buffers()):
            key.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
        file = shared_folder / f"{key.hexdigest()}.onnx"
        return Path(shutil.copyfile(made_once(file, lambda part: write(graph, image, part, opset=opset)), path))

    def simplify(path: Path, out: Path, *judged_by: Any) -> simplifying.Simplified:
        def make(part: Path) -> None:
            found = whole(path, out, *judged_by)
            assert not found.note, found.note
            shutil.copyfile(out, part)

        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        made = shared_folder / f"{digest}.simplified.onnx"
        if made.exists():
            check_onnx(path, *judged_by)
        shutil.copyfile(made_once(made, make), out)
        return simplifying.Simplified(out, *map(simplifying.count_nodes, (path, out)))

    @contextmanager
    def sharing() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_fp32, "export_onnx", export)
            patch.setattr(onnx_fp32, "check_and_simplify", simplify)
            yield

    return sharing


def check_onnx(path: Path, probes: "Probes", batch: "BatchRange") -> None:
    """What `check_and_simplify` asks of a file before it simplifies it, in this process."""
    from edgedistill.export.conversions.onnx_check import check_and_run, compare_outputs

    rows = list(probes.rows(batch))
    with tempfile.TemporaryDirectory() as folder:
        images, outputs = Path(folder, "images.npy"), Path(folder, "outputs.npz")
        np.save(images, probes.images)
        check_and_run(str(path), str(images), rows, str(outputs))
        compare_outputs(outputs, rows, probes)


@contextmanager
def running_here() -> Iterator[None]:
    """What goes into processes of its own for the sake of crashes alone runs in this one: imports take seconds."""
    import msgspec

    from edgedistill.export import proving, running_apart
    from edgedistill.export.builders import openvino
    from edgedistill.export.conversions import fixed_batch, onnx_fp16, onnx_fp32, onnx_int8
    from edgedistill.export.errors import ExportError, one_line
    from edgedistill.export.sources import onnx_file, onnx_running

    def run_here(
        function: Callable[..., Any], *arguments: object, what: str, say: Callable[[str], None] | None = None
    ) -> Any:
        given = msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=str))
        try:
            return msgspec.json.decode(msgspec.json.encode(function(*given, *([] if say is None else [say]))))
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"{what}: {one_line(error)}") from error

    with pytest.MonkeyPatch.context() as patch:
        conversions = (onnx_fp32, onnx_fp16, onnx_int8, fixed_batch, openvino)
        for module in (*conversions, proving, running_apart, onnx_file, onnx_running):
            patch.setattr(module, "run_in_child", run_here)
        yield


@pytest.fixture(scope="session")
def children_here() -> Iterator[None]:
    """See `running_here`."""
    with running_here():
        yield


@pytest.fixture(scope="module")
def traced_once(sharing_traces) -> Iterator[None]:
    """What this module exports is not traced again."""
    with sharing_traces():
        yield


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """`path`, which the first that asks makes; others, in other processes too, wait for it."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        if not path.exists():
            part = path.with_suffix(".part")
            make(part)
            part.rename(path)
    return path
