"""autocast and GradScaler: off without a GPU, and refused where they cannot be; on the stand-in."""

import numpy as np
import pytest

import minidl
from minidl import kernels, nn, optim
from minidl.amp import GradScaler, autocast
from minidl.autocasting import FLOAT32, LOWER
from minidl.nn import functional as F
from minidl.testing import standin, standin_module
from minidl.utils.checkpoint import checkpoint


def test_a_mixed_precision_loop_for_the_gpu_runs_in_float32():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler()
    before = model.weight.detach().clone()
    with autocast("cuda", dtype=minidl.float16):
        loss = model(minidl.ones(3, 2)).sum()
    assert loss.dtype == minidl.float32
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (model.weight.detach() - before + 0.3).abs().max() < 1e-6


def test_it_decorates():
    @minidl.autocast("cpu", enabled=False)
    def function(x):
        return x + 1

    assert function(1) == 2
    assert function.__name__ == "function"


def test_lower_precision_is_refused():
    with pytest.raises(NotImplementedError, match="float32 only"):
        autocast("cpu", dtype=minidl.bfloat16)


@pytest.fixture
def cuda():
    with standin_module.registered():
        yield "cuda"


def test_bfloat16_is_refused(cuda):
    with pytest.raises(NotImplementedError, match="expected dtype"):
        autocast("cuda", dtype=minidl.bfloat16)


def test_the_lists_name_ops():
    assert {name for name in LOWER | FLOAT32 if minidl.tape.named(name) is None} == set()


# ---------------------------------------------------------------------------------------- autocast

x, w = (np.random.default_rng(0).standard_normal(shape) / 2 for shape in ((4, 6), (6, 6)))
image = np.random.default_rng(1).standard_normal((2, 3, 5, 5))
filters = np.random.default_rng(2).standard_normal((4, 3, 3, 3)) / 4

