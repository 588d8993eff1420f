"""Items that wait together are computed together, each gets its own result, and a fault costs its batch alone."""

import asyncio
import threading

import pytest

from edgedistill.runtime.serving.batching import Batcher


def run(scenario, compute, *, most=4, window=0.0, workers=1):
    """Run a coroutine function with a started batcher: its result, and the sizes of the batches."""
    sizes = []

    async def inside():
        batcher = Batcher(
            compute, most=most, workers=workers, window=window, observe=lambda size, _: sizes.append(size)
        )
        batcher.start()
        try:
            return await scenario(batcher)
        finally:
            await batcher.close()

    return asyncio.run(inside()), sizes


async def all_at_once(batcher, items=range(10)):
    return await asyncio.gather(*map(batcher.result, items), return_exceptions=True)


def doubled(items):
    return [2 * item for item in items]


def test_each_item_gets_its_own_result_in_batches_of_at_most_so_many():
    results, sizes = run(all_at_once, doubled)
    assert results == [2 * item for item in range(10)]
    assert sizes == [4, 4, 2]


def test_while_one_batch_is_computed_the_next_gathers():
    begun, free = threading.Event(), threading.Event()

    def compute(items):
        begun.set()
        free.wait(10)
        return doubled(items)

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.result(0))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(batcher.result(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        free.set()
        return await asyncio.gather(first, *rest)

    assert run(scenario, compute) == ([0, 2, 4, 6], [1, 3])


@pytest.mark.parametrize(("window", "sizes"), [(0.0, [1, 1]), (5.0, [2])])
def test_a_window_waits_for_more_and_no_longer_than_until_the_batch_is_full(window, sizes):
    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.result(1))
        await asyncio.sleep(0.02)
        return [await batcher.result(2), await first]

    assert run(scenario, doubled, most=2, window=window) == ([4, 2], sizes)


def test_a_window_ends():
    async def scenario(batcher):
        return await asyncio.wait_for(batcher.result(1), 5)

    assert run(scenario, doubled, window=0.01) == (2, [1])


def test_a_fault_costs_its_batch_alone():
    def compute(items):
        if 0 in items:
            raise RuntimeError("lost")
        return doubled(items)

    results, sizes = run(all_at_once, compute)
    assert [type(one) for one in results[:4]] == [RuntimeError] * 4
    assert results[4:] == [8, 10, 12, 14, 16, 18]
    assert sizes == [4, 2]


def test_who_left_is_not_computed():
    seen = []

    async def scenario(batcher):
        gone = asyncio.ensure_future(batcher.result(1))
        await asyncio.sleep(0)
        gone.cancel()
        return await batcher.result(2)

    assert run(scenario, lambda items: seen.extend(items) or doubled(items)) == (4, [1])
    assert seen == [2]


def test_several_workers_compute_at_once():
    together = threading.Barrier(3, timeout=10)

    def compute(items):
        together.wait()  # nobody passes before all three are here
        return doubled(items)

    results, sizes = run(lambda batcher: all_at_once(batcher, range(3)), compute, most=1, workers=3)
    assert (results, sizes) == ([0, 2, 4], [1, 1, 1])
