"""Every operation: a family per file, the mathematics of each on one screen."""

from ..tape import all_ops
from . import activation as _activation
from . import adaptive as _adaptive
from . import attention as _attention
from . import bits as _bits
from . import compare as _compare
from . import conv as _conv
from . import create as _create
from . import ctc as _ctc
from . import decompositions as _decompositions
from . import distance as _distance
from . import dropout as _dropout
from . import elementwise as _elementwise
from . import embedding as _embedding
from . import fold as _fold
from . import grid as _grid
from . import index as _index
from . import joins as _joins
from . import linalg as _linalg
from . import long_names as _long_names
from . import loss as _loss
from . import losses as _losses
from . import margin_losses as _margin_losses
from . import matrices as _matrices
from . import memory as _memory
from . import new as _new
from . import norm as _norm
from . import norms as _norms
from . import order as _order
from . import padding as _padding
from . import pointwise as _pointwise
from . import pool as _pool
from . import products as _products
from . import properties as _properties
from . import random as _random
from . import rearrange as _rearrange
from . import recurrent as _recurrent
from . import reduce as _reduce
from . import resample as _resample
from . import scan as _scan
from . import scatter as _scatter
from . import scatter_reduce as _scatter_reduce
from . import shape as _shape
from . import softmax as _softmax
from . import special_functions as _special_functions
from . import statistics as _statistics
from . import transcendental as _transcendental
from .activation import *
from .adaptive import *
from .attention import *
from .bits import *
from .compare import *
from .conv import *
from .create import *
from .ctc import *
from .decompositions import *
from .distance import *
from .dropout import *
from .elementwise import *
from .embedding import *
from .fold import *
from .grid import *
from .index import *
from .joins import *
from .linalg import *
from .long_names import *
from .loss import *
from .losses import *
from .margin_losses import *
from .matrices import *
from .memory import *
from .norm import *
from .norms import *
from .numpy_names import accept_in as _accept_in
from .order import *
from .padding import *
from .pointwise import *
from .pool import *
from .products import *
from .properties import *
from .random import *
from .rearrange import *
from .recurrent import *
from .reduce import *
from .resample import *
from .scan import *
from .scatter import *
from .scatter_reduce import *
from .shape import *
from .softmax import *
from .special_functions import *
from .statistics import *
from .transcendental import *

FAMILIES = (
    _create, _elementwise, _compare, _shape, _index, _reduce, _softmax, _linalg, _conv, _pool,
    _norm, _loss, _random,
    _pointwise, _transcendental, _special_functions, _bits, _long_names,
    _scan, _order, _statistics,
    _rearrange, _joins, _scatter, _scatter_reduce, _memory, _new, _properties,
    _products, _decompositions, _matrices, _norms,
    _attention, _recurrent,
    _adaptive,
    _padding,
    _resample,
    _fold,
    _activation, _losses, _margin_losses, _ctc,
    _distance,
    _embedding,
    _dropout,
    _grid,
)  # fmt: skip
__all__ = ["all_ops", *(name for family in FAMILIES for name in family.__all__)]

for _family in FAMILIES:
    globals().update(_accept_in(_family))
