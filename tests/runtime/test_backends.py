import builtins
import sys
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime import cuda
from edgedistill.runtime.backends import tensorrt as trt_backend
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.backends.model import Model
from edgedistill.runtime.bundle import Artifact, Bundle, Manifest, describe_file, open_bundle
from edgedistill.runtime.bundle.selection import open_artifact, select_artifacts
from edgedistill.runtime.bundle.storage import FolderStorage
from edgedistill.runtime.errors import BundleError, ConfigError, InferenceError, MissingDependencyError
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import BatchRange

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def open_backend(bundle, name, **options):
    (artifact,) = select_artifacts(bundle, [name])
    return open_artifact(bundle, artifact, **options)


def scores(backend, images):
    outputs = backend.infer(images)
    return outputs["logits"], outputs["probabilities"]


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.mark.parametrize("name", ["ort-fp32", "ov-fp32"])
def test_fp32_outputs_are_the_model_s(bundle, name, tiny_reference):
    expected = tiny_reference(IMAGES)
    with open_backend(bundle, name, threads=1) as backend:
        logits, probabilities = scores(backend, IMAGES)
        assert backend.effective["threads"] == "1"
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-expected)), atol=1e-6)


def test_outputs_survive_the_next_inference(bundle):
    for name in ("ort-fp32", "ov-fp32"):
        with open_backend(bundle, name) as backend:
            logits, probabilities = scores(backend, IMAGES)
            kept = logits.copy(), probabilities.copy()
            backend.infer(IMAGES[::-1])
            np.testing.assert_array_equal(logits, kept[0])
            np.testing.assert_array_equal(probabilities, kept[1])


def test_openvino_pins_the_precision(bundle):
    import openvino

    with open_backend(bundle, "ov-fp32") as backend:
        assert backend.effective["precision"] == "fp32"
        assert backend.effective["device"] == "CPU"
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    with open_backend(bundle, "ov-bf16") as backend:
        assert backend.effective["precision"] == "bf16"


def test_onnxruntime_reports_its_providers(bundle):
    with open_backend(bundle, "ort-fp32") as backend:
        assert backend.effective["providers"] == "CPUExecutionProvider"
        assert backend.effective["library"].startswith("onnxruntime ")


def test_a_session_on_the_cpu_keeps_no_second_copy_of_the_file(bundle):
    with open_backend(bundle, "ort-fp32") as backend:
        data = backend.model.files[0].read()
        held = [value for value in vars(backend._session).values() if isinstance(value, bytes)]
        assert data not in held
        assert scores(backend, IMAGES)[0].shape == (len(IMAGES), 4)


@pytest.mark.parametrize(
    ("name", "device", "error", "words"),
    [
        ("ort-fp32", "toaster", ConfigError, "unknown onnxruntime device 'toaster'"),
        ("ort-fp32", "cpu:1", ConfigError, "`:index` goes with cuda"),
        ("ort-fp32", "migraphx", MissingDependencyError, "comes with onnxruntime-migraphx"),
        ("ov-fp32", "npu.7", MissingDependencyError, "finds no device NPU.7"),
        ("ov-fp32", "auto", MissingDependencyError, "finds no device AUTO"),
    ],
)
def test_a_device_that_is_not_here(bundle, name, device, error, words):
    with pytest.raises(error, match=words):
        open_backend(bundle, name, device=device)


def test_a_library_that_gives_up_is_one_line_and_may_be_asked_again(bundle, monkeypatch):
    def give_up(_):
        raise RuntimeError("out of\nmemory")

    with open_backend(bundle, "ort-fp32") as backend:
        with monkeypatch.context() as patch:
            patch.setattr(backend, "_run", give_up)
            with pytest.raises(InferenceError, match=r"^ort-fp32: inference failed \(RuntimeError: out of memory\)\. "):
                backend.infer(IMAGES)
        assert set(backend.infer(IMAGES)) == {"logits", "probabilities"}


def test_wrong_input_is_a_programming_error(bundle):
    with open_backend(bundle, "ort-fp32") as backend:
        with pytest.raises(ValueError, match="takes uint8"):
            backend.infer(IMAGES.astype(np.float32))
        with pytest.raises(ValueError, match="takes uint8"):
            backend.infer(IMAGES[:, :8])


@pytest.mark.parametrize(("name", "place"), [("ort-fp32", 0), ("ov-fp32", 0), ("ov-fp32", 1)])
def test_an_altered_file_is_never_loaded(make_tiny_bundle, tmp_path, name, place):
    root = make_tiny_bundle(tmp_path / "b")
    path = root / select_artifacts(open_bundle(root), [name])[0].files[place].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        open_backend(open_bundle(root), name)


