"""The profiler: what it counts, and that it leaves nothing behind."""

import json
import threading
import warnings
from time import sleep

import numpy as np
import pytest

import minidl
from minidl import anomaly, fused, kernels, makers, nn, tape
from minidl.profiler import profile, record_function
from minidl.tape import Op


def rows(p):
    return {row.key: row for row in p.key_averages()}


def slow(monkeypatch, name, seconds=0.02):
    """Makes the forward of an op of one or two tensors slow."""
    function = tape.named(name)
    forward = function.op.forward
    cell = function.__closure__[function.__code__.co_freevars.index("forward")]

    def sleeping(*arrays):
        sleep(seconds)
        return forward(*arrays)

    monkeypatch.setattr(cell, "cell_contents", sleeping)
    monkeypatch.setattr(function.op, "forward", sleeping)


def ready():
    """What a profile exchanges, as it is now."""
    cells = [
        cell.cell_contents
        for f in tape.all_ops().values()
        for cell in f.__closure__
        if callable(cell.cell_contents)
    ]
    forwards = [f.op.forward for f in tape.all_ops().values()]
    pulls = [kind.__dict__.get("pull") for kind in (Op, *Op.__subclasses__())]
    return cells, forwards, pulls, makers.run_fused, tape.record, minidl.backward.walk


def test_calls_and_bytes_of_each_op():
    x = minidl.ones(4, 8, requires_grad=True)
    with profile() as p:
        y = (x * x).tanh() * 2
        (y.sum() + y.mean()).backward()
    found = rows(p)
    assert {name: found[name].count for name in ("mul", "tanh", "sum")} == {
        "mul": 2,
        "tanh": 1,
        "sum": 2,  # one inside of mean
    }
    assert (found["tanh"].bytes, found["mul"].bytes) == (128, 256)
    assert found["tanh"].ran == "numpy" and found["mean"].ran == "definition"
    assert found["tanh"].forward > 0 and found["tanh"].backward > 0
    assert found["backward"].count == 1 and found["backward"].self_backward > 0


def test_views_have_no_bytes():
    x = minidl.ones(4, 8)
    with profile() as p:
        x.transpose(0, 1)
        x.transpose(0, 1).reshape(-1)
    assert rows(p)["transpose"].bytes == 0
    assert rows(p)["reshape"].bytes == 128


def test_a_definition_counts_what_it_calls():
    x = minidl.randn(16, 16, requires_grad=True)
    with kernels.disabled(), profile() as p:
        nn.functional.softplus(x).sum().backward()
    softplus = rows(p)["softplus"]
    inside = [e for e in p.events() if any(o.name == "softplus" for o in e.around())]
    assert softplus.ran == "definition" and softplus.count == 1
    assert {e.kind for e in inside} == {"forward", "backward"}
    forward = sum(e.own for e in inside if e.kind == "forward" and not e.rule) / 1e3
    backward = sum(e.own for e in inside if e.kind == "backward") / 1e3
    assert softplus.forward == pytest.approx(softplus.self_forward + forward)
    assert softplus.backward == pytest.approx(backward) and softplus.self_backward == 0


def test_times_are_those_that_passed(monkeypatch):
    slow(monkeypatch, "tanh")
    x = minidl.ones(3, requires_grad=True)
    with profile() as p:
        x.tanh().sum().backward()
        with record_function("outer"), record_function("inner"):
            x.tanh()
    found = rows(p)
    assert 40_000 < found["tanh"].forward < 400_000
    assert found["tanh"].backward < 20_000
    assert found["outer"].forward > found["inner"].forward > 20_000
    assert found["inner"].self_forward < 10_000
    whole = p.key_averages().microseconds
    assert 0.5 * whole < sum(row.self_cpu_time_total for row in found.values()) <= whole


def test_rules_belong_to_the_backward_of_their_op(monkeypatch):
    slow(monkeypatch, "cos")  # the rule of sin calls it
    x = minidl.ones(3, requires_grad=True)
    with profile() as p:
        x.sin().sum().backward()
    found = rows(p)
    assert found["sin"].self_backward > 20_000 and found["sin"].forward < 10_000
    assert "cos" not in found
    assert [e.rule for e in p.events() if e.name == "cos"] == [True]


