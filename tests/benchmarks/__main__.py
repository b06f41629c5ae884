"""Times minidl against what is installed, and prints minidl's time divided by theirs.

python -m tests.benchmarks                     every workload against PyTorch
python -m tests.benchmarks gpt lstm            only these
python -m tests.benchmarks --ops               op by op, minidl and PyTorch
python -m tests.benchmarks --ops conv gelu     only those with these words in their names
python -m tests.benchmarks --memory            the peak of live memory in a step, and PyTorch's
python -m tests.benchmarks --against torch channels-last compile jax

Each contender runs in a process of its own. In each round they take turns, so that whatever else
the machine does meets all of them; a ratio is that of the medians of one round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from . import chart, machine, report
from .ops import CASES, chosen
from .workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
OTHERS = ("torch", "channels-last", "compile", "jax")
NOT_INSTALLED = "No module named"


class Failed(Exception):
    """A contender's process ended with an error."""


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    known = CASES if options.ops else WORKLOADS
    for name in options.work:
        if not (chosen([name]) if options.ops else name in known):
            print(f"no {name!r}; there are: {', '.join(known)}", file=sys.stderr)
            return 2
    work = options.work or list(WORKLOADS)
    if options.ops:
        work = [",".join(["ops", *options.work])]
    if options.memory:
        work, options.against, options.rounds = [f"memory,{w}" for w in work], ["torch"], 1
    try:
        results = measure(options, work)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(report.memory(results["runs"]) if options.memory else report.text(results))
    if options.out is not None:
        write(results, options.out)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("work", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}")
    made.add_argument("--ops", action="store_true", help="op by op instead of workloads")
    made.add_argument("--memory", action="store_true", help="memory instead of time")
    made.add_argument("--against", nargs="+", choices=OTHERS, default=["torch"], metavar="OTHER")
    made.add_argument("--threads", type=int, default=2, help="for each contender (2)")
    made.add_argument("--rounds", type=int, default=3, help="processes of each contender (3)")
    made.add_argument("--out", type=Path, help="a folder for benchmarks.json and benchmarks.png")
    made.add_argument(
        "--torch-python",
        default=sys.executable,
        metavar="PATH",
        help="the Python that has PyTorch and JAX, if it is not this one",
    )
    made.add_argument(
        "--default-blas",
        action="store_true",
        help="leave OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE as they are set",
    )
    made.add_argument("--smoke", action="store_true", help="one short round, only to see it run")
    return made


def measure(options: argparse.Namespace, work: list[str]) -> dict:
    """All rounds of all contenders: what `report` prints and `benchmarks.json` holds."""
    seconds, rounds = (0.01, 1) if options.smoke else (1.5, options.rounds)
    env = environment(options.threads, options.default_blas)
    contenders, about = ["minidl", *options.against], {}
    runs: list[dict] = []
    for name in work:
        for number in range(rounds):
            for contender in tuple(contenders):
                python = sys.executable if contender == "minidl" else options.torch_python
                found = run(python, contender, name, seconds, env)
                if found is None:
                    contenders.remove(contender)
                else:
                    about[contender] = found.pop("about")
                    runs.append({"work": name, "contender": contender, "round": number} | found)
    described = machine.describe(options.threads, env)
    date = datetime.date.today().isoformat()
    return {"date": date, "machine": described, "about": about, "runs": runs}


def environment(threads: int, default_blas: bool) -> dict[str, str]:
    """The children's environment: so many threads for each library that they might start."""
    env = dict(os.environ)
    # NPROC: the threads of JAX.
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        env[f"{name}_NUM_THREADS"] = str(threads)
    env["NPROC"] = str(threads)
    if not default_blas:
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            env.pop(name, None)
    return env


def run(python: str, contender: str, work: str, seconds: float, env: dict) -> dict | None:
    """One contender's process; None if it is not installed there. Raises Failed."""
    command = [python, "-m", "tests.benchmarks.child", contender, work, str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    last = done.stderr.strip().splitlines()[-1:]
    if last and NOT_INSTALLED in last[0] and contender != "minidl":
        print(f"{contender} is left out: {last[0]}", file=sys.stderr)
        return None
    raise Failed(f"{contender} failed at {work}:\n{done.stderr}")


def write(results: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    (folder / "benchmarks.json").write_text(text + "\n")
    chart.draw(results, folder / "benchmarks.png")
    print(f"\nwritten: {folder}/benchmarks.json, {folder}/benchmarks.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
