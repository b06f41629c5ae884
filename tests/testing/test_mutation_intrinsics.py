"""The Python that stands for an intrinsic computes what the compiled instructions compute."""

import sys

import numpy as np
import pytest

from minidl import kernels
from minidl.kernels.cpu import conv_direct, functions, gemm, jit, row, vector, winograd
from minidl.testing.mutation import own, targets
from minidl.testing.mutation.intrinsics import in_python

F = np.float32


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(F)


def both(intrinsic, arguments, written=()):
    """What the compiled and the Python one return and write."""

    @jit
    def compiled(arguments):
        return intrinsic(*arguments)

    results = []
    for function in (compiled, lambda arguments: in_python(intrinsic)(*arguments)):
        own_copies = [a.copy() if i in written else a for i, a in enumerate(arguments)]
        result = function(tuple(own_copies))
        results.append([*([] if result is None else [result]), *[own_copies[i] for i in written]])
    return zip(*results, strict=True)


def same(intrinsic, arguments, written=()):
    for fast, plain in both(intrinsic, arguments, written):
        top = np.abs(fast).max()
        atol = 1e-6 * top if np.isfinite(top) else 1e-6
        np.testing.assert_allclose(plain, fast, rtol=2e-6, atol=atol)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["block_8x2", "block_4x1", "block_1x1"])
def test_tiles_of_products(name, keep):
    a, b, out = numbers(0, 400), numbers(1, 800), numbers(2, 600)
    turned = (a, 3, 1, 11, b, 5, 40, 7, out, 2, 35, 13, keep)
    for arguments in ((a, 3, 11, 1, *turned[4:]), turned):
        same(getattr(vector, name), arguments, written=[8])


@pytest.mark.parametrize("name", ["wide_tile", "narrow_tile", "depthwise_tile"])
@pytest.mark.parametrize("keep", [False, True])
def test_tiles_whose_rows_lie_anywhere(name, keep):
    rows, places = np.arange(9) * 17 + 3, np.arange(9)[::-1] * 40
    a, b, out = numbers(0, 400), numbers(1, 600), numbers(2, 500)
    pieces = np.array([0, 50, 31])
    arguments = (a, 2, rows, pieces, 3, 4, 2, b, 1, 33, out, 4, places.copy(), 1, 9, keep)
    same(getattr(conv_direct, name), arguments, written=[10])


@pytest.mark.parametrize("name", ["transform_input", "transform_kernel", "untransform_output"])
def test_transforms(name):
    arguments = numbers(0, 900), 4, 100, 16, numbers(1, 900), 8, 96, 16
    same(getattr(winograd, name), arguments, written=[4])


@pytest.mark.parametrize(
    ("name", "arguments", "written"),
    [
        ("largest", (numbers(0, 40), 32), ()),
        ("largest", (numbers(0, 40), 0), ()),
        ("sum_of", (numbers(0, 40), 32), ()),
        ("dot", (numbers(0, 40), numbers(1, 40), 21), ()),
        ("hide", (numbers(0, 70), 19, 48), (0,)),
        ("hide", (numbers(0, 70), 32, 32), (0,)),
        ("move", (F(0.5), numbers(0, 70), 19, numbers(1, 70), 40), (3,)),
        ("move", (F(2.0), numbers(0, 70), 40, numbers(1, 70), 19), (3,)),
    ],
)
def test_rows(name, arguments, written):
    same(getattr(row, name), arguments, written)


def test_a_pointer_knows_no_shape():
    x = numbers(0, 4, 20)

    def read(parts):
        return in_python(row.dot)(*parts, 30)

    assert read((x[1, 3:], x[2])) == np.dot(x.reshape(-1)[23:53], x.reshape(-1)[40:70])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("as_float", (np.int32(0x40490FDB),)),
        ("as_int", (F(-3.0),)),
        ("rounded", (F(2.5),)),
        ("rounded", (F(-1.7),)),
        ("larger", (F(1), F(2))),
        ("larger", (F(np.nan), F(2))),
        ("smaller", (F(1), F(np.nan))),
        ("smaller", (F(1), F(2))),
    ],
)
def test_numbers(name, arguments):
    same(getattr(functions, name), arguments)


@pytest.mark.skipif(gemm.library is None, reason="NumPy has another library than OpenBLAS")
def test_product_of_the_library():
    a, b, out = numbers(0, 6, 4), numbers(1, 4, 5), numbers(2, 6, 5)
    for keep in (0, 1):
        made = out.copy()
        with own._as_python(sys.modules[gemm.__name__]):
            gemm.sgemm(
                a.reshape(-1), 0, False, b.reshape(-1), 0, False, made.reshape(-1), 0,
                6, 5, 4, 4, 5, 5, F(keep),
            )  # fmt: skip
        np.testing.assert_allclose(made, a @ b + keep * out, rtol=1e-5, atol=1e-6)


FILES = {}  # file -> what is damaged in it
for target in targets.kernel_code():
    FILES.setdefault(target.kernel.__name__, []).append(target)


@pytest.mark.parametrize("name", sorted(FILES))
def test_kernels_as_python_pass_their_checks(name):
    first = FILES[name][0]
    ops = sorted({op for target in FILES[name] for op in target.ops})[:2]
    whole = targets.Target("", first.code, [], ops, first.kernel)
    with own._as_python(whole.kernel):
        for _, check in own._checks(whole)[::10]:
            check()


def test_every_file_of_kernels_is_damaged():
    known = {*kernels.CPU.values(), *kernels.FUNCTIONS.values()}
    shared = {"functions", "gemm", "layout", "row", "vector", "winograd", "conv_direct"}
    assert {targets.CPU + file for file in known | shared} <= set(FILES)
