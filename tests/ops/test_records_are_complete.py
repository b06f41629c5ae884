"""Every op has a record, so that `test_op_checks.py` runs on it."""

import inspect

import pytest

from minidl import linalg, ops, testing

pytestmark = pytest.mark.smoke
RECORDS = [record.name for record in testing.ops()]
MAKERS = ("minidl.ops.create", "minidl.ops.random", "minidl.ops.properties", "minidl.ops.dropout")
NAMESPACES = {"linalg": linalg}  # what is in them alone has records such as "linalg.eigvalsh"


def public_ops():
    """The registered ops, and the functions of minidl.ops on tensors that are built from them.

    What makes tensors (`create`, `random`) or asks about them (`properties`) has its own tests.
    """
    registered = {n for n, f in ops.all_ops().items() if f.__module__.startswith("minidl.")}
    names = {"getitem", "setitem", *registered}
    for name in ops.__all__:
        function = getattr(ops, name)
        own = inspect.isfunction(function) and function.__name__ == name  # not an alias
        if own and function.__module__ not in MAKERS:
            annotations = [p.annotation for p in inspect.signature(function).parameters.values()]
            names |= {name} if any("Tensor" in str(a) for a in annotations) else set()
    everywhere = {*ops.all_ops().values(), *[getattr(ops, name) for name in ops.__all__]}
    for space, module in NAMESPACES.items():
        functions = {name: getattr(module, name) for name in module.__all__}
        names |= {
            f"{space}.{name}"
            for name, function in functions.items()
            if inspect.isfunction(function) and function not in everywhere
        }
    return names


def test_every_op_has_a_record():
    missing = sorted(public_ops() - set(RECORDS))
    assert not missing, f"no record for {missing}: add one in minidl/testing/records/FAMILY.py"


def test_every_record_is_of_an_op():
    assert sorted(set(RECORDS) - public_ops()) == []
    assert len(RECORDS) == len(set(RECORDS))
