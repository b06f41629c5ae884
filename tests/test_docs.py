"""README.md and CONTRIBUTING.md are run: every block of code, every output, every number."""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from printed import differences

from papers import __main__ as papers
from papers import _record
from tests.gpu.sources import needs_gxx

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
RESULTS = ROOT / "papers" / "results"


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run(command, folder=ROOT, **variables):
    """Run a command line; `python` is this Python, and it finds this clone."""
    words = shlex.split(command, comments=True)
    assert words[0] == "python", command
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )


# ------------------------------------------------------------------------------- blocks of Python


def promised_by(source):
    """The comments that say what is printed: after `print(...)`, or on lines of their own below it.

    A comment line that begins with three spaces continues the line before.
    """
    promised, printing = [], False
    for line in source.splitlines():
        code, _, comment = line.partition("#")
        printing = "print(" in code if code.strip() else printing
        if printing and comment.startswith("   "):
            promised[-1] += comment
        elif printing and comment:
            promised.append(comment)
    return "\n".join(promised)


@pytest.mark.parametrize("source", blocks(README, "python"))
def test_readme_code_prints_what_it_says(source):
    ast.parse(source)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "README.md", "exec"), NAMESPACE)
    assert differences(promised_by(source), printed.getvalue()) == []


NAMESPACE: dict = {}  # the blocks are read from top to bottom, like the page


# ---------------------------------------------------------------------------- blocks of a console

SESSIONS = [
    tuple(part.partition("\n")[::2])
    for block in blocks(README, "console")
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
]
ALEXNET = 'pip install -e ".[papers]" && python -m papers alexnet'
TESTS = 'pip install -e ".[test]" && pytest'
DOCTOR = "python -m minidl doctor"
BENCHMARKS = "python -m tests.benchmarks"


def output_of(command):
    (output,) = (out for line, out in SESSIONS if line.partition("  #")[0] == command)
    return output


@pytest.mark.parametrize(
    ("command", "output"),
    [s for s in SESSIONS if s[0].partition("  #")[0] not in (ALEXNET, TESTS, DOCTOR, BENCHMARKS)],
)
def test_readme_commands_print_what_it_says(command, output, tmp_path):
    done = run(command, folder=tmp_path if " -m " in command else ROOT)
    assert done.returncode == 0, done.stderr
    assert differences(output, done.stdout) == []


def test_readme_doctor_has_these_rows():
    def names(text):
        return [re.match(r" {10}\S+|\S*", line)[0].strip() for line in text.splitlines()]

    done = run(DOCTOR)
    assert done.returncode == 0, done.stderr
    assert names(done.stdout) == names(output_of(DOCTOR))


def test_readme_install_lines_are_the_ones_ci_runs():
    install, tests = TESTS.split(" && ")
    assert output_of(TESTS) == ""
    script = (ROOT / ".ci" / "run").read_text()
    assert f"\n{install}\n" in script
    assert re.search(rf"^{tests}\b", script, flags=re.MULTILINE)


def test_readme_benchmarks_are_the_committed_ones():
    from benchmarks import report

    results = json.loads((ROOT / "tests/benchmarks/results/benchmarks.json").read_text())
    assert output_of(BENCHMARKS).strip() == report.text(results)


# ------------------------------------------------------------------------------- the AlexNet run


def table_in(output):
    return output[output.index("claim ") : output.index("\n\n", output.index("claim "))]


def test_readme_alexnet_output_is_that_of_the_committed_run():
    record = result_of("alexnet")
    assert (record["size"], record["state"]) == ("default", "finished")
    output = output_of(ALEXNET)
    assert table_in(output) == _record.claims_table(record["claims"])
    assert re.findall(r"after (\S+) minutes", output) == [f"{record['minutes']:.1f}"]


