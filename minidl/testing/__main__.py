"""The kit's command line: `python -m minidl.testing mutate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minidl.testing import child

MUTATE = """\
Make small mistakes in code, one at a time, and count how many the tests notice.

Without FILE: in every derivative rule and every kernel of minidl; the tests are the checks of the
records (minidl.testing.ops()), and then --tests. With FILE: in every function of that file; the
tests are yours."""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns 0; 1 if the score is too low; 2 for a wrong use."""
    parser = argparse.ArgumentParser(prog="python -m minidl.testing", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    mutate_ = verbs.add_parser(
        "mutate",
        help="damage code and see whether tests notice",
        description=MUTATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mutate_.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file of yours")
    mutate_.add_argument("--tests", nargs="+", metavar="TEST", help="test files, for pytest")
    mutate_.add_argument("-k", metavar="OP", nargs="+", help="only these ops of minidl")
    mutate_.add_argument("--survivors", type=Path, metavar="JSON", help=SURVIVORS)
    mutate_.add_argument("--json", type=Path, metavar="JSON", help="write the results here")
    mutate_.add_argument(
        "--at-least",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="exit with 1 if a smaller share is caught",
    )
    options = parser.parse_args(arguments)
    if options.file and not options.tests:
        parser.error("mutate: FILE needs --tests, the tests that are to notice damage in it")
    if options.file and options.k:
        parser.error("mutate: -k is for minidl's own ops, not for FILE")
    if not child.AVAILABLE:
        parser.error("mutate: needs os.fork, which this system does not have")
    return mutate(options)


SURVIVORS = """\
reasons for damages that nothing can notice, a list of {owner, before, after, why}; exit with 1 if
one is not caught and has none"""


def mutate(options: argparse.Namespace) -> int:
    from minidl.testing.mutation import own, targets, yours
    from minidl.testing.mutation.report import Report, read_reasons

    try:
        _check_paths(options)
        reasons = read_reasons(options.survivors) if options.survivors else {}
        if options.file:
            results = yours.run(options.file, options.tests, progress=True)
        else:
            results = own.run(targets.targets(options.k), options.tests or (), progress=True)
    except (RuntimeError, LookupError) as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    report = Report(results, reasons)
    print(report.text())
    if options.json:
        report.save(options.json)
    enough = report.score >= options.at_least
    return int(not enough or (options.survivors is not None and bool(report.unexplained)))


def _check_paths(options: argparse.Namespace) -> None:
    """Raises RuntimeError for a path that will not do: now, and not after minutes of work."""
    tests = [Path(test.partition("::")[0]) for test in options.tests or ()]
    for path in (options.file, options.survivors, *tests):
        if path is not None and not path.exists():
            raise RuntimeError(f"there is no file {path}")
    for path in (options.file, options.survivors, options.json):
        if path is not None and path.is_dir():
            raise RuntimeError(f"{path} is a folder: give a file")
    if options.json and not options.json.parent.is_dir():
        raise RuntimeError(f"there is no folder {options.json.parent} for {options.json.name}")


if __name__ == "__main__":
    sys.exit(main())
