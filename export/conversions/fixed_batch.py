"""An ONNX file for one number of images, as NPUs and phones' accelerators want it: every shape in it is known."""

from pathlib import Path

from ..errors import ExportError, one_line
from ..signature import BATCH
from .base import Converted, Ingredients


def of_batch(ingredients: Ingredients, name: str, batch: int | None) -> Converted:
    """What the ONNX conversion `name` gives, for `batch` images and no other number; for any number when None.

    Raises:
        ConfigError, MissingDependencyError, ExportError: as `Ingredients.get`.
    """
    source = ingredients.get(name)
    if batch is None:
        return source
    out = ingredients.scratch / f"{name}.b{batch}.onnx"
    return ingredients.once(out.name, lambda: Converted(fix_batch(source.path, out, batch), source.details))


def fix_batch(source: Path, out: Path, batch: int) -> Path:
    """Write a copy of the ONNX file `source` to `out`, in which the number of images is `batch`.

    Raises:
        ExportError: its graph is for another number, or its shapes cannot be followed.
    """
    import onnx
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    model = onnx.load(source)
    try:
        make_dim_param_fixed(model.graph, BATCH, batch)
        model.graph.ClearField("value_info")  # what was derived from any number of images
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the graph cannot be fixed to {batch} images: {one_line(error)}") from error
    own = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    if own != batch:
        raise ExportError(f"the graph takes {own or 'another number of'} images at once and cannot be fixed to {batch}")
    onnx.save(model, out)
    return out
