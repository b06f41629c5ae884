"""Every layer against plain loops in NumPy, and what it says when it is used wrongly."""

import math

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import to_numpy

numbers = np.random.default_rng(3)
START = numbers.bit_generator.state


@pytest.fixture(autouse=True)
def every_test_draws_the_same_numbers():
    numbers.bit_generator.state = START


def random_tensor(*shape, device="cpu"):
    return minidl.tensor(numbers.standard_normal(shape).astype("float32"), device=device)


def result(module, *inputs):
    return to_numpy(module(*inputs).detach())


def array(parameter):
    return to_numpy(parameter.detach()).astype(np.float64)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


# ------------------------------------------------------------------------------- linear and shapes


@pytest.mark.parametrize("bias", [True, False])
def test_linear(device, bias):
    layer = nn.Linear(4, 3, bias=bias, device=device)
    for shape in [(4,), (2, 4), (2, 5, 4), (0, 4)]:
        x = random_tensor(*shape, device=device)
        expected = array(x) @ array(layer.weight).T + (array(layer.bias) if bias else 0)
        close(result(layer, x), expected)


def test_linear_explains_wrong_inputs():
    layer = nn.Linear(784, 10)
    with pytest.raises(minidl.ShapeError) as caught:
        layer(minidl.zeros(64, 1, 28, 28))
    assert str(caught.value) == (
        "Linear(in_features=784, out_features=10, bias=True): expected an input of shape "
        "(..., 784), got (64, 1, 28, 28). Flatten the input first: nn.Flatten() or x.flatten(1)."
    )
    with pytest.raises(ValueError, match=r"got \(2, 5\). Make the layer with in_features=5"):
        layer(minidl.zeros(2, 5))
    with pytest.raises(minidl.ShapeError, match=r"got \(\)"):
        layer(minidl.tensor(1.0))


def test_identity_flatten_unflatten(device):
    x = random_tensor(2, 3, 4, device=device)
    assert nn.Identity()(x) is x
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Unflatten(1, (3, 1))(x).shape == (2, 3, 1, 4)
    assert nn.Unflatten(-1, [2, -1])(x).shape == (2, 3, 2, 2)
    close(result(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 4))), x), array(x))
    with pytest.raises(TypeError, match="unflattened_size a tuple of ints"):
        nn.Unflatten(1, 3)


# ------------------------------------------------------------------------------------ convolution


def convolved(x, weight, bias, stride, padding, dilation, groups):
    """Conv2d by its definition; padding is ((top, bottom), (left, right))."""
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    n, _, height, width = x.shape
    out, per_group, kh, kw = weight.shape
    rows = (height - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out, rows, columns))
    for b, o, i, j in np.ndindex(*y.shape):
        first = o // (out // groups) * per_group
        for c, p, q in np.ndindex(per_group, kh, kw):
            row, column = stride[0] * i + dilation[0] * p, stride[1] * j + dilation[1] * q
            y[b, o, i, j] += weight[o, c, p, q] * x[b, first + c, row, column]
    return y if bias is None else y + bias[:, None, None]


@pytest.mark.parametrize(
    ("options", "padding"),
    [
        ({"kernel_size": 3}, ((0, 0), (0, 0))),
        ({"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)}, ((1, 1), (2, 2))),
        ({"kernel_size": 2, "dilation": 2, "groups": 2, "bias": False}, ((0, 0), (0, 0))),
        ({"kernel_size": 3, "groups": 4, "padding": 1}, ((1, 1), (1, 1))),
        ({"kernel_size": 3, "padding": "valid"}, ((0, 0), (0, 0))),
        ({"kernel_size": (3, 4), "padding": "same"}, ((1, 1), (1, 2))),
    ],
    ids=str,
)
def test_conv2d(device, options, padding):
    layer = nn.Conv2d(4, 8, **options, device=device)
    x = random_tensor(2, 4, 6, 7, device=device)
    expected = convolved(
        array(x),
        array(layer.weight),
        None if layer.bias is None else array(layer.bias),
        layer.stride,
        padding,
        layer.dilation,
        layer.groups,
    )
    close(result(layer, x), expected)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"groups": 0}, ValueError, "groups must be a positive integer"),
        ({"groups": 3}, ValueError, "in_channels must be divisible by groups"),
        ({"out_channels": 5, "groups": 2}, ValueError, "out_channels must be divisible by groups"),
        ({"padding": "full"}, ValueError, "Invalid padding string 'full'"),
        ({"padding": "same", "stride": 2}, ValueError, "not supported for strided"),
        ({"padding_mode": "mirror"}, ValueError, "padding_mode must be one of"),
    ],
)
def test_conv2d_refuses(options, error, words):
    with pytest.raises(error, match=words):
        nn.Conv2d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **options})


