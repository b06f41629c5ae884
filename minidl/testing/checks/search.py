"""Runs a check on many samples, and on a failure looks for the smallest sample that fails."""

import pickle
import time
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from minidl import Tensor
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError

SHRINK_SECONDS = 1.5
WORDS_SECONDS = 1.0
WORDS_EXAMPLES = 40
QUIET = {
    "database": None,
    "deadline": None,
    "print_blob": False,
    "report_multiple_bugs": False,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.nested_given],
}


def search(
    check: Callable[[Any], None],
    samples: hypothesis.strategies.SearchStrategy,
    *,
    max_examples: int,
    seed: int | None = None,
) -> None:
    """Call `check(sample)` for samples drawn by hypothesis; raises the CheckError of the smallest
    one that fails.

    Its words are those of another failing sample, the one with the most distinct numbers: of a
    small one, such as `[0.0]`, too many explanations are true. They are looked for when read.
    seed: the same samples every time.
    """
    __tracebackhide__ = True
    failures = _Failures(check, SHRINK_SECONDS)
    phases = (Phase.generate, Phase.shrink)
    try:
        _run(failures.repeat, samples, seed, max_examples=max_examples, phases=phases)
    except _Failed as failed:
        error = failed.error
        error.smallest = True
        if error.unread("words"):
            error.words = lambda: _words_of_the_richest(failures, samples, seed)
        raise error from None


def _run(test, samples, seed, **options):
    test = settings(**QUIET, **options)(given(sample=samples)(test))
    if seed is not None:
        test = hypothesis.seed(seed)(test)
    test()


class _Failed(Exception):
    """Raised in place of the error: hypothesis writes out what it catches, and words take time."""

    def __init__(self, error: CheckError):
        super().__init__()
        self.error = error


class _Failures:
    """The samples on which a check failed: by their bytes, and with how many numbers they have."""

    def __init__(self, check: Callable, seconds: float):
        self.check, self.seconds = check, seconds
        self.errors: dict[bytes, CheckError] = {}
        self.words: list[tuple[int, str | Callable]] = []
        self.end = np.inf

    def repeat(self, sample):
        """Runs the check; fails again for a sample that failed before.

        When the time is over no new samples are tried: hypothesis then ends with the smallest that
        is known.
        """
        key = pickle.dumps(sample)
        if key not in self.errors:
            self.collect(sample)
        if key in self.errors:
            raise _Failed(self.errors[key])

    def collect(self, sample):
        """Runs the check and remembers if it failed."""
        if time.perf_counter() > self.end:
            return
        try:
            self.check(sample)
        except CheckError as error:
            self.end = min(self.end, time.perf_counter() + self.seconds)
            self.errors[pickle.dumps(sample)] = error.with_traceback(None)
            self.words.append((distinct_numbers(sample), error.unread("words")))


def _words_of_the_richest(failures, samples, seed):
    """The words of the failing sample with the most distinct numbers, of more than were tried."""
    failures.end = time.perf_counter() + WORDS_SECONDS
    _run(failures.collect, samples, seed, max_examples=WORDS_EXAMPLES, phases=(Phase.generate,))
    _, words = max(failures.words, key=lambda pair: pair[0])
    return words() if callable(words) else words


def distinct_numbers(tree: Any) -> int:
    """How many different numbers the arrays and tensors of a sample hold."""
    return sum(np.unique(to_numpy(a)).size for a in _arrays(tree))


def _arrays(tree):
    if isinstance(tree, np.ndarray | Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    if hasattr(tree, "__dataclass_fields__"):
        tree = list(vars(tree).values())
    return [a for branch in tree for a in _arrays(branch)] if isinstance(tree, tuple | list) else []
