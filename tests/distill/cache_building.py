"""Builds a teacher cache, also in a process of its own: test_teacher_cache_processes.py's subject."""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from jobs import SMALL
from rich.console import Console

from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine import joined_world
from edgedistill.distill.models import build_from_spec
from edgedistill.distill.teacher_cache import open_or_build
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

COUNT, CHUNK, SIZE = 40, 8, (32, 32)
CHUNKS = COUNT // CHUNK


def open_cache(root: Path, *, views: int = 2, pause: float = 0.0, told=sys.stderr) -> tuple[Path, int]:
    """The cache's folder, and how many images the teacher was run on."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = (rng.random((COUNT, 3)) < 0.5).astype(np.int8)
    images = rng.integers(0, 256, (COUNT, *SIZE, 3)).astype(np.uint8)
    dataset = Dataset("noise", ("a", "b", "c"), tuple(f"{i:02d}" for i in range(COUNT)), images, labels)
    torch.manual_seed(0)
    teacher = build_from_spec(SMALL, 3)
    seen = 0

    def count(_, arguments):
        nonlocal seen
        seen += len(arguments[0])
        time.sleep(pause)

    teacher.register_forward_pre_hook(count)
    with joined_world() as world:
        cached = open_or_build(
            root,
            teacher,
            dataset,
            Views(dataset, DecodedImages(dataset, Preprocessing(size=SIZE)), ["flip", "shift"], seed=1, count=views),
            frozenset({"pooled"}),
            epochs=2,
            device=torch.device("cpu"),
            dtype=None,
            batch_size=4,
            workers=0,
            console=Console(file=told, width=500),
            world=world,
            chunk=CHUNK,
        )
    return cached.store.folder, seen


def build(root: Path, limit: int = 0, **options) -> None:
    """Print how many images the teacher was run on; no file may be larger than `limit` bytes."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        _, seen = open_cache(root, **options)
    except EdgedistillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(seen)