def result_of(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def table_of_papers():
    """How many claims of each paper hold on seed 0 and on those that no threshold was made from."""
    verified = result_of("verify")["claims"]
    seeds = list(verified[0]["holds"])
    rows = [f"| paper | seed 0 | {' | '.join(seeds)} | minutes |", "|---" * (len(seeds) + 3) + "|"]
    for name in papers.names():
        record = result_of(name)
        assert (record["paper"], record["size"], record["state"]) == (name, "default", "finished")
        found = [[claim["holds"] for claim in record["claims"]]]
        found += [[c["holds"][seed] for c in verified if c["paper"] == name] for seed in seeds]
        judged = len(found[0]) - found[0].count(None)
        counts = " | ".join(f"{holds.count(True)} of {judged}" for holds in found)
        link = f"[{name}](papers/{name}.py)"
        rows.append(f"| {link} | {counts} | {record['minutes']:.1f} |")
    return "\n".join(rows)


def failures_of_papers():
    """Each claim that failed on a seed, with what was measured."""
    found = [
        (result_of(name), claim) for name in papers.names() for claim in result_of(name)["claims"]
    ]
    lines = [
        f"- {record['paper']}, {claim['text']}, {claim['threshold']}: "
        f"{_record.measured(claim)} on seed 0"
        for record, claim in found
        if claim["holds"] is False
    ]
    for claim in result_of("verify")["claims"]:
        failed = [seed for seed, holds in claim["holds"].items() if holds is False]
        if failed:
            numbers = "; ".join(f"{claim['measured'][seed]} on seed {seed}" for seed in failed)
            lines.append(f"- {claim['paper']}, {claim['text']}, {claim['threshold']}: {numbers}")
    return "\n".join(lines)


def test_readme_counts_the_claims_that_hold_and_names_those_that_do_not():
    assert table_of_papers() in README
    assert failures_of_papers() in README
    verdicts = [c["holds"] for name in papers.names() for c in result_of(name)["claims"]]
    counts = " / ".join(str(verdicts.count(value)) for value in (True, False, None))
    assert f"| {counts} |" in README


def test_readme_alexnet_output_has_the_form_of_a_run(tmp_path):
    """A few steps of everything give the same rows; values and verdicts need the real run."""
    done = run("python -m papers alexnet --smoke --out run", folder=tmp_path)
    assert done.returncode == 0, done.stderr

    def rows(output):
        cells = [re.split(r" {2,}", line) for line in table_in(output).splitlines()]
        names = [
            row[0] for row in cells if len(row) > 1
        ]  # not the remark below a smoke run's table
        return [re.sub(r"\((mnist|mnist-5k|digits)\)", "(data)", name) for name in names]

    shown, printed = rows(output_of(ALEXNET)), rows(done.stdout)
    assert shown[0] == printed[0] == "claim"
    assert shown[2:] == printed[2:]


def test_readme_counts_the_records():
    from minidl import testing

    (promised,) = re.findall(r"records, each of which .*more than (\d+)", README)
    assert sum(1 for _ in testing.ops()) > int(promised)


@pytest.mark.parametrize("path", re.findall(r"!\[[^]]*\]\(([^)]*)\)", README))
def test_readme_pictures_are_there_and_light(path):
    picture = (ROOT / path).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


# ------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text()
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (ROOT / target).exists(), target


def test_files_named_in_code_exist():
    text = README + CONTRIBUTING
    for name in re.findall(r"`((?:minidl|papers|tests|examples)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


# -------------------------------------------------------------------- CONTRIBUTING: the ten lines


def added(name):
    """What CONTRIBUTING puts into this file, block by block."""
    heading = f"# {name}\n"
    return [
        b.removeprefix(heading) for b in blocks(CONTRIBUTING, "python") if b.startswith(heading)
    ]


@pytest.fixture
def clone(tmp_path):
    """A copy of minidl and of its op tests, to which the blocks of CONTRIBUTING are added."""
    for folder in ("minidl", "tests/ops", "tests/kernels", "tests/gpu"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("conftest.py", "parity.py"):
        shutil.copy(ROOT / "tests" / file, tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def change(name, old, new):
        text = (tmp_path / name).read_text()
        assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
        (tmp_path / name).write_text(text.replace(old, new))

    ops, records = "minidl/ops/elementwise.py", "minidl/testing/records/elementwise.py"
    registry, large = "minidl/kernels/__init__.py", "tests/kernels/test_kernels.py"
    kernel = "minidl/kernels/cpu/isru.py"
    change(ops, '__all__ = """\n', '__all__ = """\n    logmeanexp isru\n')
    with (tmp_path / ops).open("a") as file:
        file.write("\n\n" + "\n\n".join(added(ops)))
    change(records, "\nRECORDS = [\n", "\nRECORDS = [\n" + "".join(added(records)))
    change(registry, "\n_FILES = {\n", "\n_FILES = {\n" + "".join(added(registry)))
    change(large, "\nLARGE = {\n", "\nLARGE = {\n" + "".join(added(large)))
    (tmp_path / kernel).write_text(*added(kernel))
    source, launcher, cases = (
        "minidl/kernels/cuda/elementwise.cu",
        "minidl/kernels/cuda/elementwise.py",
        "tests/gpu/cases.py",
    )
    (line,) = re.findall(rf"^// {source}\n(.*\n)```$", CONTRIBUTING, flags=re.MULTILINE)
    change(source, "// clang-format on\n", line + "// clang-format on\n")
    change(launcher, "Elu Softplus\n", "Elu Softplus Isru\n")
    change(launcher, "\nKERNELS = {\n", "\nKERNELS = {\n" + "".join(added(launcher)))
    before_next = '\n    """.split(),\n    "local_response_norm"'
    change(registry, f"softplus{before_next}", f"softplus isru{before_next}")
    change(cases, "[Callable]] = {\n", "[Callable]] = {\n" + "".join(added(cases)))
    return tmp_path


def test_the_op_is_ten_lines():
    op = added("minidl/ops/elementwise.py")[0]
    assert len(op.splitlines()) == 10


def test_the_ops_of_contributing_pass_every_test(clone):
    done = op_tests(clone)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "-k logmeanexp" in CONTRIBUTING
    for check, name in (
        ("second_derivative", "logmeanexp"),
        ("second_derivative_fused", "isru"),
        ("kernel", "isru"),
    ):
        assert re.search(rf"::test_holds\[.*{check}-{name}\] PASSED", done.stdout)


def test_the_wrong_rule_of_contributing_goes_red(clone):
    ops = clone / "minidl/ops/elementwise.py"
    right, wrong = (
        "lambda g, input, out: g * exp(input - out) / 2",
        "lambda g, other, out: g * exp(other - out) / 2",
    )
    assert "`g * exp(other - out) / 2` in the first rule" in CONTRIBUTING
    ops.write_text(ops.read_text().replace(f"input={right}", f"input={wrong}"))
    done = op_tests(clone)
    assert done.returncode == 1
    assert re.search(r"FAILED .*first_derivative-logmeanexp\]", done.stdout)


@needs_gxx
def test_the_cuda_kernel_of_contributing_is_as_the_definition(clone):
    command = "python -m pytest tests/gpu -n 0 -k isru -v -p no:cacheprovider"
    done = run(command, folder=clone, PYTHONPATH=str(clone))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "`pytest tests/gpu -n 0 -k isru`" in CONTRIBUTING
    assert "test_the_kernel_is_as_the_definition[isru] PASSED" in done.stdout
    assert "test_special_values_are_as_in_the_definition[inf-isru] PASSED" in done.stdout


def op_tests(clone):
    command = "python -m pytest tests/ops -k 'logmeanexp or isru' -v -p no:cacheprovider -n 0"
    return run(command, folder=clone, PYTHONPATH=str(clone))