def test_sums_of_gradients_belong_to_the_walk(monkeypatch):
    slow(monkeypatch, "add")
    x = minidl.ones(3, requires_grad=True)
    y, z = x.sin(), x.cos()
    with profile() as p:
        minidl.autograd.backward([y, z], [minidl.ones(3), minidl.ones(3)])
    found = rows(p)
    assert "add" not in found
    assert found["backward"].self_backward > 20_000
    assert found["sin"].backward < 10_000


def test_a_kernel_is_named():
    x = minidl.randn(64, 64, requires_grad=True)
    with profile() as p:
        minidl.softmax(x, 1).sum().backward()
    assert rows(p)["softmax"].ran == "kernel"
    x = x[:16, :16].clone()  # too small for a warning
    with kernels.disabled(), profile() as p:
        minidl.softmax(x, 1)
    assert rows(p)["softmax"].ran == "definition"
    with kernels.forced(reference=True), profile() as p:
        minidl.softmax(x, 1)
    assert rows(p)["softmax"].ran == "definition"


@pytest.mark.parametrize(
    "dtype, off, reason",
    [
        (minidl.float64, False, "it takes float32, the input is float64"),
        (minidl.float32, True, "kernels are off"),
    ],
)
def test_a_hot_op_without_its_kernel_is_warned_of(dtype, off, reason):
    x = minidl.ones(640, 1024, dtype=dtype)
    with pytest.warns(UserWarning, match=r"softmax \(\d+ % of the time, 2 of 2 calls: ") as caught:
        if off:
            with kernels.disabled(), profile():
                x.softmax(1), x.softmax(1)
        else:
            with profile():
                x.softmax(1), x.softmax(1)
    assert caught[0].filename == __file__
    assert reason in str(caught[0].message)


def test_small_cold_and_kernel_calls_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with profile():
            minidl.ones(64, 512).softmax(1)
        with profile():
            minidl.ones(4, 4, dtype=minidl.float64).softmax(1)
        with profile():
            minidl.ones(64, 64, dtype=minidl.float64).softmax(1)
            sleep(0.3)


def test_one_backward_is_one_event():
    x = minidl.randn(8, 8, requires_grad=True)
    y = minidl.softmax(x, 1)  # a kernel, whose rule runs under create_graph
    with profile() as p:
        minidl.autograd.grad(y.square().sum(), x, create_graph=True)
    assert [e.name for e in p.events() if e.kind == "backward"] == ["sum", "square", "softmax"]


def test_a_name_inside_of_itself_counts_once():
    with profile() as p, record_function("again"), record_function("again"):
        sleep(0.02)
    again = rows(p)["again"]
    assert again.count == 2 and 20_000 < again.forward < 1.5 * again.self_forward


def test_optimizer_steps_are_ranges():
    p = nn.Parameter(minidl.ones(3))
    optimizer = minidl.optim.Adam([p])
    p.sum().backward()
    with profile() as profiled:
        optimizer.step()
        optimizer.step()
    optimizer.step()
    assert rows(profiled)["Optimizer.step#Adam.step"].count == 2


def test_a_step_that_fails_leaves_nothing_open():
    optimizer = minidl.optim.SGD([nn.Parameter(minidl.ones(3))])
    with profile() as p:
        with pytest.raises(ZeroDivisionError), record_function("outer"):
            optimizer.step(lambda: 1 / 0)
        minidl.ones(3).tanh()
    assert [(e.name, e.outer) for e in p.events()] == [("outer", None), ("tanh", None)]


