"""What test_child.py runs in children; imported there by its path alone."""

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def modules(*arguments):
    """What arrived, and which heavy libraries an empty child has loaded."""
    print("a tool's progress")
    return [list(arguments), sorted({"numpy", "msgspec", "torch", "edgedistill"} & set(sys.modules))]


def raise_error():
    raise ValueError("the graph has\n  a hole")


def leave():
    print("fatal: out of licences", file=sys.stderr)
    sys.exit(7)


def forget_a_folder(end):
    """What a library makes for itself and removes when Python ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    Path(folder, "model").write_text("large")
    if end == "crash":
        segfault()
    if end == "time":
        time.sleep(60)
    return folder


def segfault():
    print("loading plug-in 3 of 4", file=sys.stderr, flush=True)
    ctypes.string_at(0)


def be_killed():
    print("short of memory", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def count(most, say):
    for number in range(most):
        say(f"{number + 1}\nof {most}")
    return most


def say_and_sleep(say):
    say("asleep")
    time.sleep(60)


def sleep_with_a_child(pids):
    """A tool that starts a process of its own and hangs."""
    start_a_child(pids)
    time.sleep(60)


def crash_with_a_child(pids):
    start_a_child(pids)
    ctypes.string_at(0)


def start_a_child(pids):
    inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(pids + ".tmp").write_text(f"{os.getpid()} {inner.pid}")
    Path(pids + ".tmp").rename(pids)


def stdin_is_empty():
    return sys.stdin.read()


def own_cores(mark, other):
    """Waits until another child runs too."""
    Path(mark).touch()
    end = time.monotonic() + 20
    while not Path(other).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return [sorted(os.sched_getaffinity(0)), Path(other).exists()]
