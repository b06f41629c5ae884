"""Hypothesis strategies for shapes and dimensions."""

from hypothesis import strategies as st

Shape = tuple[int, ...]


@st.composite
def shapes(draw, min_dims: int = 0, max_dims: int = 3, max_side: int = 4, empty: bool = True):
    """Shapes with sides 1 to `max_side`; with `empty`, now and then one side is 0.

    @given(shape=shapes(min_dims=1))
    def test(shape):  # (1,), (3, 2), (4, 0, 2)
    """
    sides = draw(st.lists(st.integers(1, max_side), min_size=min_dims, max_size=max_dims))
    if empty and sides and draw(st.integers(0, 9)) == 9:
        sides[draw(st.integers(0, len(sides) - 1))] = 0
    return tuple(sides)


@st.composite
def broadcastable_shapes(draw, number: int = 2, max_dims: int = 3, empty: bool = True):
    """`number` shapes that broadcast together; one of them is the common shape.

    @given(both=broadcastable_shapes())
    def test(both):  # ((2, 3), (3,)), ((), (4, 1)), ((2, 3), (1, 3))
    """
    whole = draw(shapes(0, max_dims, empty=empty))
    several = []
    for _ in range(number):
        start = draw(st.integers(0, len(whole)))
        ones = draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)))
        sides = [1 if one else n for n, one in zip(whole, ones, strict=True)]
        several.append(tuple(sides[start:]))
    several[draw(st.integers(0, number - 1))] = whole
    return tuple(several)


@st.composite
def invalid_broadcastable_shapes(draw):
    """Two shapes that do not broadcast together: some pair of sides differs, none of it is 1.

    @given(both=invalid_broadcastable_shapes())
    def test(both):  # ((2,), (3,)), ((4, 2), (3, 3, 1))
        with pytest.raises(minidl.ShapeError):
            minidl.add(*map(minidl.zeros, both))
    """
    a, b = (list(draw(shapes(min_dims=1, empty=False))) for _ in range(2))
    place = -draw(st.integers(1, min(len(a), len(b))))
    a[place] = draw(st.integers(2, 4))
    b[place] = draw(st.sampled_from([n for n in (2, 3, 4, 0) if n != a[place]]))
    return tuple(a), tuple(b)


def axis(ndim: int) -> st.SearchStrategy[int]:
    """A dimension, counted from the front or from the back; 0 or -1 for a 0-d tensor.

    @given(dim=axis(2))
    def test(dim):  # 0, 1, -1, -2
    """
    if ndim < 0:
        raise ValueError(f"axis: the number of dimensions is not negative, got {ndim}")
    bound = max(ndim, 1)
    return st.integers(-bound, bound - 1)


@st.composite
def axes(draw, ndim: int):
    """None, one dimension, or a tuple of different ones: what reductions take as `dim`.

    @given(dim=axes(3))
    def test(dim):  # None, -1, (0,), (2, -3)
    """
    kind = draw(st.sampled_from(["none", "one", "many"]))
    if kind == "none":
        return None
    if kind == "one" or not ndim:
        return draw(axis(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


@st.composite
def invalid_axes(draw, ndim: int):
    """A dimension that is not there (an IndexError), alone or in a tuple, or one named twice.

    @given(dim=invalid_axes(2))
    def test(dim):  # 2, -3, (0, 2), (1, -1)
        with pytest.raises((IndexError, minidl.ShapeError)):
            minidl.sum(minidl.zeros(2, 3), dim)
    """
    bound = max(ndim, 1)
    kind = draw(st.sampled_from(["outside", "outside in a tuple", "twice"]))
    if kind == "twice" and ndim:
        a = draw(st.integers(0, ndim - 1))
        return draw(st.permutations([a, draw(st.sampled_from([a, a - ndim]))]).map(tuple))
    outside = draw(st.one_of(st.integers(bound, bound + 3), st.integers(-bound - 3, -bound - 1)))
    if kind == "outside in a tuple" and ndim:
        return draw(st.permutations([outside, draw(axis(ndim))]).map(tuple))
    return outside
