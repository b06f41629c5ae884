"""Update rules, learning-rate schedules, and averages of weights."""

from . import lr_scheduler, swa_utils
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .asgd import ASGD
from .lbfgs import LBFGS
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]

_MISSING = {
    "Muon": "it works in bfloat16, which minidl does not; AdamW is the nearest",
    "SparseAdam": "there are no sparse gradients; use Adam",
}


def __getattr__(name: str) -> object:
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, 3, 0.5)
    hint = _MISSING.get(name) or (f"did you mean {' or '.join(near)}?" if near else "")
    raise AttributeError(f"minidl.optim has no {name!r}" + (f": {hint}" if hint else "."))
