"""Views and changes in place: values, gradients, and what is refused."""

import pytest
from leaves import ones

import minidl
from minidl import GraphError, testing

pytestmark = pytest.mark.smoke


def test_a_view_follows_its_base(device):
    x = minidl.tensor([[0.0, 1.0], [2.0, 3.0]], device=device, requires_grad=True)
    y = x * 1
    v = y[0]
    y.mul_(2)
    (v * v).sum().backward()
    assert x.grad.tolist() == [[0.0, 8.0], [0.0, 0.0]]


def test_a_write_to_a_view_of_a_view(device):
    x = minidl.tensor([[0.0, 1.0], [2.0, 3.0]], device=device, requires_grad=True)
    y = x * 1
    y[0][1:].mul_(5)
    (y * y).sum().backward()
    assert x.grad.tolist() == [[0.0, 50.0], [4.0, 6.0]]


def test_a_write_connects_a_base_without_gradient(device):
    x = ones(2, device=device)
    y = minidl.zeros(4, dtype=minidl.float64, device=device)
    view = y[1:3]
    other = y[2:]
    view.add_(x * 3)
    assert y.requires_grad and other.requires_grad
    (other * 2).sum().backward()
    assert x.grad.tolist() == [0.0, 6.0]


CHANGED = {
    "an input of mul": lambda y: y * y,
    "an input of sin": lambda y: y.sin(),
    "the output of tanh": lambda y: y.tanh(),
    "an input of matmul": lambda y: y @ y,
    "an input of div": lambda y: 1 / (y + y * y),
}


@pytest.mark.parametrize("through", ["itself", "a view", "a detached alias", "its base"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_saved_value_that_was_changed_is_noticed(name, through, device):
    x = ones(2, 2, device=device)
    base = x * 1
    y = base[:] if through == "its base" else base
    out = CHANGED[name](y)
    changed = out if "output" in name else y
    if through == "a view":
        changed = changed[0]
    elif through == "a detached alias":
        changed = changed.detach()
    elif through == "its base" and "output" not in name:
        changed = base
    changed.add_(1)
    with pytest.raises(GraphError, match="changed in place after the forward"):
        out.sum().backward()


def test_a_write_that_does_not_matter_is_no_error(device):
    """add saves nothing, and mul by a number saves only the number."""
    x = ones(2, device=device)
    y = x * 1
    z = (y + 1) * 2
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_only_a_needed_rule_keeps_its_inputs(device):
    """d(x w)/dw reads x only: changing w afterwards is allowed when x needs no gradient."""
    x = ones(2, device=device, requires_grad=False)
    w = ones(2, device=device)
    z = x * w
    with minidl.no_grad():
        w.add_(1)
    z.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_leaves_refuse_writes(device):
    x = ones(2, device=device)
    for write in (
        lambda: x.add_(1),
        lambda: x[0].mul_(2),
        lambda: x.__setitem__(0, 1.0),
        lambda: x.zero_(),
        lambda: x.copy_(x.new_zeros(2)),
    ):
        with pytest.raises(GraphError, match=r"leaf.*no_grad"):
            write()
    assert x.tolist() == [1.0, 1.0]
    with minidl.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 2.0]
    assert x.is_leaf and x.requires_grad


def test_views_made_under_no_grad_refuse_writes(device):
    x = ones(2, device=device)
    y = x * 1
    with minidl.no_grad():
        v = y[:1]
    assert not v.requires_grad
    for write in (lambda: v.mul_(2), lambda: v.mul_(x[:1]), lambda: v.zero_()):
        with pytest.raises(GraphError, match="no_grad"):
            write()
    assert y.tolist() == [1.0, 1.0]


def test_detach_shares_memory_and_cuts_the_graph(device):
    x = ones(2, device=device)
    y = x * 2
    d = y.detach()
    assert not d.requires_grad and d.is_leaf
    d[0] = 7.0
    assert y.tolist() == [7.0, 2.0]
    (y + d).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_overlapping_writes(device):
    x = minidl.tensor([1.0, 2.0, 3.0, 4.0], device=device, requires_grad=True)
    y = x * 1
    y[1:] = y[:-1]
    assert y.tolist() == [1.0, 1.0, 2.0, 3.0]
    weights = minidl.tensor([1.0, 10.0, 100.0, 1000.0], device=device)
    (y * weights).sum().backward()
    assert x.grad.tolist() == [11.0, 100.0, 1000.0, 0.0]


@pytest.mark.parametrize("name", ["gt_", "le_", "eq_", "ne_", "heaviside_"])
def test_an_in_place_operation_without_a_derivative_cuts_the_gradient(device, name):
    x = minidl.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    two = minidl.tensor(2.0, device=device)
    y, z = x * 1, x * 1
    getattr(y, name)(two)
    getattr(z[1:], name)(two)
    (5 * y + 7 * z).sum().backward()
    assert x.grad.tolist() == [7, 0, 0]


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.scatter_reduce_(
            0, minidl.tensor([0, 0, 1], device=y.device), y * 0 + 2, "prod"
        ),
        lambda y: y.renorm_(2, 0, 1.0),
        lambda y: y.logit_(0.1),
    ],
    ids=["scatter_reduce_", "renorm_", "logit_"],
)
def test_in_place_forms_of_operations_made_of_others(device, change):
    def function(x):
        y = (x * 1).reshape(3, 1) if change.__code__.co_names[0] == "renorm_" else x * 1
        change(y)
        return y

    x = minidl.tensor([0.3, 0.5, 0.9], dtype=minidl.float64, device=device, requires_grad=True)
    assert testing.gradcheck(function, x)
