"""Items worked on in threads: in order, bounded, and nobody waits for whom they need not."""

import itertools
import random
import subprocess
import sys
import threading
import time

import pytest

from edgedistill.runtime.in_order import in_order


def threads_here():
    return [thread for thread in threading.enumerate() if thread.name.startswith("counted")]


def run(work, items, **options):
    return in_order(work, items, **{"threads": 3, "ahead": 6, "name": "counted", **options})


def gone(deadline=2.0):
    end = time.monotonic() + deadline
    while threads_here() and time.monotonic() < end:
        time.sleep(0.002)
    return not threads_here()


def test_results_come_in_order_however_long_each_takes():
    rng = random.Random(0)

    def work(item):
        time.sleep(rng.random() / 1000)
        return item * item

    assert list(run(work, range(200))) == [item * item for item in range(200)]
    assert list(run(work, [])) == []
    assert gone()


def test_an_endless_source_is_taken_a_little_ahead_and_left_alone_when_the_reader_leaves():
    taken = itertools.count()

    def items():
        for item in itertools.count():
            next(taken)
            yield item

    results = run(lambda item: item, items())
    assert list(itertools.islice(results, 50)) == list(range(50))
    results.close()
    assert gone()
    assert next(taken) <= 50 + 6 + 1


def test_a_result_does_not_wait_for_the_next_item():
    more = threading.Event()

    def items():
        yield 1
        more.wait(5)
        yield 2

    results = run(lambda item: item, items())
    began = time.monotonic()
    assert next(results) == 1
    assert time.monotonic() - began < 2
    more.set()
    assert list(results) == [2]


@pytest.mark.parametrize("where", ["items", "work"])
def test_what_fails_is_raised_in_its_turn(where):
    def items():
        yield from range(5)
        if where == "items":
            raise ZeroDivisionError
        yield from (5, 6)

    def work(item):
        if item == 5:
            raise ZeroDivisionError
        return item

    results = run(work, items())
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert gone()


ENDS = """
import sys, threading, time
from edgedistill.runtime.in_order import in_order

begun = threading.Event()

def work(item):
    begun.set()
    time.sleep(0.3)  # native code that is cut off here may abort the process
    sys.stdout.write("finished")

def items():
    yield 1
    threading.Event().wait()  # a camera that gives nothing more

results = in_order(work, items(), threads=2, ahead=2, name="counted")
threading.Thread(target=next, args=(results,), daemon=True).start()
begun.wait()
"""


def test_the_process_ends_after_what_is_under_way_and_without_the_next_item():
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished", "")
