"""What each strategy promises holds, and it reaches every case."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import minidl
from minidl.testing import strategies as s

REFUSED = (minidl.ShapeError, IndexError)


def reaches(strategy, condition, examples=500):
    """Whether one of so many examples meets the condition."""
    options = settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        find(strategy, condition, settings=options)
    except NoSuchExample:
        return False
    return True


def operands(*shapes):
    """Tensors of small numbers; None for None."""
    return [None if shape is None else minidl.ones(shape) for shape in shapes]


PUBLIC = [getattr(s, name) for name in s.__all__ if name[0].islower()]
STRATEGIES = [f for f in PUBLIC if f not in (s.relaid, s.windows)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda f: f.__name__)
def test_the_example_of_every_strategy_draws(strategy):
    arguments = re.search(r"@given\((.*)\)$", strategy.__doc__, re.M)[1]
    assert strategy.__name__ in arguments
    options = settings(max_examples=10, database=None, phases=[Phase.generate])
    for example in eval(f"dict({arguments})", dict(vars(s), np=np)).values():
        find(example, lambda value: True, settings=options)


# ---------------------------------------------------------------------------------------- domains

DOMAINS = [
    s.ANY,
    s.POSITIVE,
    s.NOT_ZERO,
    s.DISTINCT,
    s.Domain(-2.3, 2.3, kinks=(-1.0, 0.0, 1.0), gap=0.2),
    s.Domain(0.1, 0.9, distinct=True),
    s.Domain(1.0, 1.0),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@given(data=st.data())
def test_numbers_stay_in_their_domain(domain, data):
    x = data.draw(s.arrays(domain=domain))
    assert x in domain
    assert x.dtype == np.float64
    for kink in domain.kinks:
        assert (np.abs(x - kink) >= domain.gap).all()
    if domain.distinct and x.size > 1:
        closest = np.diff(np.sort(x.ravel())).min()
        assert closest >= min(0.5, (domain.high - domain.low) / (2 * x.size + 2))


def test_what_lies_outside_a_domain():
    assert 3.5 not in s.POSITIVE and 0.1 not in s.POSITIVE
    assert np.array([1.0, 0.1]) not in s.NOT_ZERO and -0.5 in s.NOT_ZERO
    assert np.array([0.5, 0.5]) not in s.DISTINCT
    assert np.zeros(0) in s.DISTINCT


def test_numbers_shrink_to_few_digits_but_stay_different():
    x = find(s.arrays((2, 3)), lambda x: True, settings=settings(database=None))
    assert (x * 4 == np.round(x * 4)).all()
    assert len(set(x.ravel())) == 6
    assert reaches(s.arrays((2,)), lambda x: (x * 2**10 != np.round(x * 2**10)).all())
    assert reaches(s.arrays((2,)), lambda x: 0.0 in x)


# ----------------------------------------------------------------------------- shapes, dimensions


@given(shape=s.shapes(min_dims=1, max_dims=2, max_side=3))
def test_shapes_keep_their_bounds(shape):
    assert 1 <= len(shape) <= 2
    assert all(0 <= n <= 3 for n in shape)


@pytest.mark.parametrize("shape", [(), (1,), (4, 4, 4), (2, 0, 3)], ids=str)
def test_shapes_reach(shape):
    assert reaches(s.shapes(), lambda found: found == shape, 3000)


@given(shape=s.shapes(empty=False))
def test_shapes_without_empty_ones(shape):
    assert 0 not in shape


@given(both=s.broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(both):
    assert np.broadcast_shapes(*both) in both


@pytest.mark.parametrize(
    "case",
    [
        lambda a, b: a == b and len(a) == 2,
        lambda a, b: len(a) > len(b) > 0,
        lambda a, b: len(a) == 0 < len(b),
        lambda a, b: len(a) == len(b) and any(m == 1 < n for m, n in zip(a, b, strict=True)),
        lambda a, b: 0 in a and 1 in b,
    ],
)
def test_broadcastable_shapes_reach_every_kind(case):
    assert reaches(s.broadcastable_shapes(), lambda both: case(*both))


@given(both=s.invalid_broadcastable_shapes())
def test_invalid_broadcastable_shapes_are_refused(both):
    with pytest.raises(minidl.ShapeError, match="add"):
        minidl.add(*operands(*both))


@given(data=st.data(), ndim=st.integers(0, 3))
def test_axes_fit(data, ndim):
    dim = data.draw(s.axes(ndim))
    assert minidl.zeros((2,) * ndim).sum(dim, keepdim=True).ndim == ndim


def test_axes_reach_every_kind():
    kinds = [None, 0, -1, (0, 1), (1, 0), (-1, 0), (1,)]
    assert all(reaches(s.axes(2), lambda dim, kind=kind: dim == kind) for kind in kinds)


@given(data=st.data(), ndim=st.integers(0, 3))
def test_invalid_axes_are_refused(data, ndim):
    dim = data.draw(s.invalid_axes(ndim))
    with pytest.raises(REFUSED):
        minidl.zeros((2,) * ndim).sum(dim)


# ---------------------------------------------------------------------------------- arrays, memory


@given(data=st.data(), shape=s.shapes(), dtype=st.sampled_from([np.float32, np.float64]))
def test_layouts_show_only_in_strides(data, shape, dtype):
    x = data.draw(s.arrays(shape, dtype=dtype))
    layout = data.draw(s.layouts(x.ndim))
    y = s.relaid(x, layout)
    assert y.dtype == x.dtype and y.shape == x.shape
    assert not np.may_share_memory(x, y)
    np.testing.assert_array_equal(y, np.broadcast_to(x[:1], shape) if layout == "broadcast" else x)


@pytest.mark.parametrize(
    ("layout", "strides"),
    [
        ("contiguous", (480, 160, 32, 8)),
        ("column-major", (8, 16, 48, 240)),
        ("strided", (7680, 1280, 128, 16)),
        ("reversed", (-480, -160, -32, -8)),
        ("inside", (1680, 336, 48, 8)),
        ("broadcast", (0, 160, 32, 8)),
        ("channels-last", (480, 8, 96, 24)),
    ],
)
def test_how_each_layout_lies(layout, strides):
    x = np.arange(2.0 * 3 * 5 * 4).reshape(2, 3, 5, 4)
    assert s.relaid(x, layout).strides == strides
    assert set(s.LAYOUTS) == {layout for layout in s.LAYOUTS if reaches(s.layouts(), layout.__eq__)}


def test_memory_around_an_array_is_nan():
    for layout in ("strided", "inside"):
        memory = s.relaid(np.ones((2, 2)), layout).base
        assert np.isnan(memory).sum() == memory.size - 4


def test_layouts_that_do_not_exist():
    with pytest.raises(ValueError, match=r"contiguous.*'row-major'"):
        s.relaid(np.ones(2), "row-major")
    with pytest.raises(ValueError, match=r"channels-last needs 3 dimensions.*\(2,\)"):
        s.relaid(np.ones(2), "channels-last")


@given(data=st.data(), shape=s.shapes(), requires_grad=st.booleans())
def test_tensors_are_leaves_of_the_asked_kind(data, shape, requires_grad, device):
    dtype = data.draw(st.sampled_from([minidl.float32, minidl.float64]))
    t = data.draw(
        s.tensors(
            shape,
            s.POSITIVE,
            dtype=dtype,
            requires_grad=requires_grad,
            layout=s.layouts(len(shape)),
            device=device,
        )
    )
    assert t.dtype == dtype and tuple(t.shape) == shape and t.device.type == device
    assert t.is_leaf and t.requires_grad == requires_grad
    assert minidl.testing.to_numpy(t) in s.POSITIVE


@given(x=s.integer_arrays((3, 2), -1, 2), mask=s.masks(s.shapes(min_dims=2, max_dims=2)))
def test_integers_and_masks(x, mask):
    assert x.dtype == np.int64 and x.shape == (3, 2) and set(x.ravel()) <= {-1, 0, 1}
    assert mask.dtype == bool and mask.ndim == 2


# ----------------------------------------------------------------------------------------- indices


@given(data=st.data(), shape=s.shapes())
def test_basic_indices_pick_a_view(data, shape):
    x = np.ones(shape)
    picked = x[data.draw(s.basic_indices(shape))]
    assert np.ndim(picked) == 0 or not picked.size or np.may_share_memory(picked, x)


@given(data=st.data(), shape=s.shapes(min_dims=1, empty=False))
def test_advanced_indices_pick_a_copy(data, shape):
    x = np.ones(shape)
    assert not np.may_share_memory(x[data.draw(s.advanced_indices(shape))], x)


@pytest.mark.parametrize(
    "case",
    [
        lambda where: where == ...,
        lambda where: where == (None, 1) or where == (None, 1, slice(None)),
        lambda where: isinstance(where, tuple) and any(p == -1 for p in where),
        lambda where: (
            isinstance(where, tuple) and any(getattr(p, "step", None) == 2 for p in where)
        ),
        lambda where: isinstance(where, tuple) and len(where) == 1,
        lambda where: where == 1,
        lambda where: where in (slice(1, None), (slice(1, None),)),
        lambda where: isinstance(where, slice) and where.start == -2 and where.stop is not None,
    ],
)
def test_basic_indices_reach_every_kind(case):
    assert any(reaches(s.basic_indices(shape), case, 3000) for shape in ((3, 2), (3,)))


def repeated(where):
    return isinstance(where, tuple) and any(
        isinstance(p, np.ndarray) and len(set(p.ravel() % 3)) < p.size for p in where
    )


@pytest.mark.parametrize(
    "case",
    [
        lambda where: not isinstance(where, tuple) and where.ndim == 2,  # a mask
        lambda where: not isinstance(where, tuple) and where.ndim == 1,
        repeated,
        lambda where: isinstance(where, tuple) and isinstance(where[1], slice),
        lambda where: isinstance(where, tuple) and [np.ndim(p) for p in where] == [2, 2],
    ],
)
def test_advanced_indices_reach_every_kind(case):
    assert reaches(s.advanced_indices((3, 3)), case)


@given(data=st.data(), shape=s.shapes())
def test_invalid_basic_indices_are_refused(data, shape):
    with pytest.raises(IndexError):
        minidl.zeros(shape)[data.draw(s.invalid_basic_indices(shape))]


@given(data=st.data(), shape=s.shapes(min_dims=1, empty=False))
def test_invalid_advanced_indices_are_refused(data, shape):
    where = data.draw(s.invalid_advanced_indices(shape))
    parts = where if isinstance(where, tuple) else (where,)
    with pytest.raises(REFUSED):
        minidl.zeros(shape)[
            tuple(minidl.tensor(p) if isinstance(p, np.ndarray) else p for p in parts)
        ]


# --------------------------------------------------------------------------------------- geometries


@given(both=s.matmul_shapes())
def test_matmul_shapes_multiply(both):
    a, b = operands(*both)
    assert tuple((a @ b).shape) == np.matmul(np.ones(both[0]), np.ones(both[1])).shape


@pytest.mark.parametrize(
    "case",
    [
        lambda a, b: len(a) == len(b) == 1,
        lambda a, b: len(a) == 1 and len(b) == 3,
        lambda a, b: len(a) == 4 and len(b) == 1,
        lambda a, b: len(a) == len(b) == 3 and a[0] == 1 < b[0],
        lambda a, b: a[-1] == 0,
        lambda a, b: len(a) == 4 and len(b) == 3 and b[0] > 1,
    ],
)
def test_matmul_shapes_reach_every_kind(case):
    assert reaches(s.matmul_shapes(), lambda both: case(*both), 2000)


@given(both=s.invalid_matmul_shapes())
def test_invalid_matmul_shapes_are_refused(both):
    a, b = operands(*both)
    with pytest.raises(minidl.ShapeError, match="matmul"):
        a @ b


@given(call=s.einsum_calls())
def test_einsum_calls_fit(call):
    expected = np.einsum(call.equation, *map(np.ones, call.shapes))
    assert tuple(minidl.einsum(call.equation, *operands(*call.shapes)).shape) == expected.shape


@pytest.mark.parametrize(
    "case",
    [
        lambda terms, result: len(terms) == 3,
        lambda terms, result: result is None,
        lambda terms, result: result == "",
        lambda terms, result: len(terms) == 1 and result == terms[0][::-1] != terms[0],
        lambda terms, result: terms[0].startswith("...") and "..." in terms[-1][1:],
        lambda terms, result: terms[0] == "",
    ],
)
def test_einsum_calls_reach_every_kind(case):
    def found(call):
        terms, arrow, result = call.equation.partition("->")
        return case(terms.split(","), result if arrow else None)

    assert reaches(s.einsum_calls(), found, 3000)


@given(call=s.invalid_einsum_calls())
def test_invalid_einsum_calls_are_refused(call):
    with pytest.raises(minidl.ShapeError, match="einsum"):
        minidl.einsum(call.equation, *operands(*call.shapes))


@given(call=s.conv_calls())
def test_conv_calls_fit(call):
    out = minidl.conv2d(*operands(call.input, call.weight, call.bias), **call.options)
    assert out.numel() > 0


@pytest.mark.parametrize(
    "case",
    [
        lambda call: len(call.input) == 3 and call.bias is None,
        lambda call: call.options["groups"] == 2 and call.bias is not None,
        lambda call: call.options["padding"] == "same" and call.weight[-1] == 2,
        lambda call: isinstance(call.options["stride"], tuple),
        lambda call: call.options["dilation"] == 2 and call.weight[-1] == 3,
        lambda call: call.input[-1] < call.weight[-1],  # a window larger than the image alone
        lambda call: call.options["stride"] == 3 and call.input[-1] > 4,
    ],
)
def test_conv_calls_reach_every_kind(case):
    assert reaches(s.conv_calls(), case)


@given(call=s.invalid_conv_calls())
def test_invalid_conv_calls_are_refused(call):
    with pytest.raises(minidl.ShapeError, match="conv2d"):
        minidl.conv2d(*operands(call.input, call.weight, call.bias), **call.options)


@given(call=s.pool_calls())
def test_pool_calls_fit(call):
    out = minidl.max_pool2d(minidl.ones(call.input), call.kernel_size, **call.options)
    assert (minidl.testing.to_numpy(out) == 1).all()  # no window of nothing but padding


@given(call=s.pool_calls(dilation=False))
def test_pool_calls_without_dilation_fit_averages(call):
    out = minidl.avg_pool2d(
        minidl.ones(call.input), call.kernel_size, **call.options, count_include_pad=False
    )
    np.testing.assert_allclose(minidl.testing.to_numpy(out), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        lambda call: len(call.input) == 3 and call.options["stride"] is None,
        lambda call: call.options["ceil_mode"] and call.options["stride"] == 3,
        lambda call: call.options["padding"] == (1, 1) and call.kernel_size == 3,
        lambda call: call.options["dilation"] == 2 and call.kernel_size == 3,
        lambda call: isinstance(call.kernel_size, tuple) and call.kernel_size[0] == 1,
    ],
)
def test_pool_calls_reach_every_kind(case):
    assert reaches(s.pool_calls(), case, 1000)


@pytest.mark.parametrize("pool", [minidl.max_pool2d, minidl.avg_pool2d], ids=["max", "avg"])
@given(call=s.invalid_pool_calls())
def test_invalid_pool_calls_are_refused(pool, call):
    with pytest.raises(minidl.ShapeError, match=pool.__name__):
        pool(minidl.ones(call.input), call.kernel_size, **call.options)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (s.advanced_indices(()), "at least one dimension"),
        (s.advanced_indices((2, 0)), "none of size 0"),
        (s.invalid_advanced_indices(()), "at least one dimension"),
        (s.integer_arrays((2,), 5, 2), "no number from low=5 to high - 1 = 1"),
        (s.integer_arrays((2,), 5, 5), "no number from low=5"),
        (s.arrays((-1,)), "not negative"),
        (s.arrays((2.5,)), "integers"),
    ],
)
def test_what_cannot_be_drawn_says_so(strategy, words):
    @settings(max_examples=1, database=None)
    @given(strategy)
    def draw(_):
        pass

    with pytest.raises(ValueError, match=words):
        draw()


def test_axis_of_a_negative_number_of_dimensions():
    with pytest.raises(ValueError, match="not negative"):
        s.axis(-1)


@given(
    x=s.arrays(3), mask=s.masks(2), labels=s.integer_arrays(4, 0, 2), none=s.integer_arrays(0, 1, 1)
)
def test_a_length_is_a_shape(x, mask, labels, none):
    assert (x.shape, mask.shape, labels.shape, none.shape) == ((3,), (2,), (4,), (0,))
