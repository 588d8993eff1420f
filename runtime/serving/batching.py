"""Images that wait at the same time go through one inference."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Waiting(NamedTuple):
    item: Any
    answer: "asyncio.Future[Any]"


class Batcher(Generic[T, R]):
    """Joins single items to batches and gives each its own answer; belongs to one event loop.

    While a batch is computed the next one gathers, so that under load batches grow by themselves, and a window is
    only worth its wait where the computation gains by it.

    Args:
        compute: from items to as many results; called in threads of its own.
        most: items of a batch.
        workers: batches that are computed at once.
        window: seconds that a batch's first item waits for more.
        observe: called after each batch with its number of items and the seconds that it took.
    """

    def __init__(
        self,
        compute: Callable[[list[T]], Sequence[R]],
        *,
        most: int,
        workers: int,
        window: float,
        observe: Callable[[int, float], None],
    ) -> None:
        self._compute, self._most, self._window, self._observe = compute, most, window, observe
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._workers, self._threads = workers, ThreadPoolExecutor(workers, thread_name_prefix="infer")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take batches."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()) for _ in range(self._workers)]

    async def result(self, item: T) -> R:
        """The item's own result.

        Raises:
            Exception: whatever computing its batch raised.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(item, answer))
        return await answer

    async def close(self) -> None:
        """Stop; nothing may be waiting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()

    async def _run(self) -> None:
        while True:
            batch = await self._gather()
            asked = [one for one in batch if not one.answer.done()]  # whose client has not left
            if asked:
                await self._answer(asked)

    async def _gather(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        until = time.monotonic() + self._window
        while len(batch) < self._most:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
            elif (left := until - time.monotonic()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    batch.append(await asyncio.wait_for(self._queue.get(), left))
            else:
                break
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        begun = time.perf_counter()
        try:
            results = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._compute, [one.item for one in batch]
            )
        except Exception as error:  # each of its images is told; the next batch is another
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        self._observe(len(batch), time.perf_counter() - begun)
        for one, result in zip(batch, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