def test_conv2d_explains_wrong_channels():
    with pytest.raises(minidl.ShapeError, match="channels"):
        nn.Conv2d(3, 8, 3)(minidl.zeros(2, 1, 28, 28))


# ---------------------------------------------------------------------------------- normalisation


def normalised(x, mean, var, eps):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)


@pytest.mark.parametrize("momentum", [0.1, 0.4, None])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 2, 5)], ids=str)
def test_batch_norm_in_training_and_evaluation(device, shape, momentum):
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    layer = kind(3, eps=1e-3, momentum=momentum, device=device)
    axes = tuple(i for i in range(len(shape)) if i != 1)
    count = math.prod(shape) / 3
    mean, var = np.zeros(3), np.ones(3)
    for batch in range(3):
        x = random_tensor(*shape, device=device)
        a = array(x)
        close(result(layer, x), normalised(a, a.mean(axes), a.var(axes), 1e-3))
        factor = 1 / (batch + 1) if momentum is None else momentum
        mean = (1 - factor) * mean + factor * a.mean(axes)
        var = (1 - factor) * var + factor * a.var(axes) * count / (count - 1)
    close(to_numpy(layer.running_mean), mean)
    close(to_numpy(layer.running_var), var)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    close(result(layer, x), normalised(array(x), mean, var, 1e-3))
    assert layer.num_batches_tracked.item() == 3


def test_batch_norm_scale_and_shift(device):
    layer = nn.BatchNorm1d(2, device=device)
    with minidl.no_grad():
        layer.weight.copy_(minidl.tensor([2.0, 3.0], device=device))
        layer.bias.fill_(1.0)
    x = random_tensor(8, 2, device=device)
    a = array(x)
    close(result(layer, x), normalised(a, a.mean(0), a.var(0), 1e-5) * [2, 3] + 1)


def test_batch_norm_without_statistics(device):
    layer = nn.BatchNorm1d(2, track_running_stats=False, device=device).eval()
    x = random_tensor(8, 2, device=device)
    a = array(x)
    close(result(layer, x), normalised(a, a.mean(0), a.var(0), 1e-5))
    assert layer.running_mean is None
    plain = nn.BatchNorm1d(2, affine=False)
    assert list(plain.parameters()) == []


def test_batch_norm_forgets():
    layer = nn.BatchNorm1d(2)
    layer(random_tensor(8, 2))
    layer.reset_parameters()
    np.testing.assert_array_equal(to_numpy(layer.running_mean), [0, 0])
    np.testing.assert_array_equal(to_numpy(layer.running_var), [1, 1])
    assert layer.num_batches_tracked.item() == 0


def test_batch_norm_explains_wrong_inputs():
    with pytest.raises(minidl.ShapeError, match=r"BatchNorm2d: expected 4D input \(got 2D input"):
        nn.BatchNorm2d(3)(minidl.zeros(2, 3))
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        nn.BatchNorm1d(3)(minidl.zeros(2, 3, 4, 5))
    with pytest.raises(minidl.ShapeError, match="expected 3 channels in dimension 1, got 5"):
        nn.BatchNorm2d(3)(minidl.zeros(2, 5, 4, 4))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(minidl.zeros(1, 3))


