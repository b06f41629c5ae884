"""The mutation tool: each damage does what it says, and tests get the grade that they deserve."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minidl import kernels, ops
from minidl.testing import __main__ as command
from minidl.testing.mutation import attempts, own, targets
from minidl.testing.mutation.damage import KINDS, damages
from minidl.testing.mutation.places import functions
from minidl.testing.mutation.recompile import compiled, node_of
from minidl.testing.mutation.report import Report, Result, read_reasons

SURVIVORS = Path(__file__).parent / "survivors.json"


# --------------------------------------------------------------------- each damage, what it makes

EXPRESSIONS = {
    ("times 2", "g * y"): {"2 * (g * y)"},
    ("times 2", "(g, y + 1)"): {"(2 * g, y + 1)", "(g, 2 * (y + 1))"},
    ("times 2", "g if y else [h]"): {"2 * g if y else [h]", "g if y else [2 * h]"},
    ("times 2", "None"): set(),
    ("times 2", "g * 0.0"): set(),
    ("sign", "f(y)"): {"-f(y)"},
    ("sign", "g - y"): {"-(g - y)", "g + y"},
    ("sign", "-g * y"): {"-(-g * y)", "g * y"},
    ("zero", "g"): {"0 * g"},
    ("zero", "x < y"): set(),
    ("dropped term", "a + b"): {"a", "b"},
    ("dropped term", "a - b"): {"a", "-b"},
    ("dropped factor", "a * b"): {"a", "b"},
    ("dropped factor", "a / b ** 2"): {"a", "a / b"},
    ("inverse factor", "a * b"): {"a / b"},
    ("inverse factor", "a / b"): {"a * b"},
    ("swapped operands", "a - b"): {"b - a"},
    ("swapped operands", "a @ b"): {"b @ a"},
    ("swapped operands", "a + b"): set(),
    ("swapped operands", "where(c, a, b)"): {"where(c, b, a)"},
    ("swapped operands", "np.matmul(a, b)"): {"np.matmul(b, a)"},
    ("missing sum", "_sum(g * y, dim, True)"): {"g * y"},
    ("missing sum", "f(g).sum(0)"): {"f(g)"},
    ("missing sum", "np.mean(g, axis=0)"): {"g"},
    ("other reduction", "x.sum(0)"): {"x.mean(0)"},
    ("other reduction", "np.maximum(x, y)"): {"np.minimum(x, y)"},
    ("swapped axis", "x.sum(axis=0)"): {"x.sum(axis=-1)"},
    ("swapped axis", "x.sum(axis=-1)"): {"x.sum(axis=0)"},
    ("swapped axis", "x.sum(axis=(0, 2))"): {"x.sum(axis=(2,))", "x.sum(axis=(0,))"},
    ("swapped axis", "f(g, dim)"): {"f(g, -1 - dim if isinstance(dim, int) else dim)"},
    ("swapped axis", "x.T @ g"): {"x @ g"},
    ("swapped axis", "np.swapaxes(x, 0, 1)"): {"x"},
    ("keepdim", "g.sum(0, keepdims=True)"): {"g.sum(0, keepdims=False)"},
    ("dropped call", "g * exp(y)"): {"g * y"},
    ("dropped call", "xp(y).exp(y)"): {"y"},
    ("dropped call", "g.reshape(shape)"): {"g"},
    ("dropped call", "len(x)"): set(),
    ("dropped call", "np.float32(x)"): set(),
    ("off by one", "x[i, j]"): {"x[i - 1, j]", "x[i, j - 1]"},
    ("off by one", "x[a:b]"): {"x[a - 1:b]", "x[a:b - 1]"},
    ("off by one", "f(2, -1)"): {"f(3, -1)", "f(2, 0)"},
    ("off by one", "[f(i) for i in range(n)]"): {"[f(i) for i in range(n - 1)]"},
    ("off by one", "[f(i) for i in range(k, n)]"): {"[f(i) for i in range(k, n - 1)]"},
    ("comparison", "g * (x > y)"): {"g * (x < y)"},
    ("comparison", "x == y"): {"x != y"},
    ("comparison", "x and y"): {"x or y"},
    ("comparison", "not x"): {"x"},
    ("comparison", "m.logical_and(x, y)"): {"m.logical_or(x, y)"},
    ("comparison", "g if x else h"): {"g", "h"},
    ("edge", "g * (x > y)"): {"g * (x >= y)"},
    ("edge", "x <= y"): {"x < y"},
}


def of_kind(kind, code):
    """What the damages of this kind make of a function's statements."""
    ((name, node),) = functions(ast.parse(code))
    return {damage.after for damage in damages(node, name) if damage.kind == kind}


