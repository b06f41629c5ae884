"""Compare what a program printed with what a text promises it prints.

Words must be equal; spaces do not count. Whole numbers must be equal; a number with decimals must
lie within 2 units of the last digit that the text shows; `~` before a number in the text allows
20 %; a time or a rate (`3 s`, `1.2 min`, `800 images/s`) has only to be there.
"""

import os
import re

NUMBER = re.compile(
    r"(?<![\w.])~?(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.]*\w)"
    r"(?P<unit>\s?(?:us|ms|s|min|h|seconds?|minutes?|images/s)(?!\w))?"
)


def terminal() -> dict[str, str]:
    """The environment of a person at a terminal of 80 columns: on a CI server pytest writes the
    lines of its summary in full."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "BUILD_NUMBER")}
    return kept | {"COLUMNS": "80"}


def errors_in(stderr: str) -> str:
    """What a program wrote to stderr, without the line that says that kernels are compiled."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if "compiling CPU kernels" not in line)


def differences(promised: str, printed: str) -> list[str]:
    """Return one line for each place where `printed` breaks the promise; none if it is kept."""
    promised_lines, printed_lines = lines_of(promised), lines_of(printed)
    if len(promised_lines) != len(printed_lines):
        counts = f"{len(promised_lines)} lines promised, {len(printed_lines)} printed"
        return [f"{counts}:\n{printed.rstrip()}"]
    return [
        f"promised: {want}\n printed: {got}"
        for want, got in zip(promised_lines, printed_lines, strict=True)
        if not same_line(want, got)
    ]


def lines_of(text: str) -> list[str]:
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def same_line(want: str, got: str) -> bool:
    wanted, found = list(NUMBER.finditer(want)), list(NUMBER.finditer(got))
    return (
        words_of(want) == words_of(got)
        and len(wanted) == len(found)
        and all(map(same_number, wanted, found))
    )


def words_of(line: str) -> list[str]:
    """The line without its numbers and without spaces, which move when a number gets longer."""
    return NUMBER.sub(lambda match: "#" + (match["unit"] or ""), line).replace(" ", "")


def same_number(want: re.Match, got: re.Match) -> bool:
    if want["unit"]:
        return True
    number, value = want["number"], float(got["number"])
    if want[0].startswith("~"):
        return abs(value - float(number)) <= 0.2 * abs(float(number))
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    if decimals == 0 and not exponent:
        return value == float(number)
    unit = 10.0 ** (int(exponent or 0) - decimals)
    return abs(value - float(number)) <= 2.001 * unit