@pytest.mark.parametrize("shape", [(5,), (4, 5)], ids=str)
def test_layer_norm(device, shape):
    layer = nn.LayerNorm(shape, eps=1e-3, device=device)
    with minidl.no_grad():
        layer.weight.mul_(2)
        layer.bias.add_(1)
    x = random_tensor(3, 4, 5, device=device)
    a, axes = array(x), tuple(range(-len(shape), 0))
    mean, var = a.mean(axes, keepdims=True), a.var(axes, keepdims=True)
    close(result(layer, x), (a - mean) / np.sqrt(var + 1e-3) * 2 + 1)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_local_response_norm(device, size):
    layer = nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=2.0)
    x = random_tensor(2, 7, 3, 2, device=device)
    a = array(x)
    expected = np.empty_like(a)
    for c in range(7):
        near = a[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        expected[:, c] = a[:, c] / (2 + 0.3 / size * (near**2).sum(1)) ** 0.6
    close(result(layer, x), expected)


# ---------------------------------------------------------------------------------------- pooling


def windows(a, kernel, stride):
    """The windows of a padded array, row by row, each (N, C, kernel, kernel)."""
    rows = (a.shape[2] - kernel) // stride + 1
    columns = (a.shape[3] - kernel) // stride + 1
    return [
        [
            a[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            for j in range(columns)
        ]
        for i in range(rows)
    ]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (2, None, 0), (3, 2, 1)])
def test_max_and_average_pooling(device, kernel, stride, padding):
    x = random_tensor(2, 3, 7, 8, device=device)
    pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    step = stride or kernel
    for layer, fill, reduce in [
        (nn.MaxPool2d(kernel, stride, padding), -np.inf, np.max),
        (nn.AvgPool2d(kernel, stride, padding), 0, np.mean),
    ]:
        tiles = windows(np.pad(array(x), pad, constant_values=fill), kernel, step)
        expected = np.stack(
            [np.stack([reduce(t, axis=(2, 3)) for t in row], -1) for row in tiles], 2
        )
        close(result(layer, x), expected)


def test_max_pooling_says_where(device):
    x = random_tensor(1, 2, 4, 4, device=device)
    values, indices = nn.MaxPool2d(2, return_indices=True)(x)
    flat = array(x).reshape(1, 2, 16)
    found = np.take_along_axis(flat, to_numpy(indices).reshape(1, 2, 4), 2)
    close(to_numpy(values).reshape(1, 2, 4), found)


def test_pooling_options(device):
    x = random_tensor(1, 1, 5, 5, device=device)
    assert nn.MaxPool2d(2, ceil_mode=True)(x).shape == (1, 1, 3, 3)
    assert nn.MaxPool2d(2, dilation=2, stride=1)(x).shape == (1, 1, 3, 3)
    assert nn.AvgPool2d(2, ceil_mode=True)(x).shape == (1, 1, 3, 3)
    corner = result(nn.AvgPool2d(2, padding=1, count_include_pad=False), x)[0, 0, 0, 0]
    close(corner, array(x)[0, 0, 0, 0])
    close(result(nn.AvgPool2d(2, divisor_override=1), x)[0, 0, 0, 0], array(x)[0, 0, :2, :2].sum())


@pytest.mark.parametrize("size", [1, 3, (2, 5), (None, 4)], ids=str)
def test_adaptive_average_pooling(device, size):
    x = random_tensor(2, 3, 7, 5, device=device)
    a = array(x)
    rows, columns = (
        7 if s is None else s for s in ((size, size) if isinstance(size, int) else size)
    )
    expected = np.empty((2, 3, rows, columns))
    for i, j in np.ndindex(rows, columns):
        part = a[
            :,
            :,
            i * 7 // rows : -(-(i + 1) * 7 // rows),
            j * 5 // columns : -(-(j + 1) * 5 // columns),
        ]
        expected[:, :, i, j] = part.mean((2, 3))
    close(result(nn.AdaptiveAvgPool2d(size), x), expected)