@pytest.mark.parametrize(("kind", "expression"), EXPRESSIONS)
def test_damage_of_an_expression(kind, expression):
    made = of_kind(kind, f"lambda: {expression}")
    assert made == {f"lambda: {result}" for result in EXPRESSIONS[kind, expression]}


def test_every_kind_of_damage_is_tested():
    assert {kind for kind, _ in EXPRESSIONS} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "statement", "expected"),
    [
        ("sign", "x += g", {"x -= g"}),
        ("dropped term", "x -= g", {"pass", "x = g"}),
        ("dropped factor", "x /= g", {"pass"}),
        ("inverse factor", "x *= g", {"x /= g"}),
        ("off by one", "out[i] = g", {"out[i - 1] = g"}),
        ("off by one", "for i in range(n): f(i)", {"for i in range(n - 1):"}),
        ("edge", "if x < y: return", {"if x <= y:"}),
        ("times 2", "return g", {"return 2 * g"}),
        ("off by one", "raise ValueError(3)", set()),
        ("off by one", "x: Array[1] = f()", set()),
        ("keepdim", "return list(zip(x, y, strict=True))", set()),
    ],
)
def test_damage_of_a_statement(kind, statement, expected):
    assert of_kind(kind, f"def f():\n    {statement}") == expected


def test_neither_docstring_nor_defaults_nor_decorators_are_damaged():
    code = '@register(1)\ndef f(x, dim=-1, keep=True):\n    "y = x + 1"\n    return x'
    ((name, node),) = functions(ast.parse(code))
    assert {d.after for d in damages(node, name)} == {"return 2 * x", "return -x", "return 0 * x"}


def test_functions_are_found_in_classes_and_calls_and_inside_each_other():
    code = """
class Cube(Function):
    def backward(ctx, g):
        def scaled(x):
            return x + x
        return scaled(g)

cube.vjp(x=lambda g: g)
"""
    found = functions(ast.parse(code))
    assert [name for name, _ in found] == ["Cube.backward", "lambda"]
    assert "return x - x" in {d.after for d in damages(found[0][1], "backward")}


def test_no_damage_comes_twice_and_the_tree_stays_whole():
    tree = ast.parse(Path(ops.softmax.__code__.co_filename).read_text())
    before = ast.dump(tree)
    for name, node in functions(tree):
        found = damages(node, name)
        assert len({(d.line, d.before, d.after) for d in found}) == len(found) or "lambda" in name
        for damage in found:
            assert damage.before != damage.after
            with damage.place.holding(damage.node):
                compile(tree, "damaged", "exec")
    assert ast.dump(tree) == before


# fmt: off
first, second = lambda g, x: g * x, lambda g, x: g + x
# fmt: on


def test_code_is_found_in_its_file_and_exchanged():
    """Two lambdas with the same parameters on one line, too."""
    for function, expected in ((first, {"lambda g, x: g / x"}), (second, set())):
        node = node_of(function.__code__)
        found = [d for d in damages(node, "") if d.kind == "inverse factor"]
        assert {d.after for d in found} == expected
    (damage,) = [d for d in damages(node_of(first.__code__), "") if d.kind == "inverse factor"]

    def exchanged(g, x):
        return g

    exchanged.__defaults__ = (4.0,)
    with damage.place.holding(damage.node):
        exchanged.__code__ = compiled(node_of(first.__code__), first.__code__)
    assert exchanged(2.0) == 0.5  # the default value stayed
    assert first(2.0, 4.0) == 8.0


# --------------------------------------------------------------------------------------- attempts


def test_what_catches_a_damage():
    def forever():
        while True:
            time.sleep(0.01)

    def endless():
        attempts.time_left(0.2)
        while True:
            pass

    def hungry():
        return "x" * (1 << 40)

    assert attempts.caught_by(lambda: "", 60) == ""
    assert attempts.caught_by(lambda: "values", 60) == "values"
    assert attempts.caught_by(lambda: [][0], 60) == "IndexError"
    assert attempts.caught_by(lambda: sys.exit(0), 60) == "SystemExit"
    assert attempts.caught_by(lambda: os.kill(os.getpid(), signal.SIGKILL), 60) == "crash"
    assert attempts.caught_by(lambda: os._exit(0), 60) == "crash"
    assert attempts.caught_by(hungry, 60) == "MemoryError"
    assert attempts.caught_by(endless, 60) == "time"
    start = time.monotonic()
    assert attempts.caught_by(forever, 0.2) == "time"
    assert time.monotonic() - start < 10


