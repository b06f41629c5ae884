"""Channels-last memory between kernels: never seen in values, and kept from op to op."""

import numpy as np
import pytest

pytest.importorskip("numba")

import minidl
from minidl import nn, ops
from minidl.errors import ShapeError
from minidl.kernels.cpu import layout
from minidl.nn import functional as F
from minidl.tape import wrap


def images(*shape, requires_grad=True, seed=0):
    """What a kernel gives: (N, C, H, W), channels-last, and nobody else's memory."""
    out = layout.images(*shape)
    out[...] = np.random.default_rng(seed).standard_normal(shape)
    t = wrap(out)
    return t.requires_grad_() if requires_grad else t * 1.0


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 65, 9, 8), (3, 64, 16, 16), (2, 1, 3, 3)])
def test_pixels_and_back(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    last = layout.pixels(x)
    assert last.flags.c_contiguous
    np.testing.assert_array_equal(last, x.transpose(0, 2, 3, 1))
    back = layout.row_order(layout.from_pixels(last))
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, x)


def test_pixels_of_channels_last_images_are_a_view():
    x = layout.images(2, 3, 4, 5)
    before = layout.reorders
    assert np.may_share_memory(layout.pixels(x), x) and layout.is_channels_last(x)
    assert layout.reorders == before


KEEP = {
    "add": lambda x: x + x,
    "scale per channel": lambda x: x * minidl.ones(1, 8, 1, 1),
    "relu": F.relu,
    "where": lambda x: minidl.where(x > 0, x, 0.5),
    "clamp": lambda x: x.clamp(0, 1),
    "cat": lambda x: minidl.cat([x, x], 1),
    "dropout2d": lambda x: F.dropout2d(x, 0.3),
    "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "pad channels of every second pixel": lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "conv2d": lambda x: F.conv2d(x, minidl.ones(8, 8, 3, 3), padding=1),
}


@pytest.mark.parametrize("name", KEEP)
@pytest.mark.parametrize("size", [4, 32])  # with and without kernels for elementwise ops
def test_ops_keep_the_order(name, size):
    """Forward, and the gradient that arrives at what came before."""
    x = images(3, 8, size, size)
    arrived = []
    before = x * 1.0
    before.register_hook(lambda g: arrived.append(g.stride()))
    count = layout.reorders
    out = KEEP[name](before)
    assert layout.is_channels_last(out._array)
    out.backward(images(*out.shape, requires_grad=False, seed=1))
    assert arrived[0][1] == 1, arrived  # the channels are neighbours
    assert layout.reorders == count


def test_a_mean_spreads_its_gradient_without_an_order():
    x = images(3, 8, 4, 4)
    count = layout.reorders
    F.max_pool2d(F.relu(x * 1.0), 2).mean((2, 3)).sum().backward()
    assert layout.reorders == count


def test_flatten_gives_its_gradient_back_channels_last():
    for flat in (lambda x: x.flatten(1), lambda x: x.view(3, -1), lambda x: x.reshape(3, -1)):
        arrived = []
        x = images(3, 8, 4, 4) * 1.0
        x.register_hook(arrived.append)
        g = minidl.tensor(np.random.default_rng(2).standard_normal((3, 128)), dtype=minidl.float32)
        flat(x).backward(g)
        assert layout.is_channels_last(arrived[0]._array)
        np.testing.assert_array_equal(arrived[0].numpy(), g.numpy().reshape(3, 8, 4, 4))


