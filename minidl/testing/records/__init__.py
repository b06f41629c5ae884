"""One record per op. The tests of `tests/ops` are generated from them."""

from collections.abc import Iterator

from minidl.testing.records import (
    arrange,
    elementwise,
    image,
    index,
    inside,
    linalg,
    loss,
    norm,
    reduce,
    shape,
)
from minidl.testing.records.record import ErrorCase, OpRecord, Sample

__all__ = ["ErrorCase", "OpRecord", "Sample", "ops"]

FAMILIES = (elementwise, reduce, shape, arrange, index, linalg, image, norm, loss, inside)


def ops() -> Iterator[OpRecord]:
    """The record of every op."""
    for family in FAMILIES:
        yield from family.RECORDS
