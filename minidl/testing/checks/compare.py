"""Comparing two arrays for a check: the error names the element that differs most."""

import numpy as np

from minidl.testing.errors import CheckError


def compare(
    actual: np.ndarray,
    expected: np.ndarray,
    what: str,
    of: str,
    sides: tuple[str, str],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    input: str | None = None,
    words: object = "",
) -> None:
    """Raise CheckError unless shapes are equal and |actual - expected| <= atol + rtol |expected|.

    what: the claim that does not hold. of: what the arrays are, as in "out". sides: who gave them.
    NaN equals NaN, and infinity itself.
    """
    mine, other = sides
    if actual.shape != expected.shape:
        gap = f"shape of {of}:  {mine} {actual.shape}, {other} {expected.shape}"
        raise CheckError("", what, input=input, gap=gap, words=words)
    close = np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(actual.astype(float) - expected.astype(float))
    distance = np.where(close, -1.0, np.nan_to_num(distance, nan=np.inf))
    index = tuple(int(i) for i in np.unravel_index(distance.argmax(), distance.shape))
    element = of + (str(list(index)) if index else "")
    a, b = actual[index].item(), expected[index].item()
    raise CheckError(
        "",
        what,
        input=input,
        index=index,
        analytic=a,
        numeric=b,
        gap=f"{element}:  {mine} {a:.9g}, {other} {b:.9g}",
        words=words,
    )


def output_names(results: list) -> list[str]:
    """What to call the tensors of a result: "out", or "out[0]", "out[1]"."""
    return ["out"] if len(results) == 1 else [f"out[{i}]" for i in range(len(results))]
