"""Tensors for the tests of the tape."""

import minidl


def ones(*shape, device, requires_grad=True):
    """A float64 leaf of ones."""
    return minidl.ones(*shape, dtype=minidl.float64, device=device, requires_grad=requires_grad)
