"""The few CUDA driver calls that TensorRT needs beside its own API.

Through ctypes on the driver's library, because that comes with every NVIDIA driver (desktop, server and Jetson), while
cuda-python and libcudart are further packages to install and to match.
"""

import ctypes
import functools
import sys

import numpy as np

from .errors import MissingDependencyError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@functools.cache
def _driver() -> ctypes.CDLL:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        raise MissingDependencyError(
            f"no NVIDIA driver here ({name} is not found): TensorRT engines run on an NVIDIA GPU only."
        ) from None
    status = driver.cuInit(0)
    if status:
        raise MissingDependencyError(f"the NVIDIA driver finds no usable GPU (cuInit returned CUDA error {status}).")
    return driver


def _call(name: str, *arguments: object) -> None:
    status = getattr(_driver(), name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(status, ctypes.byref(text))
        raise RuntimeError(f"{name} returned CUDA error {status}: {(text.value or b'unknown').decode()}")


def device_count() -> int:
    """How many GPUs the driver offers; raises MissingDependencyError when there is no driver or none is usable."""
    count = ctypes.c_int()
    _call("cuDeviceGetCount", ctypes.byref(count))
    return count.value


class Gpu:
    """A GPU's primary context (the one that TensorRT uses) with one stream.

    Args:
        index: the device's number.
    """

    def __init__(self, index: int) -> None:
        count = device_count()
        if index >= count:
            raise MissingDependencyError(f"there is no GPU {index} here: the NVIDIA driver offers {count}, from 0.")
        self._device = ctypes.c_int()
        _call("cuDeviceGet", ctypes.byref(self._device), index)
        self._context = ctypes.c_void_p()
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.activate()
        self._stream = ctypes.c_void_p()
        _call("cuStreamCreate", ctypes.byref(self._stream), 0)

    @property
    def stream(self) -> int:
        """The stream's handle as TensorRT takes it."""
        return self._stream.value or 0

    @property
    def compute_capability(self) -> str:
        """The SM version, e.g. "8.9"."""
        values = []
        for attribute in (_MAJOR, _MINOR):
            value = ctypes.c_int()
            _call("cuDeviceGetAttribute", ctypes.byref(value), attribute, self._device)
            values.append(str(value.value))
        return ".".join(values)

    def activate(self) -> None:
        """Make the context current in the calling thread: CUDA keeps one per thread."""
        _call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """Device memory of `size` bytes; returns its address."""
        address = ctypes.c_uint64()
        _call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        _call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, array: np.ndarray) -> None:
        """Queue the copy of a C-contiguous array to the device; it must live until `synchronize`."""
        source, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        _call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, self._stream)

    def download(self, array: np.ndarray, address: int) -> None:
        """Queue the copy from the device into a C-contiguous array; it is filled after `synchronize`."""
        target, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        _call("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), size, self._stream)

    def synchronize(self) -> None:
        _call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        _call("cuStreamDestroy_v2", self._stream)
        _call("cuDevicePrimaryCtxRelease_v2", self._device)