@pytest.mark.parametrize(("name", "library"), [("ort-fp32", "onnxruntime"), ("ov-fp32", "openvino")])
def test_a_file_that_the_library_refuses(make_tiny_bundle, tmp_path, name, library):
    root = make_tiny_bundle(tmp_path / "b")
    opened = open_bundle(root)
    (artifact,) = select_artifacts(opened, [name])
    path = root / artifact.files[0].path
    path.write_bytes(b"not a\nmodel")
    artifact = msgspec.structs.replace(artifact, files=(describe_file(path, root), *artifact.files[1:]))
    with pytest.raises(BundleError) as caught:
        open_artifact(opened, artifact)
    assert str(path) in str(caught.value)
    assert f"{library} " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("backend", "library"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino"), ("litert", "ai_edge_litert")]
)
def test_an_absent_library_names_its_extra(monkeypatch, backend, library):
    monkeypatch.setitem(sys.modules, library, None)
    reason = BACKENDS.get(backend).unavailable()
    assert reason == f'{library} is not installed: `pip install "edgedistill[{backend}]"`.'


# TensorRT. No engine can run without a GPU: what decides before it runs is tested, and the way through the API with
# a stand-in for the driver and the library.


def test_ctrl_c_while_a_library_is_imported_is_ctrl_c(monkeypatch, bundle):
    """A module in C++ makes an ImportError of it; the next artifact must not answer in its place."""

    def imported(name, *rest):
        if name == "onnxruntime":
            raise ImportError("initialization failed") from KeyboardInterrupt()
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", imported)
    with pytest.raises(KeyboardInterrupt):
        runtime.load(bundle)


def test_tensorrt_says_why_it_cannot_run():
    try:
        if cuda.device_count():
            pytest.skip("there is an NVIDIA GPU here")
    except MissingDependencyError:
        pass
    reason = BACKENDS.get("tensorrt").unavailable()
    assert "NVIDIA" in reason
    assert "\n" not in reason


def engine_artifact(**details) -> Artifact:
    target = Target(name="trt", backend="tensorrt", precision="fp16", device="gpu", batch=BatchRange(max=4))
    return Artifact(name="trt", target=target, files=(), status="built_not_run", details=details)


def engine_model(**details) -> Model:
    return Model(name="trt", files=(), precision="fp16", details=details)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({}, "built by an unnamed library"),
        ({"flavour": "tensorrt", "version": "1.7"}, "built by tensorrt 1.7, here is tensorrt_rtx 1.7"),
        ({"flavour": "tensorrt_rtx", "version": "1.6"}, "built by tensorrt_rtx 1.6, here is tensorrt_rtx 1.7"),
        (
            {"flavour": "tensorrt_rtx", "version": "1.7", "compute_capabilities": "8.6, 12.0"},
            "built for SM 8.6, 12.0, this GPU is SM 8.9",
        ),
    ],
)
def test_an_engine_of_another_library_or_gpu_is_refused(details, words):
    with pytest.raises(BundleError, match=words):
        trt_backend.check_engine(engine_model(**details), "tensorrt_rtx", "1.7", "8.9")


@pytest.mark.parametrize("targets", ["portable", "", "8.6, 8.9"])
def test_an_engine_for_this_library_and_gpu_is_accepted(targets):
    details = {"flavour": "tensorrt_rtx", "version": "1.7", "compute_capabilities": targets}
    trt_backend.check_engine(engine_model(**details), "tensorrt_rtx", "1.7", "8.9")


class FakeGpu:
    """Device memory as a dict; a queued copy happens at once."""

    compute_capability = "8.9"
    stream = 7

    def __init__(self, index):
        self.memory, self.closed, self.index = {}, False, index

    def activate(self):
        assert not self.closed

    def allocate(self, size):
        self.memory[address := 1000 + len(self.memory)] = bytearray(size)
        return address

    def free(self, address):
        del self.memory[address]

    def upload(self, address, array):
        self.memory[address][: array.nbytes] = array.tobytes()

    def download(self, array, address):
        array[:] = np.frombuffer(self.memory[address][: array.nbytes], array.dtype).reshape(array.shape)

    def synchronize(self):
        pass

    def close(self):
        assert not self.memory
        self.closed = True


