"""What test_coreml.py runs in the toolchain's environment; imported there by its path alone."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np

OPERATORS = Path(__file__).parents[2] / "export" / "coreml" / "operators.py"


def read_back(packages):
    """All that is asked in this environment, in one process."""
    return {
        "packages": {name: describe_package(path) for name, path in packages.items()},
        "wrong_operators": compare_operators(),
    }


def evaluate_without(operator, *arguments):
    """The evaluation, were an operator not known to it."""
    package = sys.modules["coreml_work"] = types.ModuleType("coreml_work")
    package.__path__ = [str(OPERATORS.parent)]
    module = importlib.import_module("coreml_work.evaluate")
    del module.OPERATORS[operator]
    return module.evaluate(*arguments)


def describe_package(path):
    """What a saved package says of itself."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.converters.mil.mil import types

    spec = ct.utils.load_spec(path)
    (given,) = spec.description.input
    kind = given.type.WhichOneof("Type")
    image, array = given.type.imageType, given.type.multiArrayType
    if kind == "imageType":
        shape, word = [image.height, image.width], image.ColorSpace.Name(image.colorSpace)
    else:
        ranges = array.shapeRange.sizeRanges
        shape = [[side.lowerBound, side.upperBound] for side in ranges] or list(array.shape)
        word = array.ArrayDataType.Name(array.dataType)
    weights = Path(path, "Data/com.apple.CoreML/weights")
    (main,) = load(spec, spec.specificationVersion, file_weights_dir=str(weights)).functions.values()
    convolution = next(operation for operation in main.operations if operation.op_type == "conv")
    return {
        "input": {"name": given.name, "kind": kind, "shape": shape, "type": word},
        "outputs": [
            [out.name, out.type.multiArrayType.ArrayDataType.Name(out.type.multiArrayType.dataType)]
            for out in spec.description.output
        ],
        "metadata": dict(spec.description.metadata.userDefined),
        "weights": str(np.dtype(types.nptype_from_builtin(convolution.weight.dtype))),
    }


X = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
Y = X[:, ::-1].copy() + 1
CASES = (
    ("concat", {"values": (X, Y), "axis": 1}),
    ("split", {"x": X, "num_splits": 2, "axis": 1}),
    ("split", {"x": X, "split_sizes": [1, 3], "axis": 1}),
    ("slice_by_index", {"x": X, "begin": [0, 1, -3, 2], "end": [2, 3, 5, 6], "end_mask": [True, False, False, False]}),
    (
        "slice_by_index",
        {
            "x": X,
            "begin": [0, 0, 0, 4],
            "end": [2, 4, 5, 5],
            "stride": [1, 2, 1, 1],
            "squeeze_mask": [False] * 3 + [True],
        },
    ),
    ("gather", {"x": X, "indices": np.array([[3, 0], [1, 1]], np.int32), "axis": 1}),
    ("softmax", {"x": X, "axis": -1}),
    ("layer_norm", {"x": X, "axes": [2, 3], "gamma": X[0, 0], "beta": Y[0, 0], "epsilon": 1e-5}),
    ("reduce_mean", {"x": X, "axes": [-1, 2], "keep_dims": True}),
    ("reduce_max", {"x": X, "axes": [1], "keep_dims": False}),
    ("matmul", {"x": X, "y": Y, "transpose_x": False, "transpose_y": True}),
    ("clip", {"x": X, "alpha": -0.5, "beta": 0.5}),
    ("sigmoid_hard", {"x": X, "alpha": 0.2, "beta": 0.5}),
    ("leaky_relu", {"x": X, "alpha": 0.1}),
    ("elu", {"x": X, "alpha": 0.7}),
    ("gelu", {"x": X, "mode": "EXACT"}),
    ("softplus", {"x": X}),
    ("rsqrt", {"x": np.abs(X), "epsilon": 1e-3}),
    ("pad", {"x": X, "pad": [0, 0, 0, 0, 1, 2, 3, 0], "mode": "constant", "constant_val": 2.0}),
    ("reshape", {"x": X, "shape": [2, 20, 6]}),
    ("transpose", {"x": X, "perm": [0, 2, 3, 1]}),
    ("expand_dims", {"x": X, "axes": [1, -1]}),
    ("tile", {"x": X, "reps": [1, 2, 1, 1]}),
    ("stack", {"values": (X, Y), "axis": 2}),
)


def compare_operators():
    """Names of the operators that differ from what coremltools itself infers of constants, or from PyTorch's own."""
    import torch
    from coremltools.converters.mil.mil import Builder as mb
    from torch.nn import functional as F

    spec = importlib.util.spec_from_file_location("operators", OPERATORS)
    ours = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ours)
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    expected = []

    def program(x):
        for name, given in CASES:
            variables = getattr(mb, name)(**given)
            variables = variables if isinstance(variables, list | tuple) else [variables]
            expected.append((name, given, [variable.val for variable in variables]))
        return mb.identity(x=x)

    mb.program(input_specs=[mb.TensorSpec((1,))])(program)
    # coremltools' inference ignores `interleave`; its description is output[:, 0::2] = first, [:, 1::2] = second.
    shuffled = np.stack([X, Y], axis=2).reshape(2, 8, 5, 6)
    expected.append(("concat", {"values": (X, Y), "axis": 1, "interleave": True}, [shuffled]))
    window = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1]}
    mean = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    expected.append(("avg_pool", {"x": X, **window, "exclude_padding_from_average": True}, [mean.numpy()]))
    expected.append(("max_pool", {"x": X, **window}, [F.max_pool2d(x, 3, 2, 1).numpy()]))
    weight = y[:, :2, :3, :3]
    uneven = F.conv2d(F.pad(x, [0, 1, 1, 1]), weight, stride=2, groups=2)  # 5x6 at stride 2: "same" pads the end more
    same = {"strides": [2, 2], "pad_type": "same", "pad": [0] * 4, "dilations": [1, 1], "groups": 2}
    expected.append(("conv", {"x": X, "weight": weight.numpy(), **same}, [uneven.numpy()]))

    def tensor(value):
        if isinstance(value, tuple):
            return [tensor(entry) for entry in value]
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    wrong = []
    for name, given, values in expected:
        found = ours.OPERATORS[name](**{key: tensor(value) for key, value in given.items()})
        for value, result in zip(values, found if isinstance(found, tuple) else (found,), strict=True):
            if value.shape != tuple(result.shape) or not np.allclose(value, result.numpy(), atol=1e-5):
                wrong.append(name)
    return wrong
