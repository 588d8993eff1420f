"""In the toolchain's environment: an exported PyTorch program becomes a float32 .tflite file."""

from collections import Counter
from importlib import metadata
from typing import Any

import numpy as np


def convert(program: str, image: dict[str, Any], outputs: list[str], facts: dict[str, str], out: str) -> dict[str, str]:
    """Write an exported PyTorch program as a float32 .tflite file, whose names and metadata are ours.

    Args:
        program: a .pt2 file.
        image: the input's `name`, `dtype` and `shape`, its batch included.
        outputs: names, in the program's order.
        facts: metadata of the file.
        out: of the .tflite file.

    Returns:
        versions by distribution.
    """
    import litert_torch
    import torch

    class Named(torch.nn.Module):
        """Names the outputs."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict(zip(outputs, self.inner(*inputs.values()), strict=True))

    named = Named(torch.export.load(program).module())
    named.training = False  # an exported program has no eval()
    example = torch.zeros(*image["shape"], dtype=getattr(torch, image["dtype"]))
    litert_torch.convert(named, sample_kwargs={image["name"]: example}).export(out)
    _describe(out, facts)
    return {name: metadata.version(name) for name in ("litert-torch", "torch")}


def _describe(path: str, facts: dict[str, str]) -> None:
    """Give each tensor a name that says which operator it belongs to, and the file its metadata.

    The converter's names repeat the classes of PyTorch modules, and tell no two layers apart.
    """
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(path)
    for number, graph in enumerate(model.subgraphs):
        _name_tensors(model, graph, prefix=f"graph_{number}_" if number else "")
    for signature in model.signatureDefs:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        for entry in (*signature.inputs, *signature.outputs):
            tensors[entry.tensorIndex].name = entry.name
    for key, value in facts.items():
        buffer, entry = tools.schema_fb.BufferT(), tools.schema_fb.MetadataT()
        buffer.data = np.frombuffer(value.encode(), np.uint8)
        entry.name, entry.buffer = key, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata.append(entry)
    tools.write_model(model, path)


def _name_tensors(model: Any, graph: Any, prefix: str) -> None:
    from ai_edge_litert.tools import flatbuffer_utils as tools

    named: set[int] = set()
    seen: Counter[str] = Counter()
    for operator in graph.operators:
        kind = str(tools.opcode_to_name(model, operator.opcodeIndex)).lower()
        seen[kind] += 1
        base = f"{prefix}{kind}_{seen[kind]}"
        results = {place: base if not at else f"{base}_result_{at + 1}" for at, place in enumerate(operator.outputs)}
        inputs = {place: f"{base}_input_{at + 1}" for at, place in enumerate(operator.inputs)}
        for place, name in (*results.items(), *inputs.items()):
            if place >= 0 and place not in named:  # -1: an input that is left out
                graph.tensors[place].name = name
                named.add(place)
