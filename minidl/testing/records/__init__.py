"""One record per op. The tests of `tests/ops` are generated from them."""

from collections.abc import Iterator

from minidl.testing.records import (
    activation,
    arrange,
    attention,
    convolution,
    decompositions,
    distance,
    elementwise,
    image,
    index,
    inside,
    joins,
    linalg,
    loss,
    losses,
    margin_losses,
    norm,
    order,
    pointwise,
    pooling,
    products,
    rearrange,
    recurrent,
    reduce,
    resample,
    scan,
    scatter,
    shape,
    solutions,
    special_functions,
    statistics,
)
from minidl.testing.records.record import ErrorCase, OpRecord, Sample

__all__ = ["ErrorCase", "OpRecord", "Sample", "ops"]

FAMILIES = (
    elementwise,
    reduce,
    shape,
    arrange,
    index,
    linalg,
    image,
    norm,
    loss,
    inside,
    joins,
    rearrange,
    scatter,
    products,
    decompositions,
    solutions,
    activation,
    losses,
    margin_losses,
    attention,
    recurrent,
    convolution,
    distance,
    pooling,
    resample,
    pointwise,
    special_functions,
    scan,
    order,
    statistics,
)


def ops() -> Iterator[OpRecord]:
    """The record of every op."""
    for family in FAMILIES:
        yield from family.RECORDS
