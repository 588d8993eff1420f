"""Running cells as Ray tasks, on this machine or on a cluster whose machines share the study's folder."""

import importlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from rich.console import Console

from ... import __version__
from ...runtime.device import usable_cores
from ...runtime.errors import EdgedistillError, InterruptedRunError, first_line
from ...runtime.progress import counting
from ..data.free_memory import JOBS
from ..engine.interrupt import catch_interrupt, print_at_once
from ..recipe.load import VARIABLE
from ..recipe.packaged import read_content
from .cell import Cell
from .queue import Queue
from .ray_worker import Asked, cell_task
from .store import Store
from .study import Study, recipe_path

_POLL_SECONDS = 1.0
_RETRIES = 3  # of a cell whose worker or machine was lost; each goes on from what was saved
_LEAST_STORE = 80 << 20  # bytes of Ray's object store: what passes through it is a few words


class Share(NamedTuple):
    """What a cell gets of the machine that it runs on."""

    cores: int
    gpus: float


def share_of(machines: list[dict[str, float]], jobs: int | None) -> Share:
    """What a cell gets where so many run at once on each machine; of unequal machines the smallest decides.

    Args:
        machines: the resources of each, as Ray tells them.
        jobs: cells on one machine; None: one per GPU, or one where there is none.

    Raises:
        EdgedistillError: no machine has a core.
    """
    able = [machine for machine in machines if machine.get("CPU", 0) >= 1]
    if not able:
        raise EdgedistillError("ray: no machine of the cluster has a core for a cell.")
    able = [machine for machine in able if machine.get("GPU", 0) >= 1] or able
    cores = min(machine["CPU"] // (jobs or max(1, machine.get("GPU", 0))) for machine in able)
    gpus = min(machine.get("GPU", 0) for machine in able)
    on_one_gpu = math.ceil((jobs or 1) / gpus) if gpus else 0
    return Share(max(1, int(cores)), 1 / on_one_gpu if on_one_gpu else 0)


def run_cells_on_ray(queue: Queue, address: str, jobs: int | None, console: Console) -> None:
    """As `run_cells`, each cell a Ray task with its cores and GPU, which Ray starts again where its worker is lost.

    Args:
        queue: what is to run.
        address: as `ray.init` takes it; "local": a Ray of its own on this machine.
        jobs: see `share_of`.
        console: gets what is told here; Ray prints what the cells tell.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; what was done is saved.
        EdgedistillError: there is no such cluster, or its machines do not share the folder.
    """
    if not queue.left():
        return
    with _connected(address) as ray, _marks(queue.store) as marks:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        share = share_of(machines, jobs)
        of_gpu = f", GPUs: {share.gpus:.2g}" if share.gpus else ""
        console.print(f"ray: machines: {len(machines)}; a cell gets cores: {share.cores}{of_gpu}", highlight=False)
        _Tasks(queue, ray, share, marks, console).run()


class _Tasks:
    """The cells that were given to Ray."""

    def __init__(self, queue: Queue, ray: Any, share: Share, marks: tuple[str, ...], console: Console) -> None:
        self.queue, self.ray, self.console = queue, ray, console
        self.given: dict[Any, Cell] = {}
        store = queue.store
        self.asked = Asked(
            folder=str(Path.cwd()),
            study=store.study.where,
            arguments=store.study.arguments,
            record=str(store.path.absolute()),
            command=store.command,
            selected=tuple(cell.name for cell in queue.selected),
            marks=marks,
            version=__version__,
            cores=share.cores,
            jobs_variable=JOBS,
            variables=_variables(store.study),
        )
        # Of a worker that ended, nothing is left: neither a GPU's memory nor a number of threads.
        as_task = ray.remote(max_calls=1, max_retries=_RETRIES, num_cpus=share.cores, num_gpus=share.gpus)
        self.task = as_task(cell_task())

    def run(self) -> None:
        """Until nothing is left; one that fails is recorded, and the others go on."""
        stopping, total = "stopping all cells after their step; again to stop at once", len(self.queue.left())
        with (
            counting("cells", self.console) as progress,
            catch_interrupt(lambda: print_at_once(self.console, stopping)) as stop,
        ):
            try:
                while not stop and (left := self.queue.left()):
                    progress(total - len(left), total)
                    while cell := self.queue.ready(left, [one.name for one in self.given.values()]):
                        self.given[self.task.options(name=cell.name).remote(self.asked._asdict(), cell.name)] = cell
                    self._wait()
                for task in self.given:
                    self.ray.cancel(task)
                while self.given:
                    self._wait()
            finally:
                for task in self.given:
                    self.ray.cancel(task, force=True)
        if stop:
            raise InterruptedRunError("the cells were stopped; what they did is saved. The same command continues.")

    def _wait(self) -> None:
        """For a moment, or until one ends."""
        if not self.given:
            time.sleep(_POLL_SECONDS)  # what is left, other processes run
            return
        for task in self.ray.wait(list(self.given), timeout=_POLL_SECONDS)[0]:
            self._ended(self.given.pop(task), task)

    def _ended(self, cell: Cell, task: Any) -> None:
        errors = self.ray.exceptions
        try:
            outcome, words = self.ray.get(task)
        except errors.TaskCancelledError:
            return
        except errors.RayTaskError as error:
            outcome, words = "failed", f"{type(error.cause).__name__}: {first_line(error.cause)}"
            if isinstance(error.cause, ImportError):
                outcome, words = "elsewhere", f"a machine cannot import edgedistill ({first_line(error.cause)})."
        except errors.RayError as error:
            outcome, words = "failed", f"its worker was lost {_RETRIES + 1} times ({first_line(error)})"
        if outcome == "elsewhere":
            raise EdgedistillError(f"ray: {words}")
        if outcome == "failed":
            self.queue.fail(cell, words)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; one that this process has already is left as it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    _require_answer(address)
    ray = importlib.import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": usable_cores(), "object_store_memory": _LEAST_STORE, "include_dashboard": False}
    try:
        ray.init(address=address, logging_level="warning", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EdgedistillError(
            f"--on ray: cannot join the Ray at {address} ({first_line(error)}). One that asks for a token wants it in "
            "RAY_AUTH_TOKEN, here too."
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Find out in seconds, for which Ray takes minutes, whether anything listens at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    if not host:  # "local", "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise EdgedistillError(f"--on ray: no Ray answers at {address} ({first_line(error)}).") from None


@contextmanager
def _marks(store: Store) -> Iterator[tuple[str, ...]]:
    folders = {store.study.folder.absolute(), store.path.absolute().parent}
    marks = [folder / f".ray-{uuid4().hex}" for folder in sorted(folders)]
    for mark in marks:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    try:
        yield tuple(map(str, marks))
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)


def _variables(study: Study) -> dict[str, str]:
    """The environment variables that the study and its recipe name, and our own, as they are here."""
    content, _, _ = read_content(recipe_path(study.spec, Path(study.where)))
    named = VARIABLE.findall(json.dumps([content, msgspec.to_builtins(study.spec), study.arguments], default=str))
    return {name: value for name, value in os.environ.items() if name in named or name.startswith("EDGEDISTILL_")}
