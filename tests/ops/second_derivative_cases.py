"""Functions whose second derivatives are compared with PyTorch's.

Each takes the library (`minidl` or `torch`), its functional module, and the inputs.
"""

CASES = {
    "mul": lambda m, F, x, y: x * y * x,
    "div": lambda m, F, x, y: x / (1 + y * y),
    "pow": lambda m, F, x, y: (1 + x * x) ** y,
    "exp": lambda m, F, x, y: m.exp(x * y),
    "log": lambda m, F, x, y: m.log(1 + x * x) * y,
    "sqrt": lambda m, F, x, y: m.sqrt(1 + x * x + y * y),
    "tanh": lambda m, F, x, y: m.tanh(x * y),
    "sigmoid": lambda m, F, x, y: m.sigmoid(x) * y,
    "erf": lambda m, F, x, y: m.erf(x + y),
    "relu": lambda m, F, x, y: F.relu(x) * x * y,
    "gelu": lambda m, F, x, y: F.gelu(x) * y,
    "gelu tanh": lambda m, F, x, y: F.gelu(x * y, approximate="tanh"),
    "matmul": lambda m, F, x, y: (x @ y.t()) @ (x @ y.t()).t(),
    "logsumexp": lambda m, F, x, y: m.logsumexp(x * y, 1),
    "softmax": lambda m, F, x, y: F.softmax(x, -1) * F.softmax(y, 0),
    "log_softmax": lambda m, F, x, y: F.log_softmax(x * y, 1),
    "var": lambda m, F, x, y: m.var(x * y, 0),
    "amax": lambda m, F, x, y: m.amax(x * y, 1) * x[:, 0],
    "cross_entropy": lambda m, F, x, y: F.cross_entropy(
        x * y, m.tensor([0, 2, 3], device=x.device), label_smoothing=0.1
    ),
    "layer_norm": lambda m, F, x, y: F.layer_norm(x, (4,), y[0], y[1]),
    "batch_norm": lambda m, F, x, y: F.batch_norm(x, None, None, y[0], y[1], training=True),
    "local_response_norm": lambda m, F, x, y: F.local_response_norm(
        (x * y).reshape(1, 3, 4), 2, alpha=0.5
    ),
    "conv2d": lambda m, F, x, y: F.conv2d(
        x.reshape(1, 2, 2, 3), y.reshape(2, 2, 3, 1)[:, :, :2], stride=1, padding=1
    ),
    "grouped conv2d": lambda m, F, x, y: F.conv2d(
        (x * x).reshape(1, 2, 2, 3), y.reshape(2, 1, 2, 3), padding=1, groups=2, dilation=1
    ),
    "max_pool2d": lambda m, F, x, y: F.max_pool2d(
        (x * y).reshape(1, 1, 3, 4), 2, stride=1, padding=1
    ) * x[0, 0],
    "avg_pool2d": lambda m, F, x, y: F.avg_pool2d((x * y).reshape(1, 1, 3, 4), 2, stride=1),
    "embedding": lambda m, F, x, y: m.exp(F.embedding(m.tensor([0, 2, 0], device=x.device), x)) * y,
    "std": lambda m, F, x, y: m.std(x * y, 1),
    "prod": lambda m, F, x, y: m.prod(x * y, 1),
    "cumsum": lambda m, F, x, y: m.cumsum(x * y, 1) ** 2,
}  # fmt: skip
