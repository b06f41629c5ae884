"""RNN, LSTM and GRU over whole sequences, and their cells for single steps."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..errors import ShapeError
from ..ops import empty, gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell, zeros
from ..ops.recurrent import recurrent
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """What RNN, LSTM and GRU share: the weights of all layers and directions, and the forward.

    Layer k has weight_ih_lk (gates * hidden, inputs), weight_hh_lk (gates * hidden, hidden),
    bias_ih_lk, bias_hh_lk, with a projection weight_hr_lk, and the same with `_reverse` for the
    other direction. All start uniform in +-1 / sqrt(hidden_size).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_sizes()

        directions, rows = 1 + bidirectional, GATES[mode] * hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else self._outputs * directions
            for suffix in ("", "_reverse")[:directions]:
                shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, self._outputs)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes |= {"weight_hr": (proj_size, hidden_size)}
                for name, shape in shapes.items():
                    value = Parameter(empty(*shape, device=device, dtype=dtype))
                    setattr(self, f"{name}_l{layer}{suffix}", value)
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
        self.reset_parameters()

    @property
    def _outputs(self) -> int:
        """Features of h: of the projection if there is one."""
        return self.proj_size or self.hidden_size

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: it arranges the weights in memory for cuDNN."""

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        states = self._states(hx)
        for state in states:
            if state.dim() != input.dim():
                raise RuntimeError(
                    f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, hx should also be "
                    f"{input.dim()}-D but got {state.dim()}-D tensor"
                )
        if not batched:
            input = input.unsqueeze(1)
            states = [state.unsqueeze(1) for state in states]
        elif self.batch_first:
            input = input.transpose(0, 1)
        output, states = self._run(input, None, states)
        if not batched:
            output, states = output.squeeze(1), tuple(state.squeeze(1) for state in states)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, self._hidden(states)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple:
        data, batch_sizes, order, back = input
        states = self._states(hx)
        if order is not None:
            states = [state.index_select(1, order) for state in states]
        output, states = self._run(data, batch_sizes.tolist(), states)
        if back is not None:
            states = tuple(state.index_select(1, back) for state in states)
        return PackedSequence(output, batch_sizes, order, back), self._hidden(states)

    def _run(self, input: Tensor, batch_sizes: list[int] | None, states: list[Tensor]) -> tuple:
        self._check_input(input)
        batch = input.size(1) if batch_sizes is None else batch_sizes[0]
        layers = self.num_layers * (1 + self.bidirectional)
        shapes = [(layers, batch, self._outputs), (layers, batch, self.hidden_size)]
        shapes = shapes[: 1 + (self.mode == "LSTM")]
        if not states:
            like = {"dtype": input.dtype, "device": input.device}
            states = [zeros(*shape, **like) for shape in shapes]
        for i, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            if tuple(state.shape) != shape:
                part = f"hidden[{i}]" if len(shapes) == 2 else "hidden"
                raise ShapeError(f"Expected {part} size {shape}, got {list(state.shape)}")
        return recurrent(
            self.mode,
            input,
            batch_sizes,
            tuple(states),
            self.all_weights,
            self.bias,
            self.bidirectional,
            self.dropout,
            self.training,
        )

    def _states(self, hx: Any) -> list[Tensor]:
        if hx is None:
            return []
        return list(hx) if self.mode == "LSTM" else [hx]

    def _hidden(self, states: tuple) -> Any:
        return states if self.mode == "LSTM" else states[0]

    def _check_input(self, input: Tensor) -> None:
        kind = self.weight_ih_l0.dtype
        if input.dtype != kind:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({kind}). "
                f"Convert input: input.to({kind}), or convert model: model.to({input.dtype})"
            )
        if input.size(-1) != self.input_size:
            raise ShapeError(
                f"{self}: input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {input.size(-1)}"
            )

    def _check_sizes(self) -> None:
        if self.mode not in GATES:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}")
        if isinstance(self.dropout, bool) or not 0 <= self.dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, got {self.dropout}"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={self.dropout} and "
                "num_layers=1",
                stacklevel=4,
            )
        for name in ("input_size", "hidden_size", "num_layers"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero, got {value}")
        for name in ("bias", "batch_first"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ValueError(
                f"proj_size has to be smaller than hidden_size, and 0 or positive, got "
                f"proj_size={self.proj_size} and hidden_size={self.hidden_size}"
            )

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False}
        defaults |= {"dropout": 0, "bidirectional": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu (nonlinearity="relu").

    x: (T, N, input_size), N first with batch_first, without N, or a PackedSequence. Returns the
    outputs (T, N, directions * hidden_size) of the last layer and the last states
    (layers * directions, N, hidden_size).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        mode = f"RNN_{nonlinearity.upper()}"
        options = {"device": device, "dtype": dtype}
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(mode, *sizes, **options)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """c_t = s(f) c_(t-1) + s(i) tanh(g), h_t = s(o) tanh(c_t), s the sigmoid, with
    (i, f, g, o) = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh.

    Shapes as RNN's; the state is (h, c). proj_size: h is W_hr s(o) tanh(c_t), of that size.

    Sources: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = {"proj_size": proj_size, "device": device, "dtype": dtype}
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("LSTM", *sizes, **options)


class GRU(RNNBase):
    """h_t = (1 - z) n + z h_(t-1), with x = W_ih x_t + b_ih and y = W_hh h_(t-1) + b_hh in
    r = s(x_r + y_r), z = s(x_z + y_z), n = tanh(x_n + r y_n), s the sigmoid.

    Shapes as RNN's.

    Sources: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = {"device": device, "dtype": dtype}
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("GRU", *sizes, **options)


# ------------------------------------------------------------------------------------------ cells


class RNNCellBase(Module):
    """Weights of one step: weight_ih, weight_hh, bias_ih, bias_hh, uniform +-1 / sqrt(hidden)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        options = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **options))
        self.weight_hh = Parameter(empty(rows, hidden_size, **options))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **options)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _weights(self) -> tuple:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _state(self, input: Tensor, hx: Tensor | None) -> Tensor:
        """The given state, or zeros, with the dimensions of the input."""
        name = type(self).__name__
        for what, t in (("input", input), ("hidden", hx)):
            if t is not None and t.dim() not in (1, 2):
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {t.dim()}D instead")
        if hx is not None:
            return hx
        shape = (*input.shape[:-1], self.hidden_size)
        return zeros(*shape, dtype=input.dtype, device=input.device)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """One step of RNN: h' from input (N, input_size) and hx (N, hidden_size), or without N.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        cells = {"tanh": rnn_tanh_cell, "relu": rnn_relu_cell}
        if self.nonlinearity not in cells:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return cells[self.nonlinearity](input, self._state(input, hx), *self._weights())


class LSTMCell(RNNCellBase):
    """One step of LSTM: (h', c') from input (N, input_size) and hx = (h, c), or without N.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        state = [self._state(input, part) for part in (hx or (None, None))]
        return lstm_cell(input, state, *self._weights())


class GRUCell(RNNCellBase):
    """One step of GRU: h' from input (N, input_size) and hx (N, hidden_size), or without N.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return gru_cell(input, self._state(input, hx), *self._weights())
