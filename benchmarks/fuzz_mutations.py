"""Ways to spoil bytes, JSON values and archives, each a pure function of a generator."""

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 10**7, 2**31, 2**63, 2**70, -5, 0.5, -0.5, 1e308, 1e-320, 7.0,
    "", " ", "x", "x" * 5000, "\u0000", "\ud83d\ude00", "../../etc/passwd", "..\\..\\x", "C:/x", "\\\\server\\share\\x",
    "NUL", "/dev/zero", "nan", "inf", "fp32", "fp16", "onnxruntime", "openvino", "tensorrt", "toaster", "uint8",
    [], {}, [[]], [None], {"a": 1}, ["a", "a"], [0, 0], [-4, 2**70], [1.5, "x"],
)  # fmt: skip


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four flips, cuts, insertions, repetitions or exchanges."""
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(spoiled) + 1)
        kind = rng.randrange(7)
        if kind == 0 and spoiled:
            spoiled[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del spoiled[at:]
        elif kind == 2:
            spoiled[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        elif kind == 3:
            spoiled[at : at + rng.choice((1, 4, 64))] = b""
        elif kind == 4:
            spoiled[at:at] = spoiled[at : at + rng.choice((8, 256))]
        elif kind == 5:
            spoiled[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
        else:
            spoiled[at : at + 8] = rng.randbytes(8)
        if not spoiled:
            break
    return bytes(spoiled)


def spoil_json(data: bytes, rng: random.Random) -> bytes:
    """Other values, lost, doubled and unknown keys at random places; now and then the text itself."""
    if rng.random() < 0.15:
        return spoil_bytes(data, rng)
    if rng.random() < 0.01:
        return b"[" * 200_000 if rng.random() < 0.5 else b'{"a":' * 200_000
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _spoil_value(value, rng)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _spoil_value(value: Any, rng: random.Random) -> Any:
    value = copy.deepcopy(value)
    parent, key = rng.choice(_places(value))
    kind = rng.randrange(8)
    if kind == 0 and isinstance(parent, dict):
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif kind == 2 and isinstance(parent, list):
        del parent[key]
    elif kind == 3 and isinstance(parent, dict):
        parent[rng.choice(("unknown", "x" * 300, ""))] = rng.choice(NASTY)
    elif kind == 4 and isinstance(parent[key], int | float):
        parent[key] = parent[key] * rng.choice((-1, 0, 2, 1000, 1.5))
    elif kind == 5:
        other_parent, other_key = rng.choice(_places(value))
        parent[key] = copy.deepcopy(other_parent[other_key])
    else:
        parent[key] = rng.choice(NASTY)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        node = left.pop()
        items = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        for key, child in items:
            found.append((node, key))
            left.append(child)
    return found or [({"": value}, "")]


def spoil_zip(files: dict[str, bytes], rng: random.Random) -> bytes:
    """A .zip of `files` that lies: about names, sizes, methods, encryption; or simply damaged bytes."""
    stream = io.BytesIO()
    kind = rng.randrange(8)
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(stream, "w", method if kind in (0, 1) else zipfile.ZIP_STORED) as archive:
        for true_name, data in files.items():
            name, written = true_name, data
            if kind == 2 and rng.random() < 0.2:
                written = spoil_bytes(data, rng)
            if kind == 3 and rng.random() < 0.2:
                written = data + bytes(rng.choice((1, 10**6, 3 * 10**7)))
            if kind == 4 and rng.random() < 0.3:
                name = rng.choice(("../" + name, "/" + name, name.upper(), "sub/" + name, name + "/"))
            archive.writestr(name, written)
            if kind == 5 and rng.random() < 0.2:
                archive.writestr(name, spoil_bytes(data, rng))
    data = stream.getvalue()
    if kind == 6:
        data = _encrypted_flag(data, rng)
    return data if kind in (2, 3, 4, 5, 6) else spoil_bytes(data, rng)


def _encrypted_flag(data: bytes, rng: random.Random) -> bytes:
    """General-purpose flags of a random central directory entry, and their method, changed."""
    spoiled = bytearray(data)
    entries = [at for at in range(len(data) - 4) if data[at : at + 4] == b"PK\x01\x02"]
    at = rng.choice(entries)
    spoiled[at + 8] |= 1 if rng.random() < 0.5 else 0
    spoiled[at + 10] = rng.choice((0, 8, 9, 12, 14, 99))
    return bytes(spoiled)


Spoiler = Callable[[bytes, random.Random], bytes]
