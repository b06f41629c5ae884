"""One contender in its own process: `python -m tests.benchmarks.child CONTENDER WORK SECONDS`.

Prints one JSON object: the median time of a step in seconds, the losses of the first steps, and
what the contender runs on. WORK names a workload, or is "ops,WORD,..." with words in names of ops,
or is "memory,WORKLOAD": then the peak of memory is measured instead of time.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from . import machine, memory
from .ops import CASES, chosen
from .workloads import WORKLOADS, Workload

LOSSES = 3  # compared between contenders
MODULES = {"minidl": "minidl", "jax": "jax"}  # the others are PyTorch


def main(contender: str, work: str, seconds: float) -> dict:
    """Imports the contender and times it. Raises ImportError if it is not installed."""
    library = importlib.import_module(MODULES.get(contender, "torch"))
    threads = int(os.environ["OMP_NUM_THREADS"])
    if contender != "jax":
        library.set_num_threads(threads)
    found: dict[str, Any] = {"times": {}}
    if work.startswith("ops"):
        if contender in ("minidl", "torch"):
            found = {"times": time_ops(library, chosen(work.split(",")[1:]), seconds)}
    elif work.startswith("memory"):
        found = {"peak": memory.peak(library, WORKLOADS[work.split(",")[1]](library))}
    elif (step := step_of(contender, library, work)) is not None:
        found = time_steps(step, seconds)
    return found | {"about": machine.about(library)}


def step_of(contender: str, library: Any, work: str) -> Callable[[], float] | None:
    """The training step that returns its loss; None if the contender has nothing to show there."""
    if contender == "jax":
        from .in_jax import STEPS

        return STEPS[work]() if work in STEPS else None
    workload = WORKLOADS[work](library)
    if contender == "channels-last" and all(x.ndim != 4 for x in workload.batch):
        return None  # no images
    workload = prepared(contender, library, workload)
    return lambda: workload.step().item()


def prepared(contender: str, torch: Any, workload: Workload) -> Workload:
    """The workload as this contender runs it."""
    if contender == "channels-last":
        layout = {"memory_format": torch.channels_last}
        workload.model.to(**layout)
        workload.batch = tuple([x.to(**layout) if x.ndim == 4 else x for x in workload.batch])
    elif contender == "compile":
        workload.model = torch.compile(workload.model)
    return workload


def time_steps(step: Callable[[], float], seconds: float) -> dict:
    """The median time of a step, and the losses of the first ones."""
    losses = [step() for _ in range(LOSSES)]
    return {"time": median_time(step, seconds), "losses": losses}


def median_time(step: Callable, seconds: float) -> float:
    """The median of the times of calls, made for `seconds` (at least 3) after half as long a
    warm-up. Short calls are timed in groups of about a millisecond."""
    end = time.perf_counter() + seconds / 2
    warm: list[float] = []
    while not warm or time.perf_counter() < end:
        warm.append(timed(step, 1))
    group = max(1, int(1e-3 / min(warm)))
    end = time.perf_counter() + seconds
    times: list[float] = []
    while len(times) < 3 or time.perf_counter() < end:
        times.append(timed(step, group))
    return statistics.median(times)


def timed(step: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def time_ops(torch: Any, names: list[str], seconds: float) -> dict[str, float]:
    """The times of these ops, forward (`add f`) and forward and backward (`add fb`)."""
    times = {}
    for name in names:
        for suffix, call in CASES[name](torch).calls(torch).items():
            times[f"{name} {suffix}"] = median_time(call, seconds / 10)
    return times


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