def fake_tensorrt(gpus, function, loads=True):
    class Context:
        def __init__(self):
            self.address, self.shape = {}, None

        def set_tensor_address(self, name, address):
            self.address[name] = address

        def set_input_shape(self, name, shape):
            self.shape = shape
            return True

        def execute_async_v3(self, stream):
            memory = gpus[0].memory
            pixels = np.frombuffer(memory[self.address["image"]], np.uint8)[: np.prod(self.shape)]
            logits = function(pixels.reshape(self.shape)).astype(np.float32)
            for name, values in (("logits", logits), ("probabilities", 1 / (1 + np.exp(-logits)))):
                memory[self.address[name]][: values.nbytes] = values.astype(np.float32).tobytes()
            return stream == 7

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, data):
            if not loads:
                self.logger.log("ERROR", "the plan file\nis for another world")
                return None
            return Engine()

    class Engine:
        tensors = (
            ("image", (-1, 16, 16, 3), np.uint8),
            ("logits", (-1, 4), np.float32),
            ("probabilities", (-1, 4), np.float32),
        )
        num_io_tensors = 3
        create_execution_context = Context

        def get_tensor_name(self, place):
            return self.tensors[place][0]

        def get_tensor_shape(self, name):
            return next(shape for known, shape, _ in self.tensors if known == name)

        def get_tensor_dtype(self, name):
            return next(dtype for known, _, dtype in self.tensors if known == name)

        def get_tensor_mode(self, name):
            return "INPUT" if name == "image" else "OUTPUT"

        def create_engine_inspector(self):
            layer = '{"Name": "a", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Half"}]}'
            return SimpleNamespace(get_engine_information=lambda _: f'{{"Layers": [{layer}]}}')

    class ILogger:
        INTERNAL_ERROR, ERROR = "INTERNAL_ERROR", "ERROR"

    return SimpleNamespace(
        __name__="tensorrt_rtx",
        __version__="1.7",
        Runtime=Runtime,
        ILogger=ILogger,
        TensorIOMode=SimpleNamespace(INPUT="INPUT"),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
        nptype=lambda dtype: dtype,
    )


@pytest.fixture
def engine_bundle(bundle, tmp_path):
    (tmp_path / "model.engine").write_bytes(b"engine")
    entry = describe_file(tmp_path / "model.engine", tmp_path)
    artifact = msgspec.structs.replace(engine_artifact(flavour="tensorrt_rtx", version="1.7"), files=(entry,))
    manifest: Manifest = msgspec.structs.replace(bundle.manifest, artifacts=(artifact,))
    return Bundle(FolderStorage(tmp_path), manifest, b"")


def test_tensorrt_moves_images_and_outputs(monkeypatch, engine_bundle, tiny_reference):
    gpus = []
    monkeypatch.setattr(cuda, "Gpu", lambda index: gpus.append(FakeGpu(index)) or gpus[-1])
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_tensorrt(gpus, tiny_reference))
    with open_backend(engine_bundle, "trt", device="cuda:1") as backend:
        for images in (IMAGES, IMAGES[:1], np.concatenate([IMAGES, IMAGES[:1]])):
            logits, probabilities = scores(backend, images)
            np.testing.assert_allclose(logits, tiny_reference(images), atol=1e-6)
            np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
        with pytest.raises(ValueError, match="batches of 1 to 4, not 6"):
            backend.infer(np.concatenate([IMAGES, IMAGES]))
        assert backend.effective["device"] == "cuda:1, SM 8.9"
        assert backend.effective["precision"] == "fp16"
        assert backend.convolutions() == [("a", "float")]
    assert gpus[0].closed


def test_tensorrt_gives_the_logged_reason(monkeypatch, engine_bundle):
    gpus = []
    monkeypatch.setattr(cuda, "Gpu", lambda index: gpus.append(FakeGpu(index)) or gpus[-1])
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_tensorrt(gpus, None, loads=False))
    with pytest.raises(BundleError, match=r"cannot load it \(the plan file is for another world\)"):
        open_backend(engine_bundle, "trt")


@pytest.mark.parametrize("device", ["cpu", "gpu:", "cuda:x"])
def test_tensorrt_device_words(monkeypatch, engine_bundle, device):
    with pytest.raises(ConfigError, match="unknown tensorrt device"):
        open_backend(engine_bundle, "trt", device=device)


def test_the_library_has_the_api_that_the_backend_calls():
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 Linux and Windows only")
    messages = []
    runtime = trt.Runtime(trt_backend.collecting_logger(trt, messages))
    assert runtime.deserialize_cuda_engine(b"junk") is None
    assert messages
    assert hasattr(trt.ICudaEngine, "create_execution_context")
    for name in ("set_tensor_address", "set_input_shape", "execute_async_v3"):
        assert hasattr(trt.IExecutionContext, name)