def test_work_is_done_in_parallel_and_shown(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    results = attempts.with_progress(attempts.in_parallel(str, list(range(20))), 20, lambda _: 1)
    assert sorted(results, key=int) == [str(i) for i in range(20)]
    assert capsys.readouterr().out.splitlines()[-1] == "20 of 20 damages tried"


# ----------------------------------------------------------------------------------------- report


def result(caught, line=1, after="2 * g"):
    return Result("f", "times 2", "f.py", line, "g", after, caught)


def test_report_and_reasons(tmp_path):
    results = [result("values"), result("", 2), result("", 3, "-g"), result("time", 4)]
    path = tmp_path / "survivors.json"
    row = {"owner": "f", "before": "g", "after": "-g", "why": "g is always 0"}
    path.write_text(json.dumps([row]))
    report = Report(results, read_reasons(path))
    assert report.score == 50.0
    assert [r.line for r in report.survivors] == [2, 3]
    assert [r.line for r in report.unexplained] == [2]
    text = report.text()
    assert "f.py:3  f, times 2\n    g\n    -g\n    why: g is always 0" in text
    assert text.splitlines()[-2:] == ["2 of 4 damages caught: 50.0 %", "1 survivor has no reason"]
    report.save(tmp_path / "out.json")
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["score"] == 50.0 and saved["caught_by"] == {"values": 1, "time": 1}
    assert saved["owner"] == {"f": {"caught": 2, "damages": 4}}
    assert [s["why"] for s in saved["survivors"]] == ["", "g is always 0"]


# ----------------------------------------------------------------------- a file and tests of yours

SOFTMAX = '''
import numpy as np


def softmax(x):
    """over the last dimension"""
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))
'''
WEAK = """
import numpy as np
from my_ops import softmax, softmax_vjp


def test_rows_sum_to_one():
    assert np.allclose(softmax(np.ones((2, 3))).sum(-1), 1)


def test_gradient_of_ones():
    assert np.allclose(softmax_vjp(np.ones(3), softmax(np.arange(3.0))), 0)
"""
STRONG = """
import numpy as np
from hypothesis import given, settings, strategies as st
from minidl.testing import assert_vjp
from my_ops import softmax, softmax_vjp

shapes = st.sampled_from([(3,), (4,), (2, 3), (3, 2), (2, 2, 3)])


@settings(max_examples=10)
@given(shapes, st.integers(0, 9))
def test_values_and_gradient(shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    by_definition = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    np.testing.assert_allclose(softmax(x), by_definition, rtol=1e-9)
    assert_vjp(softmax, softmax_vjp, x)

"""


def mutate(folder, *arguments):
    """The command in a process of its own, with a file of yours and its tests in `folder`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "minidl.testing", "mutate", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def homework(tmp_path):
    (tmp_path / "my_ops.py").write_text(SOFTMAX)
    (tmp_path / "test_weak.py").write_text(WEAK)
    (tmp_path / "test_strong.py").write_text(STRONG)
    return tmp_path


def test_weak_tests_get_the_low_score_they_deserve(homework):
    done = mutate(
        homework, "my_ops.py", "--tests", "test_weak.py", "--at-least", "90", "--json", "out.json"
    )
    assert done.returncode == 1, done.stderr
    out = json.loads((homework / "out.json").read_text())
    survivors = {s["after"] for s in out["survivors"]}
    # A gradient of ones goes through softmax as 0: these tests cannot see a factor ...
    assert "return 2 * (y * (g - (g * y).sum(-1, keepdims=True)))" in survivors
    assert "return -(y * (g - (g * y).sum(-1, keepdims=True)))" in survivors
    assert "return g - (g * y).sum(-1, keepdims=True)" in survivors
    # ... but they see a missing sum.
    assert "return y * (g - g * y)" not in survivors
    assert 55 < out["score"] < 80
    assert f"caught: {out['score']:.1f} %" in done.stdout
    assert "my_ops.py:12  softmax_vjp, times 2" in done.stdout


def test_strong_tests_catch_everything(homework):
    done = mutate(homework, "my_ops.py", "--tests", "test_strong.py", "--at-least", "100")
    assert (done.returncode, done.stderr) == (0, done.stderr), done.stdout
    assert "caught: 100.0 %" in done.stdout


OWN_OPS = """
import minidl
from minidl.autograd import Function
from minidl.makers import op
from minidl.testing import gradcheck, gradgradcheck


@op
def times(input: "Array", other: "Array") -> "Array":
    return input * other


times.vjp(input=lambda g, other: g * other, other=lambda g, input: g * input)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g
"""
OWN_TESTS = """
import minidl
from my_ops import Cube, times
from minidl.testing import gradcheck

x = minidl.tensor([[0.5, -1.5], [2.0, 3.0]], dtype=minidl.float64, requires_grad=True)
y = minidl.tensor([0.7, -0.3], dtype=minidl.float64, requires_grad=True)


def test_times():
    assert times(x, y).tolist() == (x * y).tolist()
    gradcheck(times, (x, y))


def test_cube():
    assert Cube.apply(x).tolist() == (x * x * x).tolist()
    gradcheck(Cube.apply, x)
"""


def test_ops_with_rules_and_functions_with_backward(tmp_path):
    (tmp_path / "my_ops.py").write_text(OWN_OPS)
    (tmp_path / "test_ops.py").write_text(OWN_TESTS)
    done = mutate(tmp_path, "my_ops.py", "--tests", "test_ops.py", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    assert set(out["owner"]) == {"times", "lambda", "Cube.forward", "Cube.backward"}
    assert out["survivors"] == []


def test_what_cannot_be_graded(homework, monkeypatch, capsys):
    monkeypatch.chdir(homework)
    (homework / "test_red.py").write_text(WEAK.replace("1)", "2)", 1))
    (homework / "test_other.py").write_text("def test_nothing():\n    pass\n")
    (homework / "test_none.py").write_text("import my_ops\n")
    (homework / "test_broken.py").write_text("import my_ops\ndef test(:\n")
    for test, said in (
        ("test_red.py", "test_rows_sum_to_one fails, but my_ops.py is not damaged yet"),
        ("test_other.py", "never import"),
        ("test_none.py", "finding a test fails"),
        ("test_broken.py", "reading test_broken.py fails"),
        ("test_missing.py", "there is no file test_missing.py"),
        ("test_missing.py::test_it", "there is no file test_missing.py"),
    ):
        assert command.main(["mutate", "my_ops.py", "--tests", test]) == 2
        assert said in capsys.readouterr().err


def test_files_that_will_not_do(homework, monkeypatch, capsys):
    monkeypatch.chdir(homework)
    (homework / "folder").mkdir()
    (homework / "broken.py").write_text("x = 1\n\ndef f(:\n")
    (homework / "binary.py").write_bytes(b"\xff\xfe\x00")
    (homework / "empty.py").write_text("import math\n\n\ndef f():\n    pass\n")
    (homework / "rows.json").write_text('[{"owner": "f"}]')
    (homework / "text.json").write_text("none")
    for arguments, said in (
        (["no_such.py"], "there is no file no_such.py"),
        (["folder"], "folder is a folder: give a file"),
        (["broken.py"], "broken.py:3 is not Python: "),
        (["binary.py"], "binary.py is not Python: "),
        (["empty.py"], "empty.py has nothing to damage"),
        (["my_ops.py", "--json", "folder"], "folder is a folder: give a file"),
        (["my_ops.py", "--json", "no/out.json"], "there is no folder no for out.json"),
        (["my_ops.py", "--survivors", "no.json"], "there is no file no.json"),
        (["my_ops.py", "--survivors", "folder"], "folder is a folder: give a file"),
        (["my_ops.py", "--survivors", "rows.json"], "rows.json: expected a JSON list of {owner"),
        (["my_ops.py", "--survivors", "text.json"], "text.json: expected a JSON list of {owner"),
    ):
        assert command.main(["mutate", *arguments, "--tests", "test_weak.py"]) == 2
        shown = capsys.readouterr()
        assert said in shown.err
        assert shown.out == ""


def test_no_share_of_nothing():
    with pytest.raises(ValueError, match="nothing was tried"):
        Report([])
    with pytest.raises(RuntimeError, match="nothing to damage"):
        own.run([])


def test_wrong_use(capsys):
    for arguments, said in (
        (["mutate", "my_ops.py"], "FILE needs --tests"),
        (["mutate", "my_ops.py", "--tests", "t.py", "-k", "mul"], "-k is for minidl's own"),
        ([], "VERB"),
    ):
        with pytest.raises(SystemExit) as stop:
            command.main(arguments)
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
    assert command.main(["mutate", "-k", "no_such_op"]) == 2
    assert "no op no_such_op" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ minidl itself


def owners(found):
    return {target.owner for target in found}


def test_all_rules_and_kernels_are_damaged():
    rules = targets.rules()
    codes = {target.code for target in rules}
    for function in ops.all_ops().values():
        for rule in (*function.op.rules, function.op.rule_of_all):
            own_rule = rule is not None and rule.function.__module__.startswith("minidl.")
            assert not own_rule or rule.function.__code__ in codes
    assert {"_share", "_pow_base" not in owners(rules) and "pow", "unindex"} <= owners(rules)
    names = {name for target in targets.kernel_code() for name in target.ops}
    assert names == {*kernels.CPU, *kernels.FUNCTIONS}
    assert set(own.FUNCTION_CHECKS) <= set(kernels.FUNCTIONS)


def test_tests_that_do_not_run_the_code_are_left_out(tmp_path):
    """Of four tests two run the rule of tanh, and one of these notices that it is wrong."""
    test = tmp_path / "test_rules.py"
    test.write_text(RULES)
    (tanh,) = [target for target in targets.rules() if target.owner == "tanh"]
    running = own._running([str(test)], [tanh])
    names = sorted(running[tanh.code])
    assert [name.partition("::")[2] for name in names] == ["test_at_0", "test_at_2"]
    found = damages(node_of(tanh.code), "tanh")
    mutant = next((tanh, d) for d in found if d.after.endswith("(1.0 + out * out)"))
    for given, caught in ((names, "test_at_2"), (names[:1], ""), ([], "")):
        assert own._by_tests([str(test)], {tanh.code: given}, [(7, mutant)]) == [(7, caught)]


RULES = """
import minidl


def slope(function, x):
    x = minidl.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.item()


def test_at_0():
    assert slope(minidl.tanh, 0.0) == 1


def test_value():
    assert minidl.tanh(minidl.tensor(0.0)).item() == 0


def test_at_2():
    assert slope(minidl.tanh, 2.0) < 1


def test_of_exp():
    assert slope(minidl.exp, 0.0) == 1
"""

SAMPLE = ["mul", "atan", "maximum", "philox"]
TESTS = Path(__file__).parents[1]


def test_checks_catch_the_damages_of_some_ops():
    """The whole: pytest -m mutation."""
    results = own.run(targets.targets(SAMPLE), [str(TESTS / "ops" / "test_ties.py")])
    report = Report(results, read_reasons(SURVIVORS))
    kernel = {"philox kernel", "philox kernels"}  # what dropout's kernel uses, too
    assert set(report.by("owner")) == {"mul", "atan", "maximum", "_share", *kernel}
    assert len(report.results) > 100
    assert [r for r in report.unexplained if r.owner not in kernel] == []
    for owner in kernel:
        caught, n = report.by("owner")[owner]
        assert caught > 0.85 * n


def test_without_the_right_check_damages_survive(monkeypatch):
    values = [check for check in own.OP_CHECKS if check.__name__ == "values"]
    monkeypatch.setattr(own, "OP_CHECKS", values)
    assert Report(own.run(targets.targets(["tan"]))).score == 0  # it has no kernel


def test_checks_that_fail_without_damage_grade_nothing(monkeypatch):
    def broken(record, sample):
        raise AssertionError("always")

    broken.cost = 1
    monkeypatch.setattr(own, "OP_CHECKS", [broken])
    with pytest.raises(RuntimeError, match="broken fails on code that is not damaged: always"):
        own.run(targets.targets(["tan"]))


SLOW = {"test_runtime"}  # it starts processes, which run kernels as they are
# What random samples do not meet: ties, zeros, nan, shared memory.
EDGES = [
    "ops/test_hard_cases.py",
    "ops/test_special_points.py",
    "ops/test_errors.py",
    "ops/test_ties.py",
    "ops/test_numbers.py",
    "ops/test_sharing.py",
    "test_views.py",
    "test_in_place.py",
    "test_device.py",
    *(f"kernels/{f.name}" for f in sorted(TESTS.glob("kernels/test_*.py")) if f.stem not in SLOW),
]


@pytest.mark.mutation
def test_minidl_catches_98_percent_and_each_survivor_is_explained():
    reasons = read_reasons(SURVIVORS)
    report = Report(own.run(targets.targets(), [str(TESTS / e) for e in EDGES]), reasons)
    print(report.text())
    assert report.score >= 98
    assert report.unexplained == []
    assert set(reasons) <= {r.key for r in report.survivors}, "a reason that is not needed"
