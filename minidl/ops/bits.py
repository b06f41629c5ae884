"""Ops on whole numbers: their bits, their divisors. They have no derivative."""

from __future__ import annotations

from collections.abc import Callable

from .. import dtypes
from ..device import Array, xp
from ..errors import DTypeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .compare import module_of

METHODS = """
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift gcd lcm
""".split()  # also methods of Tensor
__all__ = METHODS
IN_PLACE = METHODS  # also methods that write into their tensor: name_


def _whole(name: str, formula: str, numpys: str, kinds: str = "biu") -> Callable:
    """An op of two tensors of whole numbers, which NumPy has under the name `numpys`."""

    def named(input: Array, other: Array) -> Array:
        given = {getattr(x, "dtype", x.__class__) for x in (input, other)}
        refused = [kind for kind in given if dtypes.to_numpy(kind).kind not in kinds]
        if refused:
            wanted = "bool or integer" if "b" in kinds else "integer"
            raise DTypeError(
                f"{name}: expected {wanted} tensors, got {dtypes.to_numpy(refused[0])}."
            )
        return getattr(module_of(input, other), numpys)(input, other)

    named.__name__ = named.__qualname__ = name
    named.__doc__ = f"""y = {formula}

    https://docs.pytorch.org/docs/stable/generated/torch.{name}.html
    """
    return op(named)


bitwise_and = _whole("bitwise_and", "the bits that both have", "bitwise_and")
bitwise_or = _whole("bitwise_or", "the bits that at least one has", "bitwise_or")
bitwise_xor = _whole("bitwise_xor", "the bits that exactly one has", "bitwise_xor")
bitwise_left_shift = _whole(
    "bitwise_left_shift", "input * 2^other: its bits moved to the left", "left_shift", "iu"
)
bitwise_right_shift = _whole(
    "bitwise_right_shift",
    "floor(input / 2^other): its bits moved to the right",
    "right_shift",
    "iu",
)
gcd = _whole("gcd", "the greatest common divisor of both, not negative", "gcd", "iu")
lcm = _whole("lcm", "the least common multiple of both, not negative", "lcm", "iu")


def bitwise_not(input: Tensor) -> Tensor:
    """y = the bits that input does not have; of bools, the other one.

    https://docs.pytorch.org/docs/stable/generated/torch.bitwise_not.html
    """
    need_tensors("bitwise_not", input=input)
    if input._array.dtype.kind == "f":
        raise DTypeError(
            f"bitwise_not: expected a bool or integer tensor, got {input._array.dtype}."
        )
    return wrap(xp(input._array).invert(input._array))
