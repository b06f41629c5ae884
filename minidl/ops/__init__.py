"""Every operation: a family per file, the mathematics of each on one screen."""

from ..tape import all_ops
from . import compare as _compare
from . import conv as _conv
from . import create as _create
from . import elementwise as _elementwise
from . import index as _index
from . import linalg as _linalg
from . import loss as _loss
from . import norm as _norm
from . import pool as _pool
from . import random as _random
from . import reduce as _reduce
from . import shape as _shape
from . import softmax as _softmax
from .compare import *
from .conv import *
from .create import *
from .elementwise import *
from .index import *
from .linalg import *
from .loss import *
from .norm import *
from .pool import *
from .random import *
from .reduce import *
from .shape import *
from .softmax import *

FAMILIES = (
    _create, _elementwise, _compare, _shape, _index, _reduce, _softmax, _linalg, _conv, _pool,
    _norm, _loss, _random,
)  # fmt: skip
__all__ = ["all_ops", *(name for family in FAMILIES for name in family.__all__)]
