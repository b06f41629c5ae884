"""Every operation: a family per file, the mathematics of each on one screen."""

from ..tape import all_ops
from . import attention as _attention
from . import compare as _compare
from . import conv as _conv
from . import create as _create
from . import decompositions as _decompositions
from . import elementwise as _elementwise
from . import index as _index
from . import joins as _joins
from . import linalg as _linalg
from . import loss as _loss
from . import matrices as _matrices
from . import memory as _memory
from . import new as _new
from . import norm as _norm
from . import norms as _norms
from . import pool as _pool
from . import products as _products
from . import properties as _properties
from . import random as _random
from . import rearrange as _rearrange
from . import recurrent as _recurrent
from . import reduce as _reduce
from . import scatter as _scatter
from . import scatter_reduce as _scatter_reduce
from . import shape as _shape
from . import softmax as _softmax
from .attention import *
from .compare import *
from .conv import *
from .create import *
from .decompositions import *
from .elementwise import *
from .index import *
from .joins import *
from .linalg import *
from .loss import *
from .matrices import *
from .memory import *
from .norm import *
from .norms import *
from .numpy_names import accept_in as _accept_in
from .pool import *
from .products import *
from .properties import *
from .random import *
from .rearrange import *
from .recurrent import *
from .reduce import *
from .scatter import *
from .scatter_reduce import *
from .shape import *
from .softmax import *

FAMILIES = (
    _create, _elementwise, _compare, _shape, _index, _reduce, _softmax, _linalg, _conv, _pool,
    _norm, _loss, _random,
    _rearrange, _joins, _scatter, _scatter_reduce, _memory, _new, _properties,
    _products, _decompositions, _matrices, _norms,
    _attention, _recurrent,
)  # fmt: skip
__all__ = ["all_ops", *(name for family in FAMILIES for name in family.__all__)]

for _family in FAMILIES:
    globals().update(_accept_in(_family))