PRODUCTS = {
    "matmul": (lambda x, w: x @ w, x, w),
    "mm": (minidl.mm, x, w),
    "bmm": (minidl.bmm, x[None], w[None]),
    "einsum": (lambda x, w: minidl.einsum("ij,jk->ik", x, w), x, w),
    "linear": (F.linear, x, w),
    "conv2d": (F.conv2d, image, filters),
    "conv_transpose2d": (F.conv_transpose2d, image, filters[:3]),
    "mv": (lambda x, w: minidl.mv(x, w[0]), x, w),
    "chain_matmul": (minidl.chain_matmul, x, w),
    "addmm": (minidl.addmm, x, x, w),
    "addmv": (lambda x, w: minidl.addmv(x[:, 0], x, w[0]), x, w),
    "addr": (lambda x, w: minidl.addr(x, x[:, 0], w[0]), x, w),
    "baddbmm": (minidl.baddbmm, x[None], x[None], w[None]),
    "addbmm": (minidl.addbmm, x, x[None], w[None]),
    "attention": (lambda q, k: F.scaled_dot_product_attention(q, k, k), x, w),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_in_float16(name, cuda):
    function, *given = PRODUCTS[name]
    leaves = [minidl.tensor(a.astype("float32"), device=cuda, requires_grad=True) for a in given]
    with autocast(cuda):
        out = function(*leaves)
    assert out.dtype == minidl.float16
    grads = minidl.autograd.grad((out.float() ** 2).sum(), leaves)
    assert all(g.dtype == minidl.float32 for g in grads)
    exact = [minidl.tensor(a, requires_grad=True) for a in given]
    expected = function(*exact)
    np.testing.assert_allclose(
        out.detach().float().cpu().numpy(), expected.detach().numpy(), atol=2e-2
    )
    for g, e in zip(grads, minidl.autograd.grad((expected**2).sum(), exact), strict=True):
        scale = e.abs().max().item()
        np.testing.assert_allclose(g.cpu().numpy() / scale, e.numpy() / scale, atol=1e-2)


FLOATING = {
    "exp": minidl.exp,
    "pow": lambda x: x**2,
    "sum": minidl.sum,
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "cross_entropy": lambda x: F.cross_entropy(x, minidl.zeros(4, dtype=int, device=x.device)),
}


@pytest.mark.parametrize("name", FLOATING)
def test_sums_and_exponentials_are_in_float32(name, cuda):
    given = minidl.tensor(x, device=cuda).half().requires_grad_()
    with autocast(cuda):
        out = FLOATING[name](given)
    assert out.dtype == minidl.float32
    out.sum().backward()
    assert given.grad.dtype == minidl.float16


def test_the_rest_runs_in_the_type_of_its_operands(cuda):
    half, single = (minidl.ones(3, 3, dtype=d, device=cuda) for d in ("float16", "float32"))
    double = minidl.ones(3, 3, dtype="float64", device=cuda)
    with autocast(cuda):
        assert (half + half).dtype == half.relu().dtype == minidl.float16
        assert (half + single).dtype == single.exp().dtype == minidl.float32
        assert (double @ double).dtype == minidl.float64
        assert (minidl.ones(2, 2) @ minidl.ones(2, 2)).dtype == minidl.float32  # on the CPU
        with autocast(cuda, enabled=False):
            assert (single @ single).dtype == minidl.float32
        assert (single @ single).dtype == minidl.float16
    assert (single @ single).dtype == minidl.float32
    assert autocast(cuda)(lambda: single @ single)().dtype == minidl.float16


cells = minidl.tensor([2, 0, 2, 1])  # of a column of x
WIDEST = {
    "bilinear": lambda a, b: F.bilinear(a, b, minidl.stack([a.T @ a, b.T @ b]).type_as(b)),
    "cross": lambda a, b: minidl.cross(a[:3], b[:3], dim=0),
    "dot": lambda a, b: minidl.dot(a[0], b[0]),
    "grid_sample": lambda a, b: F.grid_sample(a[None, None], b.reshape(1, 3, 4, 2)),
    "index_put": lambda a, b: minidl.index_put(a[0], (cells.to(a.device),), b[0, :4], True),
    "scatter_add": lambda a, b: minidl.scatter_add(a[0], 0, cells.to(a.device), src=b[0]),
    "tensordot": lambda a, b: minidl.tensordot(a, b),
    "vdot": lambda a, b: minidl.vdot(a[0], b[1]),
}


@pytest.mark.parametrize("name", WIDEST)
def test_some_run_in_the_widest_type(name, cuda):
    single = minidl.tensor(x, dtype=minidl.float32, device=cuda).requires_grad_()
    half = (single / 2).detach().half().requires_grad_()
    expected = WIDEST[name](single, half.float())
    for a, b in ((single, half), (half, single)):
        with autocast(cuda):
            out = WIDEST[name](a, b)
        assert out.dtype == minidl.float32
        for leaf, g in zip((a, b), minidl.autograd.grad(out.sum(), (a, b)), strict=True):
            assert g.dtype == leaf.dtype
        if a is single and name != "bilinear":  # whose weight here is made of products
            np.testing.assert_array_equal(out.detach().cpu(), expected.detach().cpu())
    with autocast(cuda):
        assert WIDEST[name](single, single).dtype == minidl.float32
        assert name == "bilinear" or WIDEST[name](half, half).dtype == minidl.float16


def test_checkpoint_computes_again_under_the_same_autocast(cuda):
    layer = nn.Linear(6, 5, device=cuda)
    given = minidl.tensor(x, dtype=minidl.float32, device=cuda)

    def gradients(run, during=minidl.float16, backward_within=False):
        seen = []
        layer.zero_grad()
        with autocast(cuda, enabled=during == minidl.float16):
            loss = run(lambda a: seen.append(layer(a)) or seen[-1].relu()).float().sum()
        with autocast(cuda, enabled=backward_within):
            loss.backward()
        assert {y.dtype for y in seen} == {during}
        return [p.grad.cpu().numpy() for p in layer.parameters()]

    for kind in (minidl.float16, minidl.float32):
        expected = gradients(lambda function: function(given), kind)
        for within in (False, True):
            found = gradients(lambda function: checkpoint(function, given), kind, within)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    assert minidl.tape.mode.autocast is None


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_recurrent_layers(layer, cuda):
    net = layer(3, 5, device=cuda)
    with autocast(cuda):
        out = net(minidl.randn(4, 2, 3, device=cuda))[0]
    assert out.dtype == minidl.float16
    out.float().sum().backward()
    assert {p.grad.dtype for p in net.parameters()} == {minidl.float32}


def test_backward_within_autocast_is_the_same(cuda):
    def gradients(within):
        minidl.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 5, device=cuda), nn.LayerNorm(5, device=cuda))
        with autocast(cuda):
            loss = F.cross_entropy(
                net(minidl.tensor(x, dtype=minidl.float32, device=cuda)),
                minidl.zeros(4, dtype=int, device=cuda),
            )
            if within:
                loss.backward()
        if not within:
            loss.backward()
        return [p.grad.cpu().numpy() for p in net.parameters()]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_array_equal(a, b)


