"""What a statement of a random program can be.

Each form takes a draft, asks it for operands, and adds one statement to it. The order is that of
simplicity: hypothesis prefers the first.
"""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from minidl.testing.strategies.domains import ANY, DISTINCT, POSITIVE, Domain
from minidl.testing.strategies.indices import advanced_indices, basic_indices
from minidl.testing.strategies.programs import (
    LARGEST_SIZE,
    Draft,
    Term,
    Unfit,
    value,
    written_index,
)
from minidl.testing.strategies.shapes import axes, axis, shapes

GAP = 0.1
NOT_ZERO = Domain(-4.0, 4.0, kinks=(0.0,), gap=GAP)
SMALL = shapes(max_dims=3, max_side=3, empty=False)


def apart(x: np.ndarray) -> bool:
    """Whether no two numbers are close: a small step changes no order."""
    return bool((np.diff(np.sort(x.ravel())) > 0.05).all())


def of_rank(least: int, most: int = 3) -> dict:
    """Operands with so many dimensions."""
    return {
        "shape": shapes(least, most, max_side=3, empty=False),
        "fits": lambda x: least <= x.ndim <= most,
    }


def any_rank() -> dict:
    return of_rank(0, 4) | {"shape": SMALL}


def of_shape(shape: tuple[int, ...]) -> dict:
    return {"shape": st.just(tuple(shape)), "fits": lambda x: x.shape == tuple(shape)}


# ------------------------------------------------------------------------------------ elementwise


def unary(name: str, domain: Domain = ANY) -> Callable:
    def form(draft: Draft) -> None:
        draft.call(name, draft.operand(**any_rank(), domain=domain))

    return form


def partner(draft: Draft, x: Term, domain: Domain = ANY) -> Term:
    """A value that broadcasts with x."""
    shape = draft.number(x).shape
    part = st.integers(0, len(shape)).map(lambda start: shape[start:])

    def fits(y):
        try:
            return np.prod(np.broadcast_shapes(shape, y.shape)) <= LARGEST_SIZE
        except ValueError:
            return False

    return draft.operand(part, domain, fits)


def binary(name: str, domain: Domain = ANY, numbers: tuple = ()) -> Callable:
    def form(draft: Draft) -> None:
        x = draft.operand(**any_rank())
        y = draft.choose(*numbers) if numbers and draft.choose(False, False, True) else None
        draft.call(name, x, partner(draft, x, domain) if y is None else y)

    return form


def extremum(name: str) -> Callable:
    def form(draft: Draft) -> None:
        x = draft.operand(**any_rank())
        y = partner(draft, x)
        if (np.abs(draft.number(x) - draft.number(y)) < GAP).any():
            raise Unfit
        draft.call(name, x, y)

    return form


def power(draft: Draft) -> None:
    draft.call("pow", draft.operand(**any_rank()), draft.choose(2, 3))


def clamp(draft: Draft) -> None:
    domain = Domain(-4.0, 4.0, kinks=(-0.5, 1.0), gap=GAP)
    draft.call("clamp", draft.operand(**any_rank(), domain=domain), min=-0.5, max=1.0)


def where(draft: Draft) -> None:
    x = draft.operand(**any_rank(), domain=NOT_ZERO)
    positive = Term(f"{x.code} > 0", lambda values: values[x.name] > 0, x.name)
    draft.call("where", positive, x, partner(draft, x))


