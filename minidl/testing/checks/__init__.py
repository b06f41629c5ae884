"""What must hold for every op, module and optimizer, each tried on many samples."""

from minidl.testing.checks.module import MODULE_CHECKS, check_module
from minidl.testing.checks.op import OP_CHECKS, check_op, checks_of, record_of, run
from minidl.testing.checks.optimizer import OPTIMIZER_CHECKS, check_optimizer

__all__ = [
    "MODULE_CHECKS",
    "OPTIMIZER_CHECKS",
    "OP_CHECKS",
    "check_module",
    "check_op",
    "check_optimizer",
    "checks_of",
    "record_of",
    "run",
]