# --------------------------------------------------------------------------------------- dropout


def test_dropout(device):
    minidl.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = minidl.ones(100, 100, device=device, requires_grad=True)
    y = layer(x)
    got = to_numpy(y.detach())
    assert set(np.unique(got)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((got == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), got)
    assert (result(layer, x) != got).any()
    np.testing.assert_array_equal(result(layer.eval(), x), np.ones((100, 100)))


def test_dropout2d_takes_whole_channels(device):
    minidl.manual_seed(0)
    got = result(nn.Dropout2d(0.5), minidl.ones(40, 30, 3, 2, device=device))
    per_channel = got.reshape(1200, 6)
    np.testing.assert_array_equal(per_channel, per_channel[:, :1] * np.ones(6))
    assert abs((per_channel[:, 0] == 0).mean() - 0.5) < 0.06
    assert per_channel.max() == 2


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_dropout_probability(p):
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        nn.Dropout(p)
    np.testing.assert_array_equal(result(nn.Dropout(1.0), minidl.ones(3)), [0, 0, 0])


# ------------------------------------------------------------------------------------- embedding


def test_embedding(device):
    layer = nn.Embedding(5, 3, padding_idx=-4, device=device)
    assert layer.padding_idx == 1
    np.testing.assert_array_equal(array(layer.weight)[1], [0, 0, 0])
    index = minidl.tensor([[0, 1], [4, 4]], device=device)
    y = layer(index)
    close(to_numpy(y.detach()), array(layer.weight)[[[0, 1], [4, 4]]])
    y.sum().backward()
    np.testing.assert_array_equal(to_numpy(layer.weight.grad)[:, 0], [1, 0, 0, 0, 2])


def test_embedding_from_a_table():
    table = minidl.randn(4, 2)
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    close(result(layer, minidl.tensor([3])), to_numpy(table)[[3]])


def test_embedding_refuses():
    with pytest.raises(ValueError, match="padding_idx=5 must be within"):
        nn.Embedding(5, 3, padding_idx=5)
    with pytest.raises(IndexError):
        nn.Embedding(5, 3)(minidl.tensor([5]))


# ----------------------------------------------------------------------------------- activations


def test_activations(device):
    x = random_tensor(4, 5, device=device)
    a = array(x)
    erf = np.vectorize(math.erf)
    e = np.exp(a - a.max(1, keepdims=True))
    cubic = 0.044715 * a**3
    for layer, expected in [
        (nn.ReLU(), np.maximum(a, 0)),
        (nn.Tanh(), np.tanh(a)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-a))),
        (nn.GELU(), a * (1 + erf(a / math.sqrt(2))) / 2),
        (nn.GELU(approximate="tanh"), a * (1 + np.tanh(math.sqrt(2 / math.pi) * (a + cubic))) / 2),
        (nn.Softmax(dim=1), e / e.sum(1, keepdims=True)),
        (nn.LogSoftmax(dim=-1), np.log(e / e.sum(1, keepdims=True))),
    ]:
        close(result(layer, x), expected)


def test_relu_in_place(device):
    x = random_tensor(4, device=device)
    expected = np.maximum(array(x), 0)
    assert nn.ReLU(inplace=True)(x) is x
    close(to_numpy(x), expected)


def test_softmax_guesses_a_dimension_and_warns(device):
    x = random_tensor(2, 3, device=device)
    with pytest.warns(UserWarning, match=r"softmax: say along which dimension.*dimension 1"):
        guessed = nn.Softmax()(x)
    close(to_numpy(guessed), to_numpy(nn.Softmax(1)(x)))


# ---------------------------------------------------------------------------------------- losses


