"""`torch.exported`: the traced PyTorch program (.pt2), for converters that run in environments of their own."""

from ..errors import ExportError, one_line
from ..signature import BATCH
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_check import require_modules


@CONVERSIONS.register("torch.exported")
def torch_exported(ingredients: Ingredients) -> Converted:
    """Trace the graph with a dynamic batch.

    Raises:
        MissingDependencyError: torch is not installed.
        ExportError: the network does something that cannot be traced, or is an ONNX file.
    """
    graph = ingredients.graph  # of an ONNX file there is none, and torch need not be here
    require_modules("torch")
    import torch

    image = ingredients.image
    # Two images: a batch of one would be traced as the constant 1.
    example = torch.zeros(2, *map(int, image.shape[1:]), dtype=getattr(torch, image.dtype))
    path = ingredients.scratch / "program.pt2"
    try:
        program = torch.export.export(graph, (example,), dynamic_shapes=({0: torch.export.Dim(BATCH, min=1)},))
        torch.export.save(program, path)
    except Exception as error:  # its exception types are many
        raise ExportError(f"the network cannot be traced: {one_line(error)}") from error
    return Converted(path)
