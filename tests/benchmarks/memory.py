"""The most memory that is live in tensors at any moment of a training step.

Weights, gradients, optimizer state, batch and activations count. So do, for minidl alone, the
small objects of its tape and the workspaces of its kernels: PyTorch's profiler tells neither of its
own objects nor of oneDNN's workspaces.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

from .workloads import Workload

STEPS = 3  # before the one that is looked at: optimizers have their state then


def peak(library: Any, workload: Workload) -> int:
    """Bytes at the peak of a step."""
    for _ in range(STEPS):
        workload.step()
    growth = growth_in_minidl if library.__name__ == "minidl" else growth_in_torch
    workload.model.zero_grad()
    return live(workload) + growth(workload)


def live(workload: Workload) -> int:
    """Bytes of weights, buffers, optimizer state and batch, between steps."""
    tensors = [*workload.model.state_dict().values(), *workload.batch]
    if workload.optimizer is not None:
        for state in workload.optimizer.state.values():
            tensors += [value for value in state.values() if hasattr(value, "numel")]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def growth_in_minidl(workload: Workload) -> int:
    """NumPy and Numba report what they allocate to tracemalloc."""
    tracemalloc.start(1)
    workload.step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def growth_in_torch(workload: Workload) -> int:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        workload.step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most
