"""Which calls the table of result types covers, for minidl and PyTorch alike.

An operand is "float32 2" (a vector), "float32 0" (a 0-d tensor) or "scalar float" (a number).
float16 is left out: on the CPU minidl only stores it.
"""

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
CODES = dict(zip((*DTYPES, "error"), "?BbhilfdE", strict=True))  # letters of the table
NUMBERS = {"scalar bool": True, "scalar int": 2, "scalar float": 1.5}
OPERANDS = [f"{dtype} {ndim}" for dtype in DTYPES for ndim in ("1", "0")] + list(NUMBERS)

PAIRED = {
    "add": lambda m, a, b: a + b,
    "sub": lambda m, a, b: a - b,
    "mul": lambda m, a, b: a * b,
    "div": lambda m, a, b: a / b,
    "floordiv": lambda m, a, b: a // b,
    "remainder": lambda m, a, b: a % b,
    "pow": lambda m, a, b: a**b,
    "lt": lambda m, a, b: a < b,
    "eq": lambda m, a, b: a == b,
    "where": lambda m, a, b: m.where(m.tensor([True, False]), a, b),
    "maximum": lambda m, a, b: m.maximum(a, b),
    "logical_and": lambda m, a, b: m.logical_and(a, b),
    "cat": lambda m, a, b: m.cat([a, b]),
    "stack": lambda m, a, b: m.stack([a, b]),
    "matmul": lambda m, a, b: a @ b,
}

SINGLE = {
    name: (lambda m, x, name=name: getattr(m, name)(x))
    for name in (
        "neg square reciprocal exp log sqrt rsqrt sin tanh sigmoid erf abs sign floor ceil trunc "
        "round relu isnan isfinite logical_not clone sum mean var prod all any amax argmax"
    ).split()
} | {
    "clamp int": lambda m, x: m.clamp(x, 0, 1),
    "clamp float": lambda m, x: m.clamp(x, 0.5, 1.5),
    "cumsum": lambda m, x: m.cumsum(x, 0),
    "logsumexp": lambda m, x: m.logsumexp(x, 0),
    "softmax": lambda m, x: m.softmax(x, 0),
    "log_softmax": lambda m, x: m.log_softmax(x, 0),
    "norm": lambda m, x: m.norm(x),
    "sort": lambda m, x: m.sort(x)[0],
    "max dim": lambda m, x: m.max(x, 0)[0],
    "add 1": lambda m, x: x + 1,
    "add 1.0": lambda m, x: x + 1.0,
    "reflected sub": lambda m, x: 1.0 - x,
    "reflected div": lambda m, x: 1 / x,
    "reflected pow": lambda m, x: 2**x,
    "in place add": lambda m, x: x.add_(1),
    "in place mul 0.5": lambda m, x: x.mul_(0.5),
    "in place div": lambda m, x: x.div_(2),
    "matmul": lambda m, x: x @ x,
    "to float32": lambda m, x: x.to(m.float32),
}


def operand(m, text):
    if text in NUMBERS:
        return NUMBERS[text]
    dtype, ndim = text.split()
    return m.tensor([1, 1] if ndim == "1" else 1, dtype=getattr(m, dtype))


def call_pair(m, name, a, b):
    if a in NUMBERS and b in NUMBERS:
        raise TypeError("two numbers are Python's business")
    return PAIRED[name](m, operand(m, a), operand(m, b))


def call_single(m, name, dtype):
    return SINGLE[name](m, m.tensor([1, 1], dtype=getattr(m, dtype)))