def mse_loss(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    y = draft.operand(**of_shape(draft.number(x).shape))
    draft.call("mse_loss", x, y, reduction=draft.choose("mean", "sum", "none"))


# ---------------------------------------------------------------------------- along the dimensions


def along(name: str, dims: Callable, keepdim: bool = True, **operand) -> Callable:
    """A reduction over what `dims(ndim)` gives, or an op along it."""

    def form(draft: Draft) -> None:
        x = draft.operand(**any_rank(), **operand)
        dim = draft.draw(dims(draft.number(x).ndim))
        draft.call(name, x, dim, **({"keepdim": draft.choose(False, True)} if keepdim else {}))

    return form


def some_axes(ndim: int) -> st.SearchStrategy:
    return axes(ndim).filter(lambda dim: dim is not None)


def var(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    draft.call("var", x, dim=draft.draw(axes(draft.number(x).ndim)), correction=0)


def sort(draft: Draft) -> None:
    x = draft.operand(**of_rank(1), domain=DISTINCT, holds=apart)
    dim = draft.draw(axis(draft.number(x).ndim))
    draft.call("sort", x, dim, descending=draft.choose(False, True))


def topk(draft: Draft) -> None:
    x = draft.operand(**of_rank(1), domain=DISTINCT, holds=apart)
    dim = draft.draw(axis(draft.number(x).ndim))
    k = draft.draw(st.integers(1, draft.number(x).shape[dim]))
    draft.call("topk", x, k, dim=dim, largest=draft.choose(True, False))


def layer_norm(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    own = draft.number(x).shape[-1:]
    affine = [draft.operand(**of_shape(own)) for _ in range(draft.choose(0, 2))]
    draft.call("layer_norm", x, own, *affine, eps=0.1)


# --------------------------------------------------------------------------------- shape, indices


def reshape(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    size = draft.number(x).size
    rows = draft.choose(*[n for n in range(1, size + 1) if size % n == 0])
    draft.call("reshape", x, draft.choose((-1,), (rows, -1), (rows, 1, size // rows)))


def permute(draft: Draft) -> None:
    x = draft.operand(**of_rank(1, 4))
    draft.call("permute", x, tuple(draft.draw(st.permutations(range(draft.number(x).ndim)))))


def transpose(draft: Draft) -> None:
    x = draft.operand(**of_rank(2, 4))
    draft.call("transpose", x, *(draft.draw(axis(draft.number(x).ndim)) for _ in range(2)))


def unsqueeze(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    draft.call("unsqueeze", x, draft.draw(axis(draft.number(x).ndim + 1)))


def expand(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    shape = draft.number(x).shape
    draft.call("expand", x, (2, *[draft.choose(2, -1) if n == 1 else n for n in shape]))


def flip(draft: Draft) -> None:
    x = draft.operand(**of_rank(1, 4))
    draft.call("flip", x, (draft.draw(axis(draft.number(x).ndim)),))


def roll(draft: Draft) -> None:
    x = draft.operand(**of_rank(1, 4))
    draft.call("roll", x, draft.choose(1, -1, 2), draft.draw(axis(draft.number(x).ndim)))


def triangle(name: str) -> Callable:
    def form(draft: Draft) -> None:
        draft.call(name, draft.operand(**of_rank(2)), draft.choose(0, 1, -1))

    return form


def pad(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    draft.call("pad", x, (draft.choose(0, 1), draft.choose(1, 0)), value=draft.choose(0.0, 0.5))


def narrow(draft: Draft) -> None:
    x = draft.operand(**of_rank(1, 4))
    dim = draft.draw(axis(draft.number(x).ndim))
    size = draft.number(x).shape[dim]
    start = draft.draw(st.integers(0, size - 1))
    draft.call("narrow", x, dim, start, draft.draw(st.integers(1, size - start)))


def index(kind: Callable) -> Callable:
    def form(draft: Draft) -> None:
        x = draft.operand(**of_rank(1))
        found = draft.draw(kind(draft.number(x).shape))
        draft.add(f"{x.code}[{written_index(found)}]", "getitem", (x, found))

    return form


def cat(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    y = draft.operand(**of_shape(draft.number(x).shape))
    draft.call("cat", [x, y], dim=draft.draw(axis(draft.number(x).ndim)))


def stack(draft: Draft) -> None:
    x = draft.operand(**any_rank())
    y = draft.operand(**of_shape(draft.number(x).shape))
    draft.call("stack", [x, y], dim=draft.draw(axis(draft.number(x).ndim + 1)))


def split(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    dim = draft.draw(axis(draft.number(x).ndim))
    draft.call("split", x, draft.choose(1, 2), dim=dim)


# ------------------------------------------------------------------------------ products, windows


def matmul(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    k = draft.number(x).shape[-1]
    y = draft.operand(
        shape=st.sampled_from([(k,), (k, 1), (k, 2)]),
        fits=lambda y: y.ndim in (1, 2) and y.shape[0] == k,
    )
    draft.call("matmul", x, y)


def linear(draft: Draft) -> None:
    x = draft.operand(**of_rank(1))
    weight = (draft.choose(1, 2), draft.number(x).shape[-1])
    bias = [draft.operand(**of_shape(weight[:1]))] if draft.choose(False, True) else []
    draft.call("linear", x, draft.operand(**of_shape(weight)), *bias)


def conv2d(draft: Draft) -> None:
    x = draft.operand(**of_rank(3, 4))
    *_, channels, height, width = draft.number(x).shape
    kernel = draft.draw(st.integers(1, height)), draft.draw(st.integers(1, width))
    weight = draft.operand(**of_shape((draft.choose(1, 2), channels, *kernel)))
    draft.call("conv2d", x, weight, stride=draft.choose(1, 2), padding=draft.choose(0, 1))


def pool(name: str, **operand) -> Callable:
    def form(draft: Draft) -> None:
        x = draft.operand(**of_rank(3, 4), **operand)
        height, width = draft.number(x).shape[-2:]
        kernel = draft.draw(st.integers(1, height)), draft.draw(st.integers(1, width))
        draft.call(name, x, kernel, stride=draft.choose(1, 2))

    return form


# ----------------------------------------------------------------------------------------- in place


def changed(draft: Draft) -> Term:
    """A clone that may still be changed in place; made now if there is none."""
    if not draft.writable:
        draft.call("clone", draft.operand(**any_rank()))
    return value(draft.choose(*draft.writable))


def in_place(name: str) -> Callable:
    def form(draft: Draft) -> None:
        v = changed(draft)
        y = partner(draft, v)
        if y.name == v.name:
            raise Unfit
        draft.write(v, f"{v.code}.{name}_({y.code})", name, (v, y))

    return form


def tanh_in_place(draft: Draft) -> None:
    v = changed(draft)
    draft.write(v, f"{v.code}.tanh_()", "tanh", (v,))
    draft.writable.remove(v.name)  # the derivative of tanh reads its result


def assign(draft: Draft) -> None:
    v = changed(draft)
    found = draft.draw(basic_indices(draft.number(v).shape))
    picked = np.shape(draft.number(v)[found])
    y = draft.operand(**of_shape(picked))
    if 0 in picked or y.name == v.name:
        raise Unfit
    code = f"{v.code}[{written_index(found)}] = {y.code}"
    draft.write(v, code, "setitem", (v, found, y))


SMOOTH = "neg sin cos tanh sigmoid exp square erf gelu logsigmoid expm1 clone".split()

IN_PLACE = [in_place("mul"), in_place("add"), tanh_in_place, assign]

FORMS: list[Callable[[Draft], None]] = [
    *map(unary, SMOOTH),
    *[unary(name, POSITIVE) for name in ("log", "sqrt", "rsqrt")],
    *[unary(name, NOT_ZERO) for name in ("relu", "abs", "reciprocal")],
    *[binary(name, numbers=(2.0, -0.5)) for name in ("add", "sub", "mul")],
    *[binary(name) for name in ("add", "sub", "mul", "mul")],
    binary("div", NOT_ZERO),
    power,
    extremum("maximum"),
    extremum("minimum"),
    clamp,
    where,
    mse_loss,
    along("sum", axes),
    along("mean", axes),
    along("logsumexp", some_axes),
    along("amax", some_axes, domain=DISTINCT, holds=apart),
    along("max", axis, domain=DISTINCT, holds=apart),
    along("prod", axis),
    along("cumsum", axis, keepdim=False),
    along("softmax", axis, keepdim=False),
    along("log_softmax", axis, keepdim=False),
    var,
    sort,
    topk,
    layer_norm,
    reshape,
    permute,
    transpose,
    unsqueeze,
    expand,
    flip,
    roll,
    triangle("tril"),
    triangle("triu"),
    pad,
    narrow,
    index(basic_indices),
    index(advanced_indices),
    cat,
    stack,
    split,
    matmul,
    linear,
    conv2d,
    pool("avg_pool2d"),
    pool("max_pool2d", domain=DISTINCT, holds=apart),
    *IN_PLACE,
]
