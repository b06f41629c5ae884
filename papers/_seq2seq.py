"""The LSTM encoder-decoder.

[S] Sutskever, Vinyals, Le. Sequence to sequence learning with neural networks. arXiv:1409.3215,
2014. Its trick, to reverse the source, is a claim of `papers/bahdanau.py`.
"""

from collections.abc import Sequence
from typing import Any

import minidl.nn.functional as F
from minidl import Tensor, nn
from minidl.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ._cmudict import PAD, START


def packed(embedded: Tensor, x: Tensor) -> PackedSequence:
    """Embedded sequences (B, S, m) without the places that PAD fills in x (B, S), so that the last
    state of a recurrent layer is that of the last symbol."""
    lengths = (x != PAD).sum(1)
    return pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)


def before(y: Tensor) -> Tensor:
    """What a decoder has said when it says y_i: START, then y_(i-1). (B, T)"""
    return F.pad(y[:, :-1], (1, 0), value=START)


class Seq2Seq(nn.Module):
    """[S] 2: an LSTM reads the source, another one starts from its last state. A layer each.

    sources, targets: symbols; m: length of an embedding; n: cells.
    """

    def __init__(self, sources: int, targets: int, m: int, n: int) -> None:
        super().__init__()
        self.E_x, self.E_y = nn.Embedding(sources, m), nn.Embedding(targets, m)
        self.encoder = nn.LSTM(m, n, batch_first=True)
        self.decoder = nn.LSTM(m, n, batch_first=True)
        self.W_o = nn.Linear(n, targets)
        for p in self.parameters():
            nn.init.uniform_(p, -0.08, 0.08)  # [S] 3.4

    def encode(self, x: Tensor) -> tuple:
        _, state = self.encoder(packed(self.E_x(x), x))
        return (), [part[0] for part in state]  # h, c: (B, n)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor]:
        """Scores (B, T, targets) of each symbol of y (B, T) after those before it."""
        _, state = self.encode(x)
        outputs, _ = self.decoder(self.E_y(before(y)), tuple(part.unsqueeze(0) for part in state))
        return (self.W_o(outputs),)

    def step(self, last: Tensor, state: Sequence[Tensor], memory: Any) -> tuple:
        """Scores (B, targets) of what follows `last` (B,), and the next state."""
        state = tuple(part.unsqueeze(0) for part in state)
        output, state = self.decoder(self.E_y(last).unsqueeze(1), state)
        return self.W_o(output[:, 0]), [part[0] for part in state]
