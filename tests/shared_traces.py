"""Networks are traced and simplified once for all tests and workers: it takes five seconds, and gives the same file."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # the runtime's tests run where there is no torch
    from torch import nn


@pytest.fixture(scope="session")
def sharing_traces(shared_folder) -> Callable[[], AbstractContextManager[None]]:
    """Within it, a network of the same modules and weights as another is not traced and simplified again."""
    import onnx
    import torch

    from edgedistill.export.conversions import onnx_fp32, simplifying

    trace, whole = torch.onnx.export, onnx_fp32.simplify

    def export(graph: "nn.Module", arguments: tuple, **options: Any) -> SimpleNamespace:
        own = {name: value for name, value in vars(graph).items() if not name.startswith("_")}
        key = hashlib.sha256(repr((graph, own, [value.shape for value in arguments], options)).encode())
        for name, tensor in (*graph.named_parameters(), *graph.named_buffers()):
            key.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
        file = once(
            shared_folder / f"{key.hexdigest()}.onnx",
            lambda part: onnx.save(trace(graph, arguments, **options).model_proto, part),
        )
        return SimpleNamespace(model_proto=onnx.load(file))

    def simplify(path: Path, out: Path, *judged_by: Any) -> simplifying.Simplified:
        def make(part: Path) -> None:
            found = whole(path, out, *judged_by)
            assert not found.note, found.note
            shutil.copyfile(out, part)

        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(once(shared_folder / f"{digest}.simplified.onnx", make), out)
        return simplifying.Simplified(out, *map(simplifying.count_nodes, (path, out)))

    @contextmanager
    def sharing() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.onnx, "export", export)
            patch.setattr(onnx_fp32, "simplify", simplify)
            yield

    return sharing


@pytest.fixture(scope="module")
def traced_once(sharing_traces) -> Iterator[None]:
    """What this module exports is not traced again."""
    with sharing_traces():
        yield


def once(path: Path, make: Callable[[Path], object]) -> Path:
    """`path`, which the first that asks makes; others, in other processes too, wait for it."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        if not path.exists():
            part = path.with_suffix(".part")
            make(part)
            part.rename(path)
    return path
