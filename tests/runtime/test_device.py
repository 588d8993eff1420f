import re
import socket

import msgspec
import pytest

from edgedistill.runtime import device


def test_the_description_is_plain_data_without_the_host_s_name():
    found = device.describe_device()
    text = msgspec.json.encode(found).decode()
    assert msgspec.json.decode(text, type=device.Device) == found
    assert 1 <= found.cores <= found.cores_total
    assert found.versions["numpy"]
    assert "hostname" not in text
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text


@pytest.mark.parametrize(
    ("cpu", "gpus", "arch", "slug"),
    [
        ("Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", (), "x86_64", "intel-core-i7-1185g7-x86_64"),
        ("AMD EPYC 9B14 96-Core Processor", (), "x86_64", "amd-epyc-9b14-96-core-x86_64"),
        ("Raspberry Pi 5 Model B Rev 1.0", (), "aarch64", "raspberry-pi-5-model-b-rev-1-0-aarch64"),
        ("whatever", ("NVIDIA GeForce RTX 4090, 24564 MiB, 580.1",), "x86_64", "nvidia-geforce-rtx-4090-x86_64"),
        ("../../etc", (), "arm64", "etc-arm64"),
    ],
)
def test_the_slug_is_short_and_safe(monkeypatch, cpu, gpus, arch, slug):
    monkeypatch.setattr(device, "_cpu_model", lambda: cpu)
    monkeypatch.setattr(device, "_gpus", lambda: gpus)
    monkeypatch.setattr(device.platform, "machine", lambda: arch)
    assert device.device_slug() == slug
    assert re.fullmatch(r"[a-z0-9_-]+", slug)


@pytest.mark.parametrize(
    ("told", "overflows"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 fma", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp", False),  # Arm
        (None, False),
    ],
)
def test_an_x86_cpu_without_vnni_overflows(monkeypatch, told, overflows):
    monkeypatch.setattr(device, "_read", lambda path: told)
    assert device.overflows_bytes() is overflows
