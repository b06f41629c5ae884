"""Reading tensors and comparing them: one table of tolerances."""

import numpy as np

# (rtol, atol) by result dtype, PyTorch's numbers; integers and booleans must be equal.
TOLERANCES = {
    np.dtype("float16"): (1e-3, 1e-5),
    np.dtype("float32"): (1.3e-6, 1e-5),
    np.dtype("float64"): (1e-7, 1e-7),
}
EXACT = (0.0, 0.0)


def to_numpy(value) -> np.ndarray:
    """The numbers of a tensor, on any device and with or without a graph, or of an array-like."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    return np.asarray(value)


def assert_close(
    actual,
    expected,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: str | None = None,
) -> None:
    """Assert |actual - expected| <= atol + rtol |expected| elementwise, and equal shapes, dtypes.

    Tensors, arrays, numbers, and lists, tuples or dicts of them. Without rtol and atol (give both
    or neither) `TOLERANCES` applies, the looser row if the dtypes differ. Raises AssertionError
    with the number of wrong elements and the worst one.
    After PyTorch: https://pytorch.org/docs/stable/testing.html
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    options = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan, "check_dtype": check_dtype}
    if isinstance(expected, dict):
        _same(list(actual), list(expected), "keys", msg)
        for key in expected:
            assert_close(actual[key], expected[key], **options, msg=_at(msg, key))
        return
    if isinstance(expected, list | tuple):
        _same(len(actual), len(expected), "lengths", msg)
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_close(a, e, **options, msg=_at(msg, i))
        return
    a, e = to_numpy(actual), to_numpy(expected)
    _same(a.shape, e.shape, "shapes", msg)
    if check_dtype and _typed(actual) and _typed(expected):
        _same(a.dtype, e.dtype, "dtypes", msg)
    if rtol is None:
        rows = [TOLERANCES.get(x.dtype, EXACT) for x in (a, e) if _typed(x)]
        rtol, atol = max(rows)
    wrong = ~np.isclose(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if wrong.any():
        raise AssertionError(_report(a, e, wrong, rtol, atol, msg))


def _typed(x) -> bool:
    return hasattr(x, "dtype")


def _at(msg, key):
    return f"{msg or 'item'}[{key!r}]"


def _same(actual, expected, what, msg):
    if actual != expected:
        raise AssertionError(
            f"{msg or 'assert_close'}: {what} differ: {actual}, expected {expected}"
        )


def _report(a, e, wrong, rtol, atol, msg):
    a, e = a.astype(np.float64), e.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.where(wrong, np.nan_to_num(np.abs(a - e), nan=np.inf), -1.0)
    worst = np.unravel_index(gap.argmax(), gap.shape)
    index = tuple(int(i) for i in worst)
    return (
        f"{msg or 'assert_close'}: {wrong.sum()} of {wrong.size} elements differ by more than "
        f"{atol:g} + {rtol:g} |expected|; worst at {index}: {a[index]:.9g}, expected {e[index]:.9g}"
    )
