"""Hypothesis strategies for the shapes of matrix products and for einsum."""

from typing import NamedTuple

from hypothesis import strategies as st

from minidl.testing.strategies.shapes import Shape, broadcastable_shapes


class EinsumCall(NamedTuple):
    """`einsum(equation, *operands)` with operands of these shapes."""

    equation: str
    shapes: tuple[Shape, ...]


@st.composite
def sides(draw, count: int, empty: bool = True):
    """`count` numbers from 1 to 4; with `empty`, now and then one of them is 0.

    @given(size=sides(3))
    def test(size):
        n, k, m = size
    """
    chosen = [draw(st.integers(1, 4)) for _ in range(count)]
    if empty and draw(st.integers(0, 9)) == 9:
        chosen[draw(st.integers(0, count - 1))] = 0
    return tuple(chosen)


@st.composite
def matmul_shapes(draw, empty: bool = True):
    """Two shapes that can be multiplied: matrices, vectors, batches that broadcast.

    @given(both=matmul_shapes())
    def test(both):  # ((2, 3), (3, 4)), ((3,), (5, 3, 1)), ((2, 1, 4, 3), (5, 3, 2))
    """
    n, k, m = draw(sides(3, empty))
    batch, other = draw(broadcastable_shapes(max_dims=2, empty=False))
    row, column = (draw(st.integers(0, 3)) == 3 for _ in range(2))
    a = (k,) if row else (*batch, n, k)
    b = (k,) if column else (*other, k, m)
    return a, b


@st.composite
def invalid_matmul_shapes(draw):
    """Two shapes that cannot be multiplied: inner sizes or batches differ, or one is a number.

    @given(both=invalid_matmul_shapes())
    def test(both):  # ((2, 3), (4, 3)), ((2, 2, 2), (3, 2, 2)), ((2, 2), ())
        with pytest.raises(minidl.ShapeError):
            minidl.zeros(both[0]) @ minidl.zeros(both[1])
    """
    a, b = (list(shape) for shape in draw(matmul_shapes()))
    kind = draw(st.sampled_from(["inner", "number", "batch"]))
    if kind == "number":
        return draw(st.permutations([tuple(a), ()]).map(tuple))
    if kind == "batch" and len(a) > 1 and len(b) > 1:
        return (2, *a[-2:]), (3, *b[-2:])
    a[-1] += draw(st.integers(1, 2))
    return tuple(a), tuple(b)


@st.composite
def einsum_calls(draw):
    """Equations with operand shapes that fit: one to three operands, `...`, an explicit result
    or none, letters that are summed, and sizes of 1 that broadcast.

    @given(call=einsum_calls())
    def test(call):  # EinsumCall("ij,jk->ki", ((2, 3), (3, 1))), EinsumCall("...i,i", ...)
    """
    number = draw(st.integers(1, 3))
    size = {letter: draw(st.integers(1, 3)) for letter in "ijkl"}
    dotted = draw(st.sampled_from([False, False, True]))
    rests = draw(broadcastable_shapes(number, max_dims=2, empty=False)) if dotted else ()
    terms, operands = [], []
    for i in range(number):
        letters = draw(st.lists(st.sampled_from("ijkl"), max_size=3, unique=True))
        shape = [draw(st.sampled_from([size[c], size[c], size[c], 1])) for c in letters]
        if dotted:
            place = draw(st.integers(0, len(letters)))
            shape[place:place] = rests[i]
            letters.insert(place, "...")
        terms.append("".join(letters))
        operands.append(tuple(shape))
    equation = ",".join(terms)
    if draw(st.booleans()):
        known = sorted(set(equation) - set(",."))
        result = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
        if dotted:
            result.insert(draw(st.integers(0, len(result))), "...")
        equation += f"->{''.join(result)}"
    return EinsumCall(equation, tuple(operands))


@st.composite
def invalid_einsum_calls(draw):
    """An operand too many, a dimension too many, sizes that differ, or an unknown result letter.

    @given(call=invalid_einsum_calls())
    def test(call):  # EinsumCall("ij->m", ((2, 3),)), EinsumCall("i,i", ((2,), (3,)))
        with pytest.raises(minidl.ShapeError):
            minidl.einsum(call.equation, *map(minidl.zeros, call.shapes))
    """
    equation, operands = draw(einsum_calls())
    wrong = [
        (equation, (*operands, (2,))),
        (f"m,{equation}", ((2, 2), *operands)),
        (f"m,m,{equation}", ((2,), (3,), *operands)),
        (f"{equation.partition('->')[0]}->m", operands),
    ]
    return EinsumCall(*draw(st.sampled_from(wrong)))
