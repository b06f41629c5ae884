"""The command line of the papers.

python -m papers                    the papers, and how their last runs went
python -m papers alexnet            run one; --help shows its settings
python -m papers verify --seeds 3   measure the claims of all papers (or of the named) again
python -m papers report             write what was measured to runs/index.html
"""

import argparse
import dataclasses
import difflib
import importlib
import importlib.util
import sys
from pathlib import Path

import minidl
from minidl.datasets import CorruptData, MissingData

from . import _lab, _record, _report, _verify

KEPT_MINUTES = 10  # a run longer than this is not overwritten
FOUND_FALSE, MISUSED, STOPPED = 1, 2, 130  # exit codes


def main(arguments: list[str]) -> int:
    """Do what the command line says. 1: a claim of a default run, or of `verify`, does not hold, or
    a loss is not finite; 2: misuse, or a file that cannot be read or written; 130: Ctrl-C."""
    name, *rest = arguments or ["list"]
    try:
        if name in ("-h", "--help"):
            print(__doc__.strip())
        elif name == "list":
            print(listing())
        elif name == "verify":
            return verify(rest)
        elif name == "report":
            report(rest)
        else:
            require(name)
            done = run(name, rest)
            if done.size == "default" and any(claim["holds"] is False for claim in done.claims):
                return FOUND_FALSE
    except (_lab.Misuse, minidl.DeviceError) as error:
        print(error, file=sys.stderr)
        return MISUSED
    except _lab.NotFinite as error:
        print(error, file=sys.stderr)
        return FOUND_FALSE
    except OSError as error:
        print(f"{name}: {error}. Another folder for the results: --out", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return STOPPED
    return 0


def names() -> list[str]:
    """The papers of this folder, oldest first."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted((file.stem for file in files), key=lambda name: (paper(name).year, name))


def paper(name: str) -> _lab.Paper:
    return importlib.import_module(f"papers.{name}").PAPER


def require(name: str) -> None:
    """Raise Misuse, with the nearest name, if there is no such paper."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, [*known, "verify", "report"], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise _lab.Misuse(f"no paper {name!r}; {hint}there are: {', '.join(known)}")


def listing() -> str:
    """Year, name, title, claim and last run of each paper."""
    entries = []
    for name in names():
        about = paper(name)
        try:
            record = _record.read(Path("runs") / name)
            state = _record.one_line(record if _record.is_default(record, name) else {})
        except _lab.Misuse as error:
            state = str(error)
        lines = (f"{about.year}  {name}: {about.title}", about.claim, f"last run: {state}")
        entries.append("\n      ".join(lines))
    return "\n\n".join(entries) + "\n\nrun one with: python -m papers NAME"


def parser(name: str, module) -> argparse.ArgumentParser:
    """The command line of a paper: where and how to run, and every field of its Config."""
    result = argparse.ArgumentParser(
        prog=f"python -m papers {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    size = result.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="a few steps of everything")
    size.add_argument("--full", action="store_true", help="the paper's own model and recipe")
    result.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cpu)")
    result.add_argument("--out", type=Path, help=f"folder of the results (runs/{name})")
    result.add_argument("--resume", action="store_true", help="go on where the run stopped")
    for field in dataclasses.fields(module.Config):
        result.add_argument(
            "--" + field.name.replace("_", "-"),
            type=converter(type(field.default), field.metadata["least"], field.metadata["most"]),
            choices=field.metadata["choices"],
            metavar=None if field.metadata["choices"] else type(field.default).__name__.upper(),
            help=f"{field.metadata['meaning']} ({defaults(field, module)})".replace("%", "%%"),
        )
    return result


def defaults(field: dataclasses.Field, module) -> str:
    """The value of a setting, and that of --full if it is another one."""
    full = module.FULL.get(field.name, field.default)
    return f"{field.default!r}" + f", full: {full!r}" * (full != field.default)


def converter(kind: type, least: float | None, most: float | None = None):
    """What turns the text of an option into a value of this kind, from `least` to `most`."""

    def convert(text: str):
        value = kind(text)
        if least is not None and not value >= least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        if most is not None and not value <= most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {text}")
        return value

    convert.__name__ = kind.__name__  # argparse: "invalid int value: 'x'"
    return convert


def run(name: str, arguments: list[str]) -> _lab.Run:
    """Run `papers/<name>.py` with these arguments. Its record is the folder's `metrics.json`."""
    module = importlib.import_module(f"papers.{name}")
    given = vars(parser(name, module).parse_args(arguments))
    missing = [p for p in module.PAPER.packages if importlib.util.find_spec(p) is None]
    if missing:
        raise _lab.Misuse(f'{name} needs {", ".join(missing)}: pip install -e ".[papers]"')
    device, resume = given.pop("device", "cpu"), given.pop("resume", False)
    size = next((s for s in ("smoke", "full") if given.pop(s, False)), "default")
    folder = given.pop("out", Path("runs") / (name if size == "default" else f"{name}-{size}"))
    old = _record.read(folder)
    if resume:
        given = old_config(folder, old, name, size, given)
    elif old and old["minutes"] > KEPT_MINUTES:
        finished = old["state"] == "finished"
        what = "a finished run" if finished else "an unfinished run: go on with --resume, or"
        raise _lab.Misuse(
            f"{folder} holds {old['minutes']:.0f} minutes of {what}{':' * finished} name another "
            "--out, or delete it"
        )
    changes = {"default": {}, "smoke": module.SMOKE, "full": module.FULL}[size]
    config = module.Config(**{**changes, **given})
    minidl.zeros(1, device=device)  # where there is no GPU, the error says what to install
    try:
        result = _lab.Run(name, module, config, size, folder, device)
    except (MissingData, CorruptData, OSError, ValueError) as error:
        raise _lab.Misuse(str(error)) from error
    if resume and _record.data_entry(result.data) != old["data"]:
        raise _lab.Misuse(f"the run in {folder} had other data: {old['data']['name']}")
    with _lab.alone(folder):
        result.open(old["minutes"] if resume else None)
        result.carry_out()
    return result


def old_config(folder: Path, old: dict, name: str, size: str, given: dict) -> dict:
    """The config of the run to resume; Misuse if there is none or it was another one."""
    if not old or old["paper"] != name:
        raise _lab.Misuse(f"there is no run of {name} to resume in {folder}")
    if old["size"] != size:
        wanted = "without --smoke and --full" if old["size"] == "default" else f"--{old['size']}"
        raise _lab.Misuse(f"the run in {folder} is resumed by --resume {wanted}")
    for field, value in given.items():
        if value != old["config"][field]:
            raise _lab.Misuse(
                f"the run in {folder} has {field} = {old['config'][field]!r}, not {value!r}: "
                "resume it without that option, or begin another without --resume"
            )
    return old["config"]


def verify(arguments: list[str]) -> int:
    """Measure the claims of some papers on several seeds; 1 if one of them fails anywhere."""
    options = argparse.ArgumentParser(
        prog="python -m papers verify",
        description="Measure the claims of the papers again. Exit code 1: a claim does not hold.",
    )
    options.add_argument("names", nargs="*", help="the papers (all)")
    options.add_argument("--seeds", type=converter(int, 1), default=3, help="how many seeds (3)")
    options.add_argument(
        "--seed", type=int, default=5, help="the first; 0 to 4 made the thresholds (5)"
    )
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (cpu)")
    options.add_argument(
        "--out", type=Path, default=Path("runs/verify"), help="folder of the results (runs/verify)"
    )
    chosen = options.parse_args(arguments)
    for name in chosen.names:
        require(name)
    claims: dict[tuple, dict] = {}
    for name in chosen.names or names():
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            out = chosen.out / f"{name}-{seed}"
            print(f"\n{name}, seed {seed}", flush=True)
            done = run(name, ["--seed", f"{seed}", "--device", chosen.device, "--out", f"{out}"])
            _verify.add(claims, name, seed, done.claims)
    _verify.write(chosen.out / "claims.json", claims.values(), chosen.device)
    print("\n" + _verify.table(claims.values()))
    failed = any(False in claim["holds"].values() for claim in claims.values())
    return FOUND_FALSE if failed else 0


def report(arguments: list[str]) -> None:
    """Write one page of all runs."""
    options = argparse.ArgumentParser(
        prog="python -m papers report",
        description="Write one static page: claims, figures, data and time of every paper's runs.",
    )
    options.add_argument(
        "--out", type=Path, default=Path("runs"), help="folder of the runs and of the page (runs)"
    )
    folder = options.parse_args(arguments).out
    print(_report.write({name: paper(name) for name in names()}, folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
