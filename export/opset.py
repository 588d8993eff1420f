"""Which of ONNX's operator sets (opsets) the graphs are written in; PyTorch's default unless one is asked for."""

from ..runtime.errors import ConfigError
from .conversions.onnx_check import require_modules

OLDEST = 18  # PyTorch writes none older itself: it would try to convert, and say nothing where it cannot


def check_opset(opset: int | None) -> None:
    """Refuse an operator set before the work begins; None, PyTorch's default, is always fine.

    Raises:
        ConfigError: PyTorch does not write it, or the installed onnx does not know it.
        MissingDependencyError: the ONNX toolchain is not installed.
    """
    if opset is None:
        return
    require_modules("onnx")
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise ConfigError(
            f"opset {opset}: PyTorch writes {OLDEST} and newer, and onnx {onnx.__version__} knows none above {newest}; "
            "leave it out for PyTorch's default."
        )
