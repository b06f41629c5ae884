"""Every operation: a family per file, the mathematics of each on one screen."""

from ..tape import all_ops
from . import conv, create, elementwise, embedding, index, linalg, loss, norm, pool, random, reduce
from . import shape as shape  # "as" keeps the linter from calling it unused

__all__ = ["all_ops"]

for _family in (
    create, elementwise, shape, index, reduce, linalg, conv, pool, norm, loss, random, embedding,
):  # fmt: skip
    for _name, _value in vars(_family).items():
        if callable(_value) and not _name.startswith("_") and (
            getattr(_value, "__module__", "") == _family.__name__
        ):
            globals()[_name] = _value
            __all__ += [_name]
