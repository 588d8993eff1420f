"""A method's sub-tasks as processes on this machine, several at once."""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from rich.console import Console

from ...runtime.device import usable_cores
from ...runtime.errors import ConfigError, EdgedistillError, InterruptedRunError
from ...runtime.progress import counting, print_line
from ..data.free_memory import JOBS
from ..engine import current_world
from ..engine.interrupt import catch_interrupt, print_at_once
from .sub_teachers import SubTeachers

_POLL_SECONDS = 0.05
_STOPPED = InterruptedRunError.exit_code
_ERROR = "error: "  # how the command line begins its one line about a mistake


class Command(NamedTuple):
    """What a process runs, what it is called in messages, and what the lines that it prints begin with."""

    title: str
    arguments: Sequence[str]
    prefix: str = ""


def train_tasks(teachers: SubTeachers, jobs: int, console: Console) -> None:
    """Train every sub-task that is left, each by a command of its own as on a cluster, at most `jobs` at once.

    Raises:
        ConfigError: this process is one of torchrun's.
        EdgedistillError: one failed; the others saved what they had.
        InterruptedRunError: Ctrl-C or SIGTERM; likewise.
    """
    if current_world().size > 1:
        raise ConfigError("`--jobs` starts processes of its own: use it without torchrun, or torchrun without it.")
    loaded, left = teachers.loaded, teachers.left()
    if not left:
        return
    command = [sys.executable, "-m", "edgedistill", "distill", loaded.where, *loaded.assignments, "--task"]
    at_once = min(jobs, len(left))
    environments = share_machine(at_once)
    console.print(
        f"{len(left)} of {len(teachers.tasks)} sub-tasks are to be trained, {at_once} at once with "
        f"{environments[0]['OMP_NUM_THREADS']} threads each",
        highlight=False,
    )
    commands = [Command(f"task {task.number} ({task.name})", [*command, str(task.number)]) for task in left]
    run_side_by_side(commands, environments, console)


def share_machine(processes: int) -> list[dict[str, str]]:
    """The environments of that many processes: the cores and the memory divided, the GPUs dealt out in turn.

    Their loading processes have their part of the cores too. A user's own OMP_NUM_THREADS holds for each process.
    """
    base = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"} | {"NO_COLOR": "1"}
    base[JOBS] = str(processes)
    base.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    if len(gpus) < 2:
        return [base] * processes
    return [base | {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(processes)]


class Queue(Protocol):
    """Commands in the order in which they may start."""

    def left(self) -> bool:
        """Whether any is still to be started."""

    def take(self) -> Command | None:
        """The next to start; None where none may start now."""

    def ended(self, command: Command, failure: EdgedistillError | None) -> None:
        """Told of each that ended by itself; an EdgedistillError from here stops the others."""

    def progress(self) -> tuple[int, int]:
        """How many are done, of how many."""


class _InOrder:
    """A list of commands, none of which may fail."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._waiting, self._done, self._total = deque(commands), 0, len(commands)

    def left(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Command | None:
        return self._waiting.popleft() if self._waiting else None

    def ended(self, command: Command, failure: EdgedistillError | None) -> None:
        self._done += 1
        if failure is not None:
            raise failure

    def progress(self) -> tuple[int, int]:
        return self._done, self._total


def run_side_by_side(commands: Sequence[Command], environments: Sequence[dict[str, str]], console: Console) -> None:
    """Run commands of edgedistill as processes, one at a time in each environment.

    What they print on stderr is passed on. When one fails, or at Ctrl-C or SIGTERM, no other starts and those that run
    are asked to save and stop.

    Raises:
        EdgedistillError: the first that failed, with what it said.
        InterruptedRunError: Ctrl-C or SIGTERM, here or to one of them.
    """
    run_queue(_InOrder(commands), environments, console, what="sub-tasks")


def run_queue(queue: Queue, environments: Sequence[dict[str, str]], console: Console, *, what: str) -> None:
    """The same for commands of which each may wait for others, and whose failures the queue judges.

    Args:
        queue: what is to run.
        environments: of the processes.
        console: gets what they print on stderr.
        what: the commands are called, e.g. "sub-tasks".
    """
    free, running = deque(environments), list[_Process]()
    failure: EdgedistillError | None = None
    stopping = f"stopping all {what} after their step; again to stop at once"
    with (
        counting(what, console) as progress,
        catch_interrupt(lambda: print_at_once(console, stopping)) as stop,
    ):
        try:
            while running or (not (stop or failure) and queue.left()):
                while free and not (stop or failure) and (command := queue.take()):
                    running.append(_Process(command, free.popleft(), console))
                time.sleep(_POLL_SECONDS)
                if stop or failure:
                    for process in running:
                        process.ask_to_stop()
                for process in [process for process in running if process.ended]:
                    running.remove(process)
                    free.append(process.environment)
                    if process.asked_to_stop:
                        continue
                    try:
                        queue.ended(process.command, process.failure())
                    except EdgedistillError as error:
                        failure = failure or error
                progress(*queue.progress())
        finally:
            for process in running:
                process.kill()
    if failure is not None:
        raise failure
    if stop:
        raise InterruptedRunError(f"the {what} were stopped; what they did is saved. The same command continues.")


class _Process:
    """A command at work.

    Args:
        command: what it runs.
        environment: of the process.
        console: gets the lines that it prints on stderr, except the one about its failure.
    """

    def __init__(self, command: Command, environment: dict[str, str], console: Console) -> None:
        self.command, self.environment, self.asked_to_stop = command, environment, False
        self._console, self._said, self._last = console, "", ""
        # A session of its own: a terminal's Ctrl-C reaches every process of this one, which passes it on by itself.
        self._process = subprocess.Popen(
            command.arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Whether it is over, and all that it said has been read."""
        return self._process.poll() is not None and not self._reader.is_alive()

    def ask_to_stop(self) -> None:
        """Let it finish its step and save, once."""
        if not self.asked_to_stop:
            self.asked_to_stop = True
            self._process.terminate()

    def kill(self) -> None:
        """At once; as after a power cut, it goes on from what it saved last."""
        self._process.kill()
        self._process.wait()

    def failure(self) -> EdgedistillError | None:
        """Why it ended before its work was done, in one line."""
        code, title = self._process.returncode, self.command.title
        if code == 0:
            return None
        kind = InterruptedRunError if code == _STOPPED else EdgedistillError
        if not self._said:
            last = f" ({self._last})" if self._last else ""
            return kind(f"{title}: was ended by signal {-code}." if code < 0 else f"{title}: exit code {code}{last}.")
        return kind(self._said if self._said.startswith(title) else f"{title}: {self._said}")

    def _read(self) -> None:
        for line in self._process.stderr or ():
            text = self._last = line.rstrip()
            if text.startswith(_ERROR):
                self._said = text.removeprefix(_ERROR)
            else:
                print_line(self._console, self.command.prefix + text)
