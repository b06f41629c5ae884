"""Other names that PyTorch has for the same functions, and which of the first ops work in place."""

from . import compare, elementwise, transcendental

ALIASES = {
    "absolute": elementwise.abs,
    "negative": elementwise.neg,
    "subtract": elementwise.sub,
    "multiply": elementwise.mul,
    "divide": elementwise.div,
    "true_divide": elementwise.div,
    "clip": elementwise.clamp,
    "fix": elementwise.trunc,
    "sgn": elementwise.sign,  # they differ for complex numbers
    "less": compare.lt,
    "less_equal": compare.le,
    "greater": compare.gt,
    "greater_equal": compare.ge,
    "not_equal": compare.ne,
    "arcsin": transcendental.asin,
    "arccos": transcendental.acos,
    "arctan": transcendental.atan,
    "arcsinh": transcendental.asinh,
    "arccosh": transcendental.acosh,
    "arctanh": transcendental.atanh,
    "arctan2": transcendental.atan2,
}
globals().update(ALIASES)

__all__ = [*ALIASES]
METHODS = __all__  # also methods of Tensor
IN_PLACE = [
    *ALIASES,
    *"""
    expm1 log1p sin cos erf sign trunc eq ne lt le gt ge logical_and logical_or logical_xor
    logical_not
""".split(),
]  # also methods that write into their tensor: name_
