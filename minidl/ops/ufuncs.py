"""Methods of NumPy's ufuncs, on arrays of every device.

CuPy's `ufunc.at` takes few types, and its `accumulate` only sums and products.
https://docs.cupy.dev/en/stable/reference/ufunc.html
"""

from __future__ import annotations

from typing import Any

from ..device import Array, of, xp

# What atomic operations of a GPU take (CuPy: scatter_add, scatter_max, scatter_min).
_ATOMIC = ("int32", "uint32", "uint64", "float32", "float64")
_SIGN = 1 << 63


def combine_at(name: str, out: Array, index: Any, values: Array) -> None:
    """out[index] = name(out[index], values), where a place that is named twice gets both.

    name: "add", "maximum" or "minimum".
    """
    function = getattr(xp(out), name)
    kind = out.dtype
    if of(out).type != "cpu" and name != "add" and kind.kind == "f":
        _extreme_at(1 if name == "maximum" else -1, out, index, values)
    elif of(out).type == "cpu" or kind.name in _ATOMIC or (name, kind.name) == ("add", "float16"):
        function.at(out, index, values)
    else:  # sums are the same with and without a sign; for the order, flip it
        flip = 0 if name == "add" else _SIGN
        bits = out.astype("int64").view("uint64") ^ flip
        function.at(bits, index, values.astype("int64").view("uint64") ^ flip)
        out[...] = (bits ^ flip).view("int64").astype(kind)


def _extreme_at(sign: int, out: Array, index: Any, values: Array) -> None:
    """The largest float (sign 1) or the smallest (-1) at each place; nan if there is one.

    CuPy's own compares float64 as float32, and forgets nan (cupy/_core/include/cupy/atomics.cuh).
    The bits of floats, read as whole numbers, are in the order of the floats if those below the
    sign are flipped for negative numbers; nan is above infinity.
    """
    m = xp(out)

    def flipped(bits: Array) -> Array:
        return bits ^ ((bits >> 63) & (_SIGN - 1))

    def keys(floats: Array) -> Array:
        floats = (sign * floats).astype("float64")
        floats = m.where(floats != floats, m.nan, floats)  # one that has no sign
        return flipped(floats.view("int64")).view("uint64") ^ _SIGN

    best = keys(out)
    m.maximum.at(best, index, keys(values))
    out[...] = sign * flipped((best ^ _SIGN).view("int64")).view("float64")


def accumulate(name: str, array: Array, axis: int) -> Array:
    """The largest ("maximum") or smallest ("minimum") element so far along axis."""
    function = getattr(xp(array), name)
    if of(array).type == "cpu":
        return function.accumulate(array, axis=axis)
    out, reach = array.copy(), 1
    before = (slice(None),) * axis
    while reach < array.shape[axis]:  # after each turn, `out` covers twice as many elements
        later, earlier = (*before, slice(reach, None)), (*before, slice(-reach))
        out[later] = function(out[later], out[earlier])
        reach *= 2
    return out


def sums_at(places: Array, values: Array, size: int) -> Array:
    """A vector of `size` sums: element i is that of the values whose place is i."""
    if of(values).type == "cpu":
        return xp(values).bincount(places, weights=values, minlength=size)
    out = xp(values).zeros(size, values.dtype)  # CuPy's bincount waits for the GPU, twice
    combine_at("add", out, places, values)
    return out
