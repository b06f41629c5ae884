"""What every check of an op has: whether it applies, and errors that name op and call."""

import functools
from collections.abc import Callable

from minidl.tape import Op, all_ops
from minidl.testing.checks import call
from minidl.testing.checks.report import raised
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.records.record import OpRecord, Sample


def op_check(applies: Callable = lambda record: True, cost: int = 1) -> Callable:
    """Makes `check(record, sample, device)` name the op and show the call when it fails.

    applies: whether it has something to check for a record; if not, it is passed over.
    cost: by how much fewer samples are tried than of the cheapest.
    """

    def decorate(check):
        @functools.wraps(check)
        def checked(record: OpRecord, sample: Sample, device: str = "cpu") -> None:
            __tracebackhide__ = True
            if not applies(record):
                return
            try:
                check(record, sample, device)
            except SetupError:
                raise
            except Exception as error:
                if not isinstance(error, CheckError):
                    error = raised(error)
                raise _completed(error, record, sample).with_traceback(None) from None

        checked.applies, checked.cost = applies, cost
        return checked

    return decorate


def differentiable(record: OpRecord) -> bool:
    return record.order >= 1


def op_of(record: OpRecord) -> Op | None:
    """The registered op behind a record; None for a user's function that has the name of one."""
    call = all_ops().get(record.name)
    minidls = getattr(record.function, "__module__", "").startswith("minidl.")
    return call.op if call is not None and (minidls or call is record.function) else None


def _completed(error: CheckError, record: OpRecord, sample: Sample) -> CheckError:
    error.op = record.name
    if not error.unread("code"):
        error.code = lambda: call.as_code(record, sample)
    return error