class Block(nn.Module):
    """A block of ResNet-20 with shortcut A: every second pixel, new channels zero."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, (outputs - inputs) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


def test_a_step_of_resnet_20_reorders_nothing_between_the_first_convolution_and_the_flatten():
    minidl.manual_seed(0)
    layers = [nn.BatchNorm2d(16), nn.ReLU()]
    for inputs, outputs in ((16, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 32)):
        layers.append(Block(inputs, outputs, outputs // inputs))
    for inputs in (32, 64, 64):
        layers.append(Block(inputs, 64, 64 // inputs))
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stem, head = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.Linear(64, 10)
    first = stem(minidl.randn(4, 3, 16, 16))
    counts = []
    first.register_hook(lambda g: counts.append(layout.reorders))
    counts.append(layout.reorders)
    out = body(first)
    counts.append(layout.reorders)
    loss = F.cross_entropy(head(out), minidl.tensor([0, 1, 2, 3]))
    counts.append(layout.reorders)
    loss.backward()
    assert counts[1] == counts[0], "forward"
    assert counts[3] == counts[2], "backward"


# -------------------------------------------------------------------------------------------- view


def test_view_of_what_a_kernel_gave():
    x = images(3, 8, 6, 6)
    y = F.max_pool2d(x, 2)
    values = np.ascontiguousarray(y._array)
    flat = y.view(3, -1)
    np.testing.assert_array_equal(flat.detach().numpy(), values.reshape(3, -1))
    assert y.is_contiguous() and y.stride() == (72, 9, 3, 1)
    np.testing.assert_array_equal(y.detach().numpy(), values)
    (flat * flat).sum().backward()
    np.testing.assert_allclose(x.grad.sum().item(), 2 * values.sum(), rtol=1e-5)


def test_view_shares_the_memory():
    with minidl.no_grad():
        y = F.max_pool2d(images(3, 8, 6, 6), 2)
        flat = y.view(3, -1)
        flat.zero_()
        assert y.abs().sum() == 0
        y.add_(1)
        assert (flat == 1).all()


def test_writes_after_the_view_are_recorded_for_both():
    x = images(2, 4, 4, 4)
    y = F.avg_pool2d(x, 2)
    flat = y.view(2, -1)
    y.mul_(3)
    flat.mul_(2)
    (y.sum() + flat.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((2, 4, 4, 4), 2 * 6 / 4), rtol=1e-6)


def test_all_uses_before_and_after_the_view_reach_the_gradient():
    x = images(2, 4, 4, 4)
    y = F.avg_pool2d(x, 2)
    before = (y * y).sum()
    after = (y.view(2, -1) * 3).sum()
    again = (y * 5).sum()
    y.retain_grad()
    (before + after + again).backward()
    np.testing.assert_allclose(y.grad.numpy(), 2 * y.detach().numpy() + 8, rtol=1e-6)


def test_only_the_pixels_are_joined_without_a_copy():
    y = F.max_pool2d(images(3, 8, 6, 6), 2)
    assert y.view(3, 8, 9).shape == (3, 8, 9)
    assert not y.is_contiguous()


SHARING = {  # who else may be on the memory
    "a slice": lambda y: y[0],
    "detach": lambda y: y.detach(),
    "data": lambda y: y.data,
    "numpy": lambda y: y.detach().numpy(),
}


@pytest.mark.parametrize("other", SHARING)
def test_view_is_refused_while_others_lie_on_the_memory(other):
    y = F.max_pool2d(images(3, 8, 6, 6), 2)
    held = SHARING[other](y)
    with pytest.raises(ShapeError, match="reshape"):
        y.view(3, -1)
    assert y.reshape(3, -1).shape == (3, 72)
    del held


def test_a_slice_that_is_gone_shares_no_memory():
    y = F.max_pool2d(images(3, 8, 6, 6), 2)
    assert y[0].shape == (8, 3, 3)
    assert y.view(3, -1).shape == (3, 72)


def test_an_array_of_the_user_is_never_moved():
    array = layout.images(2, 3, 4, 5)
    t = minidl.from_numpy(array)
    with pytest.raises(ShapeError, match="reshape"):
        t.view(2, -1)
    assert t.numpy() is array


def test_contiguous_and_numpy_are_right():
    y = F.max_pool2d(images(3, 8, 6, 6), 2).detach()
    assert not y.is_contiguous() and y.contiguous().is_contiguous()
    np.testing.assert_array_equal(y.contiguous().numpy(), y.numpy())
    assert y.numpy().strides == tuple(4 * s for s in y.stride())


def test_values_do_not_depend_on_the_layout():
    net = nn.Sequential(
        nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.GroupNorm(2, 8), nn.Flatten()
    )
    last = images(3, 8, 6, 6, requires_grad=False)
    rows = minidl.tensor(np.ascontiguousarray(last._array))
    np.testing.assert_array_equal(net(last).detach().numpy(), net(rows).detach().numpy())
    assert ops.all_ops()["laid"].op.kernels


@pytest.mark.parametrize("name", ["flatten", "reshape"])
def test_writes_through_a_new_shape_of_fresh_images_are_seen(name):
    y = nn.functional.conv2d(minidl.ones(2, 16, 8, 8), minidl.ones(16, 16, 3, 3))
    (y.flatten(1) if name == "flatten" else y.reshape(2, -1)).zero_()
    assert y.sum() == 0
