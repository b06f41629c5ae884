"""Running tests on damaged code: each attempt in a forked process of its own.

The damage stays in that process, and so does what it breaks: a loop without end, a crash, all the
memory. Several attempts run at the same time.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minidl.testing import child

MEMORY = 4 << 30  # bytes that an attempt may use


def caught_by(test: Callable[[], str], seconds: float) -> str:
    """What notices that the code is damaged, "" if nothing does.

    test: returns the name of what failed, or ""; also an error that it raises is a failure. "time"
    if it takes longer than `seconds` of a processor, or waits for ten times as long (on a busy
    machine each test is slow); "crash" if the process dies.
    """
    processor = math.ceil(seconds)  # the limit has no fractions

    def attempt() -> bytes:
        silence()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 1))
        try:
            caught = test()
        except BaseException as error:  # a SystemExit too
            caught = type(error).__name__
        return b"." + caught.encode()  # a child that returns nothing has crashed

    try:
        return child.run(attempt, 10 * seconds).decode()[1:]
    except child.TimeOut:
        return "time"
    except child.Crash as crash:
        return "time" if crash.signal in (signal.SIGXCPU, signal.SIGVTALRM) else "crash"


def time_left(seconds: float) -> None:
    """This attempt may compute for so long from now on, then "time" has caught it; 0: no limit."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def silence() -> None:
    """Sends all that this process prints to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def in_parallel(function: Callable, items: list) -> Iterator[Any]:
    """`function` of each item, in no order, from as many processes as there are processors."""
    _Work.function, _Work.items = function, items
    processes = min(os.cpu_count() or 1, max(len(items), 1))
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_one, range(len(items)))


class _Work:
    """What the forked processes find in their copy of the memory: it need not be picklable."""

    function: Callable
    items: list


def _one(i: int) -> Any:
    return _Work.function(_Work.items[i])


def with_progress(results: Iterable, total: int, size: Callable[[Any], int]) -> Iterator[Any]:
    """The results, with a bar if tqdm is installed, else a line for each tenth of the work."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from _with_lines(results, total, size)
        return
    with tqdm(total=total, unit=" damages", leave=False) as bar:
        for result in results:
            bar.update(size(result))
            yield result


def _with_lines(results: Iterable, total: int, size: Callable[[Any], int]) -> Iterator[Any]:
    done = 0
    for result in results:
        before, done = done, done + size(result)
        if done * 10 // total > before * 10 // total:
            print(f"{done} of {total} damages tried", flush=True)
        yield result
