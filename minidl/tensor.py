"""Tensor's operators and methods.

The class itself (its fields) is in `minidl/tape.py`; an operator is the op's own function, so
`x * y` goes straight to `ops/elementwise.py`. Printing, iteration, copies: `protocols.py`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from . import backward as _walk
from . import cuda, dtypes, legacy, ops
from . import device as devices
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .hooks import RemovableHandle, hooks_of
from .ops import create, elementwise, index
from .ops.shape import axis_of, shape_of
from .promotion import cast
from .protocols import Protocols
from .size import Size
from .tape import Leaf, Node, Tensor, wrap
from .views import Retain, edge_of, in_place, share, write

# ------------------------------------------------------------------ operators and simple methods

_OPERATORS = {
    "add": elementwise._add, "sub": elementwise._sub, "mul": ops.mul, "truediv": elementwise._div,
    "pow": elementwise._pow, "floordiv": ops.floor_divide, "mod": ops.remainder,
    "and": ops.bitwise_and, "or": ops.bitwise_or, "xor": ops.bitwise_xor,
    "lshift": ops.bitwise_left_shift, "rshift": ops.bitwise_right_shift,
}  # fmt: skip
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _reflected(function: Callable) -> Callable:
    def reflected(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return reflected


def _in_place_method(name: str) -> Callable:
    function = getattr(ops, name)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return in_place(f"{name}_", function, self, args, kwargs)

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"`{name}`, written into this tensor's own memory."
    return method


def _comparison(name: str) -> Callable:
    function = getattr(ops, name)

    def compare(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, int, float, np.ndarray, np.generic)):
            return NotImplemented  # so that `x == None` is False, as for any object
        return function(self, other)

    return compare


def _attach() -> None:
    for family in ops.FAMILIES:  # `minidl.exp(x)` is `x.exp()`
        for name in getattr(family, "METHODS", ()):
            setattr(Tensor, name, getattr(family, name))
        for name in getattr(family, "IN_PLACE", ()):
            setattr(Tensor, f"{name}_", _in_place_method(name))
    for name, function in _OPERATORS.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _reflected(function))
        method = function.__name__  # `x += 1` is `x.add_(1)`
        setattr(Tensor, f"__i{name}__", getattr(Tensor, f"{method}_"))
    for name in _COMPARISONS:
        setattr(Tensor, f"__{name}__", _comparison(name))
    Tensor.__hash__ = object.__hash__
    Tensor.__radd__ = elementwise._add
    Tensor.__rmul__ = ops.mul
    Tensor.__rdiv__ = Tensor.__rtruediv__  # its name in Python 2
    Tensor.__neg__ = ops.neg
    Tensor.__pos__ = ops.positive
    Tensor.__invert__ = ops.bitwise_not
    Tensor.__abs__ = ops.abs
    Tensor.__matmul__ = ops.matmul
    Tensor.__rmatmul__ = _reflected(ops.matmul)
    Tensor.__getitem__ = index.getitem
    Tensor.__setitem__ = index.setitem
    for methods in (_Methods, Protocols):
        for name, value in vars(methods).items():
            if name not in ("__module__", "__doc__", "__dict__", "__weakref__"):
                setattr(Tensor, name, value)


class _Methods:
    """Methods that are more than an op; moved onto Tensor below."""

    def __init__(self: Tensor, data: Any = (), *sizes: int):
        """`Tensor(2, 3)` is uninitialised memory, `Tensor([1, 2])` data, in the default float."""
        if isinstance(data, int):
            array = np.empty((data, *sizes), dtypes.default_float())
        else:
            array = ops.tensor(data, dtype=dtypes.get_default_dtype())._array
        self._array, self._node, self._version, self._view = array, None, [0], None
        self._grad = None

    # ---- what it is

    @property
    def shape(self: Tensor) -> Size:
        """Sizes of the dimensions."""
        return Size(self._array.shape)

    def size(self: Tensor, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self._array.shape
        return Size(shape) if dim is None else shape[axis_of(dim, len(shape), "size")]

    @property
    def ndim(self: Tensor) -> int:
        """Number of dimensions."""
        return self._array.ndim

    def dim(self: Tensor) -> int:
        """Number of dimensions."""
        return self._array.ndim

    def numel(self: Tensor) -> int:
        """Number of elements."""
        return self._array.size

    nelement = numel

    @property
    def dtype(self: Tensor) -> dtypes.dtype:
        """Element type."""
        return dtypes._BY_NUMPY[self._array.dtype]

    @property
    def device(self: Tensor) -> devices.device:
        """Where its memory is."""
        return devices.device_of(self._array)

    @property
    def is_cuda(self: Tensor) -> bool:
        """Whether it is on a GPU."""
        return self.device.type == "cuda"

    def is_floating_point(self: Tensor) -> bool:
        """Whether its elements are floats."""
        return self._array.dtype.kind == "f"

    def element_size(self: Tensor) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    def stride(self: Tensor, dim: int | None = None) -> Any:
        """Elements (not bytes) to step over for the next index of each dimension."""
        steps = tuple(s // self._array.itemsize for s in self._array.strides)
        return steps if dim is None else steps[dim]

    def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
        """Whether its elements lie in row-major order without gaps."""
        return self._array.flags.c_contiguous

    def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
        """Itself if contiguous, else a copy that is, in row-major order."""
        return self if self._array.flags.c_contiguous else ops.clone(self)

    def data_ptr(self: Tensor) -> int:
        """Address of the first element."""
        return devices.address(self._array)

    @property
    def T(self: Tensor) -> Tensor:
        """All dimensions in reverse order."""
        return ops.permute(self, tuple(range(self._array.ndim))[::-1])

    @property
    def real(self: Tensor) -> Tensor:
        """Itself: all numbers here are real."""
        return self

    @property
    def mT(self: Tensor) -> Tensor:
        """The last two dimensions swapped."""
        return ops.transpose(self, -2, -1)

    # ---- shapes given as numbers or as a tuple

    def view(self: Tensor, *shape: Any) -> Tensor:
        """The same memory in another shape, or (given a dtype) its bytes as another type."""
        if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
            raise NotImplementedError("view(dtype) is not implemented; use .to(dtype) to convert.")
        return ops.view(self, shape_of(shape))

    def reshape(self: Tensor, *shape: Any) -> Tensor:
        """The same elements in another shape, a view where possible."""
        return ops.reshape(self, shape_of(shape))

    def view_as(self: Tensor, other: Tensor) -> Tensor:
        """`view` in the shape of other."""
        return ops.view(self, other._array.shape)

    def reshape_as(self: Tensor, other: Tensor) -> Tensor:
        """`reshape` in the shape of other."""
        return ops.reshape(self, other._array.shape)

    def permute(self: Tensor, *dims: Any) -> Tensor:
        """Its dimensions in the order `dims`."""
        return ops.permute(self, shape_of(dims))

    def expand(self: Tensor, *shape: Any) -> Tensor:
        """Repeated along dimensions of size 1 and new leading ones; -1 keeps a size."""
        return ops.expand(self, shape_of(shape))

    def expand_as(self: Tensor, other: Tensor) -> Tensor:
        """`expand` to the shape of other."""
        return ops.expand(self, other._array.shape)

    def flip(self: Tensor, *dims: Any) -> Tensor:
        """The order along dims reversed, as a copy."""
        return ops.flip(self, shape_of(dims))

    # ---- values

    def item(self: Tensor) -> Any:
        """The number in a tensor with one element."""
        if self._array.size != 1:
            raise ShapeError(
                f"item: only a tensor with one element is a number, this one has shape "
                f"{self._array.shape}."
            )
        return self._array.item()

    def tolist(self: Tensor) -> Any:
        """Nested lists of Python numbers."""
        return self._array.tolist()

    def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
        """Its memory as a NumPy array: a change of one is a change of both.

        Raises GraphError if it requires a gradient, DeviceError if it is not on the CPU;
        force=True detaches and copies instead.
        """
        home = devices.of(self._array)
        if force:
            return home.to_numpy(self._array)
        if self.requires_grad:
            raise GraphError(
                "numpy(): this tensor requires a gradient, which NumPy would not follow; use "
                "x.detach().numpy()."
            )
        if home.type != "cpu":
            raise DeviceError("numpy(): this tensor is on the GPU; use x.cpu().numpy().")
        share(self)
        return self._array

    # ---- conversions

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """In another type and/or on another device: to(dtype), to(device), to(device, dtype),
        to(other). Itself if nothing changes. `non_blocking` and `memory_format` change nothing.
        """
        dtype, device = kwargs.get("dtype"), kwargs.get("device")
        for a in args:
            if isinstance(a, Tensor):
                dtype, device = a.dtype, a.device
            elif isinstance(a, (str, devices.device)) or a.__class__ is int:
                device = a
            elif a is not None and not isinstance(a, bool):
                dtype = a
        t = self
        if device is not None and not devices.is_on(t._array, devices.device(device)):
            t = elementwise.transferred(t, str(devices.device(device)), str(self.device))
        if dtype is not None and t._array.dtype != dtypes.to_numpy(dtype):
            t = cast(t, dtypes.to_numpy(dtype))
        return ops.clone(self) if t is self and kwargs.get("copy") else t

    def type(self: Tensor, dtype: Any = None, non_blocking: builtins.bool = False) -> Any:
        """Without arguments PyTorch's name of its type, as "torch.FloatTensor"; else in `dtype`."""
        return legacy.name_of(self) if dtype is None else legacy.converted(self, dtype)

    def type_as(self: Tensor, other: Tensor) -> Tensor:
        """In the type of other."""
        return self.to(other.dtype)

    def cpu(self: Tensor) -> Tensor:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self: Tensor, device: Any = None, non_blocking: builtins.bool = False) -> Tensor:
        """On the GPU."""
        return self.to(cuda.place(device))

    def pin_memory(self: Tensor) -> Tensor:
        """Itself: transfers to the GPU do not need pinned memory."""
        return self

    def float(self: Tensor) -> Tensor:
        """In float32."""
        return self.to(dtypes.float32)

    def double(self: Tensor) -> Tensor:
        """In float64."""
        return self.to(dtypes.float64)

    def half(self: Tensor) -> Tensor:
        """In float16."""
        return self.to(dtypes.float16)

    def long(self: Tensor) -> Tensor:
        """In int64."""
        return self.to(dtypes.int64)

    def int(self: Tensor) -> Tensor:
        """In int32."""
        return self.to(dtypes.int32)

    def bool(self: Tensor) -> Tensor:
        """True where not 0."""
        return self.to(dtypes.bool_)

    # ---- gradients

    @property
    def grad(self: Tensor) -> Tensor | None:
        """The gradient that backward calls added up, or None."""
        return self._grad

    @grad.setter
    def grad(self: Tensor, value: Tensor | None) -> None:
        if value is not None:
            _walk.check_grad(self, value)
        self._grad = value

    @property
    def requires_grad(self: Tensor) -> bool:
        """Whether a backward would reach it."""
        return edge_of(self) is not None

    @requires_grad.setter
    def requires_grad(self: Tensor, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
        """Makes it a leaf that requires a gradient, or no longer. Raises for other than leaves."""
        if requires_grad:
            return create.with_gradient(self)
        if edge_of(self).__class__ is Node:
            raise GraphError(
                "requires_grad can only be switched off on leaf tensors; use x.detach() for a "
                "tensor that was computed."
            )
        self._node = None
        return self

    @property
    def is_leaf(self: Tensor) -> bool:
        """Whether it was made by the user rather than computed from what requires a gradient."""
        return edge_of(self).__class__ is not Node

    @property
    def grad_fn(self: Tensor) -> Node | None:
        """The node it came from, None for leaves."""
        edge = edge_of(self)
        return edge if edge.__class__ is Node else None

    @property
    def data(self: Tensor) -> Tensor:
        """Its memory without history; writes to it are not seen by autograd."""
        other = wrap(self._array)
        share(self)
        share(other)
        return other

    @data.setter
    def data(self: Tensor, value: Tensor) -> None:
        if self._node is not None and value._array.dtype.kind != "f":
            raise DTypeError(f"data: a tensor that requires a gradient cannot hold {value.dtype}.")
        self._array = value._array
        self._version = [0]
        share(self)
        share(value)
        if self._node.__class__ is Leaf:
            self._node.shape = value._array.shape

    def detach(self: Tensor) -> Tensor:
        """The same memory without history."""
        other = wrap(self._array)
        other._version = self._version
        share(self)
        return other

    def detach_(self: Tensor) -> Tensor:
        """Forgets its history."""
        if self._view is not None:
            raise GraphError("detach_: a view cannot forget its base in place; use detach().")
        self._node = None
        return self

    def backward(
        self: Tensor,
        gradient: Tensor | None = None,
        retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds d(sum of self * gradient)/d(leaf) to every leaf's `grad`; see autograd.backward."""
        _walk.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Calls `hook(gradient)` when its gradient is complete; what it returns replaces it."""
        edge = edge_of(self)
        if edge is None:
            raise GraphError("register_hook: this tensor does not require a gradient.")
        return hooks_of(edge).add(hook)

    def retain_grad(self: Tensor) -> None:
        """Keeps the gradient of a computed tensor in its `grad`, as leaves do."""
        edge = edge_of(self)
        if edge is None:
            raise GraphError("retain_grad: this tensor does not require a gradient.")
        retained = edge.hooks and builtins.any(
            h.__class__ is Retain and h.tensor() is self for h in edge.hooks.values()
        )
        if edge.__class__ is Node and not retained:
            hooks_of(edge).add(Retain(self))

    # ---- writing

    def copy_(self: Tensor, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
        """Overwrites it with src, which broadcasts and is converted."""
        write(self, ..., src)
        return self

    def fill_(self: Tensor, value: Any) -> Tensor:
        """Overwrites it with one number."""
        write(self, ..., value)
        return self

    def zero_(self: Tensor) -> Tensor:
        """Overwrites it with zeros."""
        return self.fill_(0)

    def normal_(self: Tensor, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Overwrites it with numbers of the normal distribution."""
        noise = ops.randn(
            self._array.shape, generator=generator, dtype=self.dtype, device=self.device
        )
        return self.copy_(noise * std + mean)

    def uniform_(self: Tensor, a: Any = 0.0, b: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Overwrites it with numbers uniform in [a, b)."""
        noise = ops.rand(
            self._array.shape, generator=generator, dtype=self.dtype, device=self.device
        )
        return self.copy_(noise * (b - a) + a)

    def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
        """Overwrites it with 1 with probability p, else 0."""
        noise = ops.rand(self._array.shape, generator=generator, device=self.device)
        return self.copy_(noise < p)


_attach()