# -------------------------------------------------------------------------------------- GradScaler


def trained(device, mixed):
    minidl.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).to(device)
    optimizer, scaler = optim.Adam(net.parameters(), 0.01), GradScaler(enabled=mixed)
    draw = np.random.default_rng(0)
    images = minidl.tensor(draw.standard_normal((16, 1, 6, 6)), dtype=minidl.float32).to(device)
    labels = minidl.tensor(draw.integers(0, 3, 16)).to(device)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        with autocast("cuda", enabled=mixed):
            loss = F.cross_entropy(net(images), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


def test_training_in_mixed_precision(cuda):
    with kernels.disabled():
        expected = trained("cpu", False)
    np.testing.assert_allclose(trained(cuda, True), expected, rtol=1e-2, atol=1e-3)


def with_gradients(cuda, *values):
    params = [nn.Parameter(minidl.ones(2, device=cuda)) for _ in values]
    for p, value in zip(params, values, strict=True):
        p.grad = minidl.full((2,), value, device=cuda)
    return params, optim.SGD(params, lr=1.0)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_step_with_inf_is_left_out_and_the_scale_falls(cuda, bad):
    scaler = GradScaler(init_scale=8.0)
    params, optimizer = with_gradients(cuda, 1.0, bad)
    assert scaler.step(optimizer) is None
    assert (params[0] == 1).all()
    scaler.update()
    assert scaler.get_scale() == 4.0


def test_the_scale_grows_after_an_interval(cuda):
    scaler = GradScaler(init_scale=8.0, growth_interval=2)
    for expected in (8.0, 16.0, 16.0, 32.0):
        params, optimizer = with_gradients(cuda, scaler.get_scale())
        scaler.step(optimizer)
        assert (params[0] == 0).all()  # 1 - the unscaled gradient
        scaler.update()
        assert scaler.get_scale() == expected


def test_scale_takes_tensors_in_lists(cuda):
    scaler = GradScaler(init_scale=4.0)
    one = minidl.ones(1, device=cuda)
    (a, (b,)) = scaler.scale([one, (one,)])
    assert a.item() == b.item() == 4.0
    with pytest.raises(ValueError, match="must be a Tensor"):
        scaler.scale(3)


def test_a_step_waits_once(cuda):
    scaler = GradScaler()
    params, optimizer = with_gradients(cuda, 1.0, 2.0, 3.0)
    with standin.counted() as counts:
        scaler.scale(params[0].sum())
        scaler.unscale_(optimizer)
        assert (counts.transfers, counts.synchronisations) == (0, 0)
        scaler.step(optimizer)
        scaler.update()
    assert (counts.transfers, counts.synchronisations) == (0, 1)


def test_wrong_orders_are_refused(cuda):
    scaler = GradScaler()
    _, optimizer = with_gradients(cuda, 1.0)
    with pytest.raises(RuntimeError, match="prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called since"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(RuntimeError, match="No inf checks"):
        scaler.step(optim.SGD([nn.Parameter(minidl.ones(1, device=cuda))], lr=1.0))
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: None)


def test_gradients_in_float16_are_refused(cuda):
    p = nn.Parameter(minidl.ones(2, device=cuda).half())
    p.grad = minidl.ones(2, device=cuda).half()
    with pytest.raises(ValueError, match="FP16"):
        GradScaler().unscale_(optim.SGD([p], lr=1.0))


def test_state(cuda):
    scaler, other = GradScaler(init_scale=8.0, growth_interval=3), GradScaler()
    _, optimizer = with_gradients(cuda, 1.0)
    scaler.step(optimizer)
    scaler.update()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    assert other.state_dict()["_growth_tracker"] == 1
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict(GradScaler(enabled=False).state_dict())


def test_on_the_cpu_it_scales_too():
    scaler = GradScaler("cpu", init_scale=4.0)
    params, optimizer = with_gradients("cpu", 4.0)
    scaler.step(optimizer)
    scaler.update()
    assert (params[0] == 0).all()
