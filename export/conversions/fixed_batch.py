"""An ONNX file for one number of images, as NPUs and phones' accelerators want it: every shape in it is known."""

from pathlib import Path

from ..child import run_in_child
from ..errors import ExportError
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

    def make() -> Converted:
        run_in_child(fix_batch, source.path, out, batch, what=f"the graph cannot be fixed to {batch} images")
        return Converted(out, source.details)

    return ingredients.once(out.name, make)


def fix_batch(source: str | Path, out: str | Path, batch: int) -> None:
    """In the child: write a copy of the ONNX file `source` to `out`, in which the number of images is `batch`.

    Raises:
        ExportError: its graph is for another number.
    """
    import onnx
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    model = onnx.load(source)
    make_dim_param_fixed(model.graph, BATCH, batch)
    model.graph.ClearField("value_info")  # what was derived from any number of images
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    own = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    if own != batch:
        raise ExportError(f"the graph takes {own or 'another number of'} images at once and cannot be fixed to {batch}")
    onnx.save(model, out)
