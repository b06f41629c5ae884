"""The error of a failed check, and how its message is composed."""

import textwrap
from collections.abc import Callable

LONGEST_CODE = 24  # lines; what hypothesis has made small is far below
FEEDBACK = ("what", "gap", "words")


class SetupError(ValueError):
    """A check cannot be made: its reference fails, or its samples do not fit.

    It says nothing about what was to be checked.
    """


class _Lazy:
    """A text that may be set as a function, which is called when the text is first read."""

    def __set_name__(self, owner, name):
        self.name = f"_{name}"

    def __get__(self, error, owner):
        text = getattr(error, self.name)
        if callable(text):
            text = text()
            setattr(error, self.name, text)
        return text

    def __set__(self, error, text):
        setattr(error, self.name, text)


class CheckError(AssertionError):
    """A check of an op, a module or an optimizer failed.

    op: the name of what was checked.
    what: the claim that does not hold, as in "wrong derivative with respect to x".
    input, index: the input's name, and the element of it.
    analytic, numeric: the two values that should be equal: of the op and of finite differences or
        of the reference.
    gap: the same in a line, as in "out[0]: 0.5, the reference gives 0.25".
    code: the failing call as Python to paste.
    words: a sentence that says what the mistake is, empty if none is known to be true.
    rule: where the mistake was made, as in "'x' of softmax (my_ops.py:12)".

    What does not apply is None or empty. `code` and `words` may be functions that make the text:
    they are called when it is first read, so that a search for a small failing input stays fast.
    """

    def __init__(
        self,
        op: str,
        what: str,
        input: str | None = None,
        index: tuple[int, ...] | None = None,
        analytic: float | None = None,
        numeric: float | None = None,
        *,
        gap: str = "",
        code: str | Callable[[], str] = "",
        words: str | Callable[[], str] = "",
        rule: str = "",
    ):
        super().__init__(op, what)
        self.op, self.what, self.input, self.index = op, what, input, index
        self.analytic, self.numeric = analytic, numeric
        self.gap, self.rule = gap, rule
        self.smallest = False  # whether `code` is the result of a search for a small input
        self.code, self.words = code, words

    code = _Lazy()
    words = _Lazy()

    def unread(self, field: str) -> str | Callable[[], str]:
        """`code` or `words` as it was set: the text, or the function that makes it."""
        return getattr(self, f"_{field}")

    def message(self, feedback: str = "words") -> str:
        """The message with as much as is to be told.

        feedback: "what" (the claim alone), "gap" (and the failing input, the two values, the
            place), or "words" (and the sentence that says what the mistake is).
        """
        if feedback not in FEEDBACK:
            raise ValueError(f"message: feedback is one of {', '.join(FEEDBACK)}, got {feedback!r}")
        lines = [f"{self.op}: {self.what}"]
        if feedback == "what":
            return lines[0]
        if self.code:
            lines.append("  smallest input found" if self.smallest else "  input")
            lines += [f"    {line}" for line in _shortened(self.code.splitlines())]
        lines += [f"  {line}" for line in self.gap.splitlines()]
        if feedback == "words" and self.words:
            lines += textwrap.wrap(
                f"in words: {self.words}", 98, initial_indent="  ", subsequent_indent="    "
            )
        if self.rule:
            lines.append(f"  the rule: {self.rule}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self):
        state = {**self.__dict__, "_code": self.code, "_words": self.words}
        return type(self), self.args, state


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= LONGEST_CODE:
        return lines
    middle = f"... ({len(lines) - LONGEST_CODE} lines more)"
    return [*lines[: LONGEST_CODE // 2], middle, *lines[-LONGEST_CODE // 2 :]]
