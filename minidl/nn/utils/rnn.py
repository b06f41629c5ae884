"""Sequences of different lengths: padded to one tensor, or packed step by step.

A packed sequence holds the first steps of all sequences, then the second steps of those that have
one, and so on; sequences stand in order of falling length, `batch_sizes` counts them per step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...errors import ShapeError
from ...ops import as_tensor, cat, full, stack, tensor
from ...tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """What `pack_padded_sequence` makes and RNN, LSTM and GRU take and give.

    data: (sum of the lengths, ...), batch_sizes: (longest length,). sorted_indices: the order in
    which the sequences stand in it; unsorted_indices: its inverse.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html
    """

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """`data.to(...)`, the positions on its device."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        order = [None if t is None else t.to(data.device) for t in self[2:]]
        return type(self)(data, self.batch_sizes, *order)

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> PackedSequence:
        return self.to(device)

    def double(self) -> PackedSequence:
        return self.to(self.data.double().dtype)

    def float(self) -> PackedSequence:
        return self.to(self.data.float().dtype)

    def half(self) -> PackedSequence:
        return self.to(self.data.half().dtype)

    def long(self) -> PackedSequence:
        return self.to(self.data.long().dtype)

    def int(self) -> PackedSequence:
        return self.to(self.data.int().dtype)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def pin_memory(self) -> PackedSequence:
        return self

    def is_pinned(self) -> bool:
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one."""
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Packs sequences that are padded to one length. input: (T, N, ...), N first with batch_first.

    enforce_sorted: the lengths fall already; otherwise the sequences are sorted by length.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html
    """
    lengths = as_tensor(lengths, device="cpu").long()
    if batch_first:
        input = input.transpose(0, 1)
    order = None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        order = order.to(input.device)
        input = input.index_select(1, order)
    sizes = lengths.tolist()
    if not sizes or len(sizes) != input.shape[1]:
        raise ShapeError(
            f"pack_padded_sequence: expected one length for each of {input.shape[1]} sequences, "
            f"got {len(sizes)}."
        )
    if min(sizes) <= 0 or sizes[0] > input.shape[0]:
        raise ShapeError(
            "pack_padded_sequence: lengths must be at least 1 and at most the padded "
            f"{input.shape[0]}, got {sizes}."
        )
    if sizes != sorted(sizes, reverse=True):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to sort them."
        )
    counts = [sum(size > t for size in sizes) for t in range(sizes[0])]
    data = cat([input[t, :count] for t, count in enumerate(counts)])
    return PackedSequence(data, tensor(counts), order)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The sequences padded to one length, (T, N, ...), and their lengths (N,).

    total_length: T, if not the longest length.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html
    """
    data, batch_sizes, _, back = sequence
    counts = batch_sizes.tolist()
    length, batch = len(counts), counts[0]
    if total_length is not None and total_length < length:
        raise ValueError(
            f"Expected total_length to be at least the length of the longest sequence in input, "
            f"but got total_length={total_length} and max sequence length being {length}"
        )
    lengths = tensor([sum(count > n for count in counts) for n in range(batch)])
    steps = data.split(counts)
    rows = [
        _filled_up(step, batch, padding_value) if count < batch else step
        for step, count in zip(steps, counts, strict=True)
    ]
    padded = stack(rows)
    if total_length is not None and total_length > length:
        padded = _filled_up(padded, total_length, padding_value)
    if back is not None:
        padded, lengths = padded.index_select(1, back), lengths[back.cpu()]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, ...) padded to the longest and stacked: (T, N, ...), N first if batch_first.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side is 'left' or 'right', got {padding_side!r}")
    sequences = list(sequences)
    length = max(len(sequence) for sequence in sequences)
    left = padding_side == "left"
    padded = [_filled_up(sequence, length, padding_value, left) for sequence in sequences]
    return stack(padded, 0 if batch_first else 1)


def _filled_up(t: Tensor, length: int, value: float, left: bool = False) -> Tensor:
    """`t` with rows of `value` after its own, or before them, until it has `length` rows."""
    missing = length - len(t)
    if missing == 0:
        return t
    rows = full((missing, *t.shape[1:]), value, dtype=t.dtype, device=t.device)
    return cat([rows, t] if left else [t, rows])


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences without their padding.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpad_sequence.html
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [
        sequence[:length]
        for sequence, length in zip(padded_sequences, lengths.tolist(), strict=True)
    ]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (L_i, ...).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_sequence.html
    """
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpack_sequence.html
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
