"""Trains in a process that can be killed: test_resume.py's subject."""

import multiprocessing
import os
import sys
from pathlib import Path

import torch
from jobs import tint_job, tint_model, tint_teacher, with_dropout
from rich.console import Console

from edgedistill.distill.engine import fit
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.errors import EdgedistillError


def train(folder: Path, save_minutes: float, loading: int) -> None:
    """A training with everything that has a state: moving average, schedule, dropout, augmentation, stored teacher."""
    os.setpgrp()  # a signal may be sent to it with its loading processes, as torchrun does
    # Else its loading process is that of another server, which imports torch again.
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    job = tint_job(
        folder, method="mld", epochs=4, views=2, save_minutes=save_minutes, workers=loading, precision="bf16"
    )
    code = 0
    try:
        fit(job, with_dropout(tint_model()), CachedSource(tint_teacher()), Console(quiet=True))
    except EdgedistillError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code)
