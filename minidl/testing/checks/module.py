"""What must hold for every module, and what one declares about itself."""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import minidl
from minidl import Tensor
from minidl.nn import Module
from minidl.tape import Leaf
from minidl.testing import trees
from minidl.testing.checks.compare import compare, output_names
from minidl.testing.checks.module_case import EXACT, Case, results_of
from minidl.testing.checks.module_properties import causality, padding, permutation_equivariance
from minidl.testing.checks.report import raised
from minidl.testing.checks.search import search
from minidl.testing.code import call_as_code
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.gradcheck import gradcheck


def check_module(
    make: Callable[[], Module],
    inputs: Any,
    *,
    train_differs: bool = False,
    permutation_equivariant: int | None = None,
    causal: int | None = None,
    ignores_padding: Callable | None = None,
    device: str = "cpu",
    max_examples: int | None = None,
    seed: int | None = None,
) -> None:
    """Check a module in float64 in every way that `MODULE_CHECKS` lists.

    make: gives a new module each time; minidl's generator is seeded before.
    inputs: a tensor, a tuple of what `forward` takes, or a hypothesis strategy of them.
    train_differs: whether training and evaluation give different results (dropout, batch norm).
    permutation_equivariant: a dimension; another order of the first input along it gives the
        results in that order.
    causal: a dimension; results at a position of it do not depend on later positions of the first
        input. Of several results those that have its positions, as x does: (N, T, ...) for 1.
    ignores_padding: a function of the inputs that returns booleans, True where the first input is
        padding: results elsewhere (all results, if they have no such positions) do not depend on
        what stands there.
    device: where the module and its inputs live.
    max_examples, seed: as in `check_op`, for a strategy.

    Always checked: every parameter gets a gradient, not always zero; nothing is trained that is no
    parameter; evaluation gives the same twice and changes neither buffers nor inputs; a new module
    with the state dict gives the same results; gradcheck with respect to inputs and parameters.

    Raises CheckError; its `input` is the name of the parameter or input.
    """
    __tracebackhide__ = True
    case = Case(make, train_differs, permutation_equivariant, causal, ignores_padding, device)
    examples = settings().max_examples if max_examples is None else max_examples
    generator = minidl.get_rng_state()
    try:
        for check in MODULE_CHECKS:
            run = functools.partial(_checked, check, case)
            if isinstance(inputs, st.SearchStrategy):
                search(run, inputs, max_examples=max(examples // 4, 1), seed=seed)
            else:
                run(inputs)
    finally:
        minidl.set_rng_state(generator)
    for name in ("permutation_equivariant", "causal", "ignores_padding"):
        if getattr(case, name) is not None and name not in case.shown:
            raise SetupError(
                f"check_module: {name} is declared, but no input can show it: it needs two "
                "positions along the dimension, or some padding"
            )


def _checked(check, case, sample):
    __tracebackhide__ = True
    inputs = sample if isinstance(sample, tuple) else (sample,)
    module = case.module()
    if check in IN_THEIR_OWN_TYPE:
        dtype = next((p.dtype for p in module.parameters()), minidl.get_default_dtype())
        made = ""
    else:
        dtype, made = minidl.float64, ".double()"
    inputs = tuple(_in_type(value, dtype, case.device) for value in inputs)
    try:
        check(case, inputs)
    except SetupError:
        raise
    except Exception as error:
        if not isinstance(error, CheckError):
            error = raised(error)
        error.op = type(module).__name__
        error.code = lambda: _code(case, inputs, made)
        raise error.with_traceback(None) from None


def _in_type(value, dtype, device):
    """Arrays as tensors, floats in one type."""
    if isinstance(value, np.ndarray):
        value = minidl.from_numpy(np.array(value))
    if isinstance(value, Tensor):
        value = value.detach().clone().to(device)
        return value.to(dtype) if value.dtype.is_floating_point else value
    return value


def _code(case, inputs, made):
    make = trees.function_name(case.make)
    names = trees.parameters(type(case.module()).forward)[1:]
    call = call_as_code("module", inputs, names=names)
    return f"module = {make if make.isidentifier() else 'make'}(){made}\n{call}"


# --------------------------------------------------------------------------------------- the checks


def inputs_are_left_alone(case: Case, inputs: tuple) -> None:
    """A call changes no input."""
    before = [to_numpy(t).copy() for t in trees.tensors(inputs)]
    module = case.module()
    results_of(module, inputs)
    names = trees.input_names(module.forward, inputs)
    for name, t, old in zip(names, trees.tensors(inputs), before, strict=True):
        what = f"it changes its input {name} in place"
        compare(to_numpy(t), old, what, name, ("after", "before"), input=name)


def every_parameter_gets_a_gradient(case: Case, inputs: tuple) -> None:
    """Backward from the results of a training step reaches all parameters, and nothing else."""
    module = case.module()
    results = [t for t in trees.tensors([module(*inputs)]) if t.requires_grad]
    named = dict(module.named_parameters())
    wanted = {name: p for name, p in named.items() if p.requires_grad}
    if not results:
        if wanted:
            what = "no result requires a gradient, though it has parameters: they are cut off"
            raise CheckError("", f"{what} by detach, no_grad, item or numpy")
        return
    grads = _gradients(results, wanted)
    missing = [name for name, g in grads.items() if g is None]
    if missing:
        raise CheckError(
            "", f"no gradient reaches the parameter {missing[0]}", missing[0], gap=_list(missing)
        )
    zero = _always_zero(case, inputs, [name for name, g in grads.items() if not g.any()])
    if zero:
        raise CheckError(
            "",
            f"the gradient of the parameter {zero[0]} is always zero: no result changes with it",
            zero[0],
            gap=_list(zero),
        )
    for tensor in _leaves(results):
        if not any(tensor is p for p in named.values()):
            raise CheckError(
                "",
                f"a tensor of shape {tuple(tensor.shape)} is trained that is not one of its "
                "parameters",
                gap="make it an nn.Parameter; keep layers in nn.ModuleList or nn.ModuleDict, not "
                "in a list or dict",
            )


def _gradients(results, named) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(0)
    cotangents = [minidl.tensor(rng.standard_normal(t.shape), dtype=t.dtype) for t in results]
    cotangents = [v.to(t.device) for v, t in zip(cotangents, results, strict=True)]
    grads = minidl.autograd.grad(
        results, list(named.values()), cotangents, allow_unused=True, retain_graph=True
    )
    return {name: None if g is None else to_numpy(g) for name, g in zip(named, grads, strict=True)}


def _always_zero(case, inputs, names) -> list[str]:
    """Those of the parameters whose gradient stays zero with other inputs and parameters, larger
    and larger: a unit may be off here, a branch may start with the factor 0."""
    rng = np.random.default_rng(0)
    for seed in range(TRIES if names else 0):
        module = case.module(seed)
        named = dict(module.named_parameters())
        with minidl.no_grad():
            for p in named.values():
                p.add_(_noise(rng, p, 2.0**seed))
        moved = [
            t + _noise(rng, t, 2.0**seed) if isinstance(t, Tensor) and t.is_floating_point() else t
            for t in inputs
        ]
        results = [t for t in trees.tensors([module(*moved)]) if t.requires_grad]
        grads = _gradients(results, {name: named[name] for name in names})
        names = [name for name, g in grads.items() if g is None or not g.any()]
    return names


def _noise(rng, t, size):
    return minidl.tensor(size * rng.standard_normal(t.shape), dtype=t.dtype, device=t.device)


def _list(names):
    return "" if len(names) == 1 else f"nor {', '.join(names[1:])}"


def _leaves(results: list[Tensor]) -> Iterator[Tensor]:
    """The tensors at which the graph of these results ends."""
    seen, stack = set(), [t._node for t in results]
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Leaf):
            tensor = node.tensor()
            if tensor is not None:
                yield tensor
        else:
            stack += node.edges


def evaluation_is_a_function(case: Case, inputs: tuple) -> None:
    """Evaluation gives the same twice, changes no buffer, and gives the results of training unless
    declared otherwise."""
    module = case.module().double()
    trained = results_of(module, inputs)
    module.eval()
    _all_in(module, training=False)
    state = {name: to_numpy(t).copy() for name, t in module.state_dict().items()}
    first, second = results_of(module, inputs), results_of(module, inputs, seed=3)
    for name, a, b in zip(output_names(first), first, second, strict=True):
        compare(b, a, "evaluation gives different results twice", name, ("second", "first"))
    for name, t in module.state_dict().items():
        what = f"evaluation changes the buffer {name}"
        compare(to_numpy(t), state[name], what, name, ("after", "before"), input=name)
    if not case.train_differs:
        for name, a, b in zip(output_names(first), first, trained, strict=True):
            what = "training and evaluation differ, which is not declared (train_differs=True)"
            compare(b, a, what, name, ("training", "evaluation"), **EXACT)


def _all_in(module, training):
    for name, part in module.named_modules():
        if part.training is not training:
            raise CheckError(
                "",
                f"eval() does not reach {name or 'the module itself'}",
                gap="its `training` is still True: override train(mode), call super().train(mode)",
            )


def state_dict_is_the_whole_state(case: Case, inputs: tuple) -> None:
    """A new module with the state dict of one that was trained gives the same results."""
    module = case.module(seed=0).double()
    module(*inputs)  # moves running statistics
    other = case.module(seed=1).double()
    other.load_state_dict(module.state_dict())
    expected, got = results_of(module.eval(), inputs), results_of(other.eval(), inputs)
    for name, a, b in zip(output_names(expected), expected, got, strict=True):
        compare(
            b,
            a,
            "a new module with its state dict gives other results: some state is not in it",
            name,
            ("new module", "module"),
        )


def derivative(case: Case, inputs: tuple) -> None:
    """gradcheck with respect to the float inputs and all parameters, in training and evaluation."""
    for mode in (True, False) if case.train_differs else (True,):
        module = case.module().double().train(mode)
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}

        def function(inputs, parameters, module=module, named=named):
            minidl.manual_seed(0)  # the same dropout mask every time
            with _replaced(module, list(named.values()), parameters):
                return module(*inputs)

        leaves = [
            t.clone().requires_grad_() if isinstance(t, Tensor) and t.dtype.is_floating_point else t
            for t in inputs
        ]
        given = (leaves, [p.detach().clone().requires_grad_() for p in named.values()])
        if not any(t.requires_grad for t in trees.tensors(given)):
            return
        try:
            gradcheck(function, given)
        except CheckError as error:
            _rename(error, trees.parameters(type(module).forward)[1:], list(named))
            if case.train_differs:
                error.what += f" (in {'training' if mode else 'evaluation'})"
            raise


