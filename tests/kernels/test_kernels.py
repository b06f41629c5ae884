"""Kernels on large inputs and special values; on small ones: `kernel` of test_op_checks.py."""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.tape import named
from minidl.testing.checks.call import as_tensor, gradients, leaf
from tests.parity import close


@pytest.mark.parametrize("name", kernels.CPU)
def test_a_kernel_is_offered(name):
    """The registry names an op that exists, and loads its kernel."""
    assert ops.all_ops()[name].op.kernels
    assert kernels.load(name) is not None


def rows(x):
    """40 positions within 0 .. 23, on the device of x."""
    return minidl.arange(40, device=x.device) % 24


def filters(x):
    return x[8:20, :108].reshape(12, 12, 3, 3) / 100


def sequence(name, gates, states):
    """A call of a recurrent layer: 20 steps, 40 sequences, 10 units."""

    def call(x):
        x = x.reshape(60, 40, 10)
        weights = [w[: 10 * gates] / 3 for w in x[30:32]]
        biases = [b.reshape(-1)[: 10 * gates] for b in x[40:42]]
        return named(name)(x[:20], *x[20 : 20 + states], *weights, *biases, reverse=False)[0]

    return call


LARGE = {
    "linear": lambda x: ops.linear(x, x[:12] / 100, x[0, :12]),
    "matmul": lambda x: ops.matmul(x, x.transpose(0, 1) / 100),
    "layer_norm": lambda x: ops.layer_norm(x, (1000,), x[0], x[1]),
    "rms_norm": lambda x: ops.rms_norm(x, (1000,), x[0], 1e-5),
    "exp": ops.exp,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "relu": ops.relu,
    "erf": ops.erf,
    "logsigmoid": ops.logsigmoid,
    "silu": ops.silu,
    "mish": ops.mish,
    "hardswish": ops.hardswish,
    "gelu": ops.gelu,
    "leaky_relu": ops.leaky_relu,
    "elu": ops.elu,
    "softplus": ops.softplus,
    "logsumexp": lambda x: minidl.logsumexp(x, 1),
    "cross_entropy": lambda x: ops.cross_entropy(x[:, :24], rows(x)[:24]),
    "mse_loss": lambda x: ops.mse_loss(x[:12], x[12:]),
    "binary_cross_entropy_with_logits": lambda x: ops.binary_cross_entropy_with_logits(
        x[:12], x[12:]
    ),
    "dropout": lambda x: named("dropout")(x, 0.3, 7, 5, False),
    "sum": lambda x: x.repeat(2, 1).sum(0),
    "unindex": lambda x: x[rows(x)],
    "add_at": lambda x: ops.index_add(x, 0, rows(x)[:24], x * x),
    "gather": lambda x: ops.gather(x[:, :40], 1, rows(x).expand(24, 40)),
    "scatter_add": lambda x: ops.scatter_add(x, 1, rows(x).expand(24, 40), x[:, :40]),
    "attention": lambda x: ops.scaled_dot_product_attention(*x.reshape(6, 40, 100).split(2)),
    "convolution": lambda x: ops.conv2d(x.reshape(8, 12, 10, 25), filters(x)),
    "convolution_input": lambda x: ops.conv_transpose2d(x.reshape(8, 12, 10, 25), filters(x)),
    "convolution_weight": lambda x: named("convolution_weight")(
        x.reshape(8, 12, 10, 25),
        x.reshape(8, 12, 10, 25)[:, :5, 2:, 2:] * 1e-3,
        (3, 3),
        (1, 1),
        (0, 0),
        (1, 1),
        1,
    ),
    "gru_sequence": sequence("gru_sequence", 3, 1),
    "lstm_sequence": sequence("lstm_sequence", 4, 2),
    "softmax": lambda x: minidl.softmax(x, 1),
    "log_softmax": lambda x: minidl.log_softmax(x, 1),
    "batch_norm": lambda x: ops.batch_norm(x.reshape(8, 12, 10, 25), None, None, training=True),
    "fixed_norm": lambda x: ops.batch_norm(x.reshape(8, 12, 10, 25), x[0, :12], x[1, :12].exp()),
    "group_norm": lambda x: ops.group_norm(x.reshape(8, 12, 10, 25), 3),
    "laid": lambda x: named("laid")(x.reshape(8, 12, 10, 25), (0, 2, 3, 1), (0, 1, 2, 3)),
    "sum_pool": lambda x: ops.avg_pool2d(x.reshape(8, 12, 10, 25), 3, 2),
    "spread_windows": lambda x: ops.interpolate(x.reshape(8, 12, 10, 25), scale_factor=2),
    "local_response_norm": lambda x: ops.local_response_norm(x.reshape(8, 12, 10, 25), 5, 1e-2),
    "max_pool2d": lambda x: ops.max_pool2d(x.reshape(8, 12, 10, 25), 3, 2, 1),
}


@pytest.mark.parametrize("name", kernels.CPU)
def test_kernel_on_a_large_input(name, device):
    """Sizes at which the work is cut into blocks and threads."""
    array = np.random.default_rng(0).standard_normal((24, 1000))
    values, grads = gradients(LARGE[name], (leaf(array, device, np.float32),))
    with kernels.disabled():
        exact, exact_grads = gradients(
            LARGE[name], (leaf(np.float32(array).astype(float), device),)
        )
    for a, b in zip(values + grads, exact + exact_grads, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", kernels.CPU)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_are_as_in_the_definition(name, special, device):
    array = np.random.default_rng(0).standard_normal((24, 1000)).astype(np.float32)
    array[3, 7] = special
    x = as_tensor(array, device, np.float32)
    with kernels.disabled():
        expected = LARGE[name](x)
    np.testing.assert_allclose(
        minidl.testing.to_numpy(LARGE[name](x)),
        minidl.testing.to_numpy(expected),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", kernels.CPU)
def test_same_bits_twice(name, device):
    x = as_tensor(np.random.default_rng(0).standard_normal((24, 1000)), device, np.float32)
    first, second = (minidl.testing.to_numpy(LARGE[name](x)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_every_kernel_has_a_large_case():
    assert set(LARGE) == set(kernels.CPU)