def reduced(a, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](a)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_equal_shapes(device, reduction):
    x, y = random_tensor(4, 3, device=device), random_tensor(4, 3, device=device)
    a, b = array(x), array(y)
    close(result(nn.MSELoss(reduction=reduction), x, y), reduced((a - b) ** 2, reduction))
    close(result(nn.L1Loss(reduction=reduction), x, y), reduced(abs(a - b), reduction))
    target = minidl.tensor((b > 0).astype("float32"), device=device)
    weight, pos = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.2])
    s = 1 / (1 + np.exp(-a))
    plain = -((b > 0) * np.log(s) + (b <= 0) * np.log(1 - s))
    weighted = -weight * (pos * (b > 0) * np.log(s) + (b <= 0) * np.log(1 - s))
    close(result(nn.BCEWithLogitsLoss(reduction=reduction), x, target), reduced(plain, reduction))
    layer = nn.BCEWithLogitsLoss(
        minidl.tensor(weight.astype("float32"), device=device),
        reduction=reduction,
        pos_weight=minidl.tensor(pos.astype("float32"), device=device),
    )
    close(result(layer, x, target), reduced(weighted, reduction))


def test_bce_of_large_scores_is_finite():
    loss = nn.BCEWithLogitsLoss(reduction="none")
    x = minidl.tensor([200.0, -200.0, 200.0], requires_grad=True)
    y = loss(x, minidl.tensor([1.0, 0.0, 0.0]))
    close(to_numpy(y.detach()), [0, 0, 200])
    y.sum().backward()
    close(to_numpy(x.grad), [0, 0, 1])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_of_classes(device, reduction, weighted):
    x, target = random_tensor(5, 4, device=device), [0, 3, 1, -100, 2]
    w = np.array([1.0, 2.0, 0.5, 3.0]) if weighted else np.ones(4)
    log_p = array(x) - np.log(np.exp(array(x)).sum(1, keepdims=True))
    factor = np.array([0 if t < 0 else w[t] for t in target])
    losses = np.array([0 if t < 0 else -w[t] * log_p[i, t] for i, t in enumerate(target)])
    expected = {"mean": losses.sum() / factor.sum(), "sum": losses.sum(), "none": losses}[reduction]
    options = {"reduction": reduction}
    if weighted:
        options["weight"] = minidl.tensor(w.astype("float32"), device=device)
    target = minidl.tensor(target, device=device)
    close(result(nn.CrossEntropyLoss(**options), x, target), expected)
    close(result(nn.NLLLoss(**options), x.log_softmax(1), target), expected)


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_losses_ignore_the_class_they_are_told_to(kind, device):
    x = random_tensor(4, 3, device=device).log_softmax(1)
    target = minidl.tensor([0, 2, 1, 2], device=device)
    close(result(kind(ignore_index=2), x, target), -(array(x)[0, 0] + array(x)[2, 1]) / 2)


def test_cross_entropy_smoothing_and_pixels(device):
    x = random_tensor(2, 3, 4, device=device)
    target = minidl.tensor([[0, 1, 2, 0], [1, 1, 0, 2]], device=device)
    a = array(x)
    log_p = a - np.log(np.exp(a).sum(1, keepdims=True))
    chosen = np.take_along_axis(log_p, to_numpy(target)[:, None], 1)[:, 0]
    close(result(nn.CrossEntropyLoss(), x, target), -chosen.mean())
    smooth = nn.CrossEntropyLoss(label_smoothing=0.2)
    close(result(smooth, x, target), -(0.8 * chosen + 0.2 * log_p.mean(1)).mean())


def test_losses_refuse():
    with pytest.raises(ValueError, match="'average' is not a valid value for reduction"):
        nn.MSELoss(reduction="average")
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.CrossEntropyLoss(size_average=False).reduction == "sum"
    with pytest.raises(IndexError):
        nn.CrossEntropyLoss()(minidl.zeros(2, 3), minidl.tensor([0, 3]))
    assert list(nn.CrossEntropyLoss(weight=minidl.ones(3)).state_dict()) == ["weight"]