@contextmanager
def _replaced(module: Module, parameters: list, tensors: list) -> Iterator[None]:
    """The module computes with other tensors in place of its parameters."""
    new = {id(p): t for p, t in zip(parameters, tensors, strict=True)}
    kept = [(part, dict(part._parameters)) for part in module.modules()]
    for part, own in kept:
        part._parameters.update({name: new.get(id(p), p) for name, p in own.items()})
    try:
        yield
    finally:
        for part, own in kept:
            part._parameters.update(own)


def _rename(error: CheckError, inputs: list[str], parameters: list[str]) -> None:
    """Names of the module in place of "parameters[3]" and "inputs[0]"."""
    names = {f"inputs[{i}]": name for i, name in enumerate(inputs)}
    names |= {f"parameters[{i}]": name for i, name in enumerate(parameters)}

    def renamed(text):
        return re.sub(
            r"(inputs|parameters)\[\d+\]", lambda found: names.get(found[0], found[0]), text
        )

    error.what, error.gap = renamed(error.what), renamed(error.gap)
    error.input = renamed(error.input or "") or None
    words = error.unread("words")
    error.words = lambda: renamed(words() if callable(words) else words)
    error.rule = ""


MODULE_CHECKS = [
    inputs_are_left_alone,
    every_parameter_gets_a_gradient,
    evaluation_is_a_function,
    state_dict_is_the_whole_state,
    derivative,
    permutation_equivariance,
    causality,
    padding,
]
TRIES = 7  # of other inputs and parameters, before a gradient is said to be always zero

# Before anything is converted: `double()` does not reach layers that are hidden in a list.
IN_THEIR_OWN_TYPE = (inputs_are_left_alone, every_parameter_gets_a_gradient)
