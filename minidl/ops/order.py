"""Order: medians and quantiles, the most frequent, what occurs, where a number belongs."""

from __future__ import annotations

from typing import Any

from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import need_tensors, promoted, refuse_half
from ..tape import Tensor, wrap
from .compare import isnan, where
from .elementwise import cast
from .index import ValuesAndIndices, argsort, gather, sort
from .reduce import _shared, argmax
from .reduce import sum as sum_
from .shape import Dim, axis_of, flatten, movedim

METHODS = """
    median nanmedian kthvalue mode quantile nanquantile msort unique unique_consecutive
""".split()  # also methods of Tensor
__all__ = [*METHODS, "bucketize", "isin", "searchsorted"]


# ---------------------------------------------------------------------------- medians, quantiles


@op
def _middle(input: Array) -> Array:
    """y = the lower median of all elements; equal ones share the gradient evenly"""
    if input.size == 0:
        return xp(input).full((), xp(input).nan if input.dtype.kind == "f" else 0, input.dtype)
    return xp(input).sort(input.ravel())[_rank_of_median(input.ravel())]
