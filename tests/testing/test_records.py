"""The op records themselves, and what importing them costs."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import testing
from minidl.testing import OpRecord, ops
from minidl.testing.records import draw

RECORDS = list(ops())


def test_hypothesis_is_imported_only_for_the_records():
    program = (
        "import sys, minidl.testing as t\n"
        "assert 'hypothesis' not in sys.modules\n"
        "t.gradcheck, t.assert_close\n"
        "assert 'hypothesis' not in sys.modules\n"
        "next(t.ops())\n"
        "assert 'hypothesis' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_everything_announced_is_there():
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'gradchek'"):
        _ = testing.gradchek


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_fields_are_meaningful(record):
    assert callable(record.function)
    assert record.domain
    assert record.order in (0, 1, 2)
    assert set(record.dtypes) <= set("biuf")
    assert record.result in ("same", "float", "bool", "index", "sum", "given")
    for case in record.errors:
        assert case.words


def test_a_record_without_reference_gives_a_reason():
    with pytest.raises(ValueError, match="no reference"):
        OpRecord("f", abs, st.nothing(), None)


@given(data=st.data())
def test_domains_keep_their_distance(data):
    domain = draw.Domain(-2.0, 2.0, kinks=(-1.0, 0.0, 1.0), gap=0.2)
    x = draw.real(data.draw, draw.shape(data.draw), domain)
    for kink in domain.kinks:
        assert (np.abs(x - kink) >= 0.2).all()
    distinct = np.sort(draw.real(data.draw, draw.shape(data.draw), draw.DISTINCT).ravel())
    assert (np.diff(distinct) > 0.6 * 4 / max(distinct.size, 1) - 1e-9).all()


@given(data=st.data())
def test_broadcastable_shapes_broadcast(data):
    shapes = draw.broadcastable(data.draw, 3)
    assert np.broadcast_shapes(*shapes) in shapes
