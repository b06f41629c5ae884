"""The op records themselves, and what importing them costs."""

import importlib
import subprocess
import sys

import pytest
from hypothesis import strategies as st

from minidl import testing
from minidl.testing import OpRecord, ops

RECORDS = list(ops())


def test_the_kit_imports_nothing_heavy_before_it_is_needed():
    program = (
        "import sys, minidl.testing as t\n"
        "heavy = {'hypothesis', 'pytest', 'numba', 'scipy'}\n"
        "t.gradcheck, t.explain, t.assert_close, t.as_code\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "next(t.ops())\n"
        "assert 'hypothesis' in sys.modules\n"
        "assert 'pytest' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_functions_are_not_hidden_by_modules_of_the_same_name():
    """`explain` and `gradcheck` are functions, also after their modules were imported."""
    importlib.import_module("minidl.testing.explain")
    importlib.import_module("minidl.testing.gradcheck")
    assert callable(testing.explain) and callable(testing.gradcheck)


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