def test_functions_of_users_have_a_backward():
    class Cube(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    with profile() as p:
        Cube.apply(minidl.ones(3, requires_grad=True)).sum().backward()
    assert rows(p)["Cube"].backward > 0


def test_everything_comes_back():
    with profile():  # kernels are loaded, fused ops made
        minidl.softmax(minidl.randn(64, 64), 1)
    fused._fused_ops.clear()
    before = ready()
    with profile() as p:
        assert ready()[1:] != before[1:]
        minidl.softmax(minidl.randn(64, 64), 1)
    assert ready() == before
    assert all(op.forward in before[1] for op in fused._fused_ops.values())
    count = len(p.events())
    minidl.ones(3).tanh()
    assert len(p.events()) == count
    with pytest.raises(KeyError), profile():
        raise KeyError
    assert ready() == before


def test_an_error_inside_leaves_the_events_in_order():
    with profile() as p:
        with pytest.raises(minidl.ShapeError), record_function("outer"):
            minidl.ones(3) + minidl.ones(4)
        minidl.ones(3).tanh()
    add, outer, tanh = p.events()
    assert (add.name, add.outer) == ("add", outer)
    assert (tanh.name, tanh.outer) == ("tanh", None)


def test_anomaly_mode_still_names_the_line():
    tape.set_recorder(tape.make_node)
    x = minidl.tensor([-1.0], requires_grad=True)
    with profile(), minidl.autograd.detect_anomaly():
        loss = x.log().sum()
        with pytest.raises(minidl.GraphError, match=r"log .*test_profiler.py:\d+"):
            loss.backward()
    assert tape.record is anomaly.record_with_line  # which detect_anomaly leaves there


def test_values_are_the_same():
    def step():
        minidl.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(144, 3))
        loss = nn.functional.cross_entropy(model(minidl.randn(8, 1, 8, 8)), minidl.arange(8) % 3)
        loss.backward()
        return [loss.item(), *[p.grad.numpy() for p in model.parameters()]]

    plain = step()
    with profile():
        profiled = step()
    for a, b in zip(plain, profiled, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_profile_at_a_time():
    with profile(), pytest.raises(RuntimeError, match="another profile is running"):
        profile().__enter__()
    with profile():
        pass


def test_other_threads_are_seen():
    def work():
        minidl.ones(3).tanh()

    with profile() as p, record_function("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    tanh, main = p.events()
    assert tanh.thread != main.thread and tanh.outer is None


def test_the_table():
    x = minidl.ones(16, 16, requires_grad=True)
    with profile() as p:
        (x.exp() * x).sum().backward()
    lines = p.table(sort_by="count").splitlines()
    assert lines[0].split()[:4] == ["op", "ran", "as", "calls"]
    (exp,) = [line.split() for line in lines if line.startswith("exp ")]
    assert exp[1:3] == ["numpy", "1"] and exp[-2:] == ["1", "KB"]
    assert "in all" in lines[-1]
    assert len(p.key_averages().table(row_limit=2).splitlines()) == 5
    first = p.table(sort_by="key").splitlines()[2].split()[0]
    assert first == min(rows(p))
    with pytest.raises(ValueError, match=r"sort_by is one of key, .*; got 'time'"):
        p.table(sort_by="time")


def test_a_chrome_trace(tmp_path):
    x = minidl.ones(3, requires_grad=True)
    with profile() as p, record_function("step"):
        x.tanh().sum().backward()
    p.export_chrome_trace(tmp_path / "trace.json")
    spans = {s["name"]: s for s in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"tanh", "tanh backward", "sum", "backward", "step"} <= set(spans)
    assert all(s["ph"] == "X" and s["ts"] >= 0 for s in spans.values())
    assert spans["tanh"]["args"] == {"ran as": "numpy", "bytes": 12}
    step, inside = spans["step"], spans["tanh backward"]
    assert step["ts"] <= inside["ts"] <= inside["ts"] + inside["dur"] <= step["ts"] + step["dur"]


def test_record_function_decorates_and_costs_nothing_alone():
    @record_function("block")
    def block(x):
        """Doubles."""
        return x * 2

    assert block(minidl.ones(2)).tolist() == [2, 2] and block.__doc__ == "Doubles."
    with profile() as p:
        block(block(minidl.ones(2)))
    assert rows(p)["block"].count == 2
