"""The machinery of the papers, on a paper that takes a tenth of a second."""

import dataclasses
import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy_paper as toy
from paper_checks import interrupted_after, outcome

import minidl
from minidl import datasets
from minidl.utils.data import DataLoader, TensorDataset
from papers import __main__ as command
from papers import _lab, _record, _report

ROOT = Path(__file__).parents[2]
PAPERS = "alexnet dropout bahdanau resnet transformer dqn ddpm simclr".split()


@pytest.fixture(autouse=True)
def toy_paper(monkeypatch):
    monkeypatch.setitem(sys.modules, "papers.toy", toy)
    monkeypatch.setattr(command, "names", lambda: ["alexnet", "dropout", "toy"])


def record_of(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


# ------------------------------------------------------------------------------------ a whole run


def test_a_run_leaves_its_record(start, capsys):
    start("toy", "--rate", 0.2)
    record = record_of("runs/toy")
    assert record["schema"] == 1
    assert (record["paper"], record["state"], record["size"]) == ("toy", "finished", "default")
    assert record["minidl"] == minidl.__version__
    assert record["config"] == {"seed": 0, "epochs": 4, "rate": 0.2, "spoil": ""}
    assert record["data"] == {"name": "points", "real": False, "sha256": "0" * 64}
    assert record["params"] == {"built": 26, "published": 26}
    assert record["figure"] == "figure.png"
    assert Path("runs/toy/figure.png").read_bytes().startswith(b"\x89PNG")
    assert 0 <= record["minutes"] < 1
    assert record["claims"][1] == {
        "id": "learns",
        "text": "both learn",
        "metric": "accuracy",
        "better": "higher",
        "ours": list(record["stages"].values()),
        "baseline": [0, 0],
        "threshold": ">= 0",
        "holds": True,
        "paper": {"value": 0.9, "where": "table 1", "scale": "large"},
    }
    assert [claim["holds"] for claim in record["claims"]] == [True, True, None]
    assert [step for step, _ in record["curves"]["first: loss"]] == [20]
    assert [step for step, _ in record["curves"]["after each epoch"]] == [1, 2, 3, 4] * 2
    (line,) = [json.loads(line) for line in Path("runs/toy/log.jsonl").read_text().splitlines()][:1]
    assert set(line) == {"stage", "epoch", "step", "loss", "accuracy"}
    assert line["loss"] == record["curves"]["first: loss"][0][1]
    printed = capsys.readouterr().out
    assert printed.startswith("toy: about 0.1 minutes on 2 cores\ndata: points\n")
    assert "claim         measured" in printed
    assert _record.claims_table(record["claims"]) in printed
    assert re.search(r"\nfinished after \d\.\d minutes: runs/toy/\n", printed)


def test_the_record_has_the_keys_of_the_gallery(start):
    start("toy")
    keys = "schema paper commit dirty date machine minidl minutes data config claims curves figure"
    more = "params state size stages pictures"
    assert set(record_of("runs/toy")) == {*keys.split(), *more.split()}


def test_the_commit_is_that_of_the_clone(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    monkeypatch.setattr(_record, "__file__", str(tmp_path / "_record.py"))
    assert _record.commit() == {"commit": None, "dirty": None}
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    assert _record.commit() == {"commit": git("rev-parse", "--short", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("2")
    assert _record.commit()["dirty"] is True


def test_equal_seeds_give_equal_bits(start):
    for folder in ("a", "b"):
        start("toy", "--out", folder, "--seed", 3)
    assert outcome("a") == outcome("b")
    start("toy", "--out", "c", "--seed", 4)
    assert outcome("a")[1] != outcome("c")[1]


def test_smoke_judges_only_what_is_exact(start, capsys):
    start("toy", "--smoke")
    assert [claim["holds"] for claim in record_of("runs/toy-smoke")["claims"]] == [True, None, None]
    assert "not judged" in capsys.readouterr().out


# ------------------------------------------------------------------------- stopping and going on


@pytest.mark.parametrize("after", [1, 6, 17, 24, 25, 31, 48])
def test_interrupted_and_resumed_is_uninterrupted(start, monkeypatch, capsys, after):
    start("toy", "--out", "whole")
    interrupted_after(after, monkeypatch, start, "toy", "--out", "parts")
    record = record_of("parts")
    assert record["state"] == "interrupted"
    assert list(record["stages"]) == (["first"] if after > 24 else [])
    assert "python -m papers toy --resume --out parts" in capsys.readouterr().out
    start("toy", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


def test_ctrl_c_between_steps_stops_at_once(start, monkeypatch):
    start("toy", "--out", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(_lab.Training, "curve", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            start("toy", "--out", "parts")
    assert record_of("parts")["state"] == "interrupted"
    start("toy", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


def test_a_killed_run_goes_on_from_its_last_checkpoint(start, monkeypatch):
    """Killed in step 46; the last checkpoint is of step 32, and the log is ahead of it."""
    start("toy", "--out", "whole")
    code = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "papers")!r}]
import toy_paper as toy
from papers import _lab, __main__
sys.modules["papers.toy"] = toy
_lab.Training.due = property(lambda self: 0, lambda self, time: None)  # save after each step
report, save = _lab.Training.report, _lab.Training.save
steps = []
def reporting(self, *arguments, **values):
    steps.append(1)
    if len(steps) == 46:
        self.run.log.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    report(self, *arguments, **values)
_lab.Training.report = reporting
_lab.Training.save = lambda self: save(self) if len(steps) < 33 else None
__main__.run("toy", ["--out", "parts"])
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert record_of("parts")["state"] == "running"
    assert minidl.load("parts/checkpoints/last.safetensors")["step"] == 2
    start("toy", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


class Walked:
    """As much of a run as a `Training` needs, stopped in its step number `stop`."""

    bar = checkpoint = None
    in_step = stopping = False

    def __init__(self, stop=None, checkpoint=None):
        self.stop, self.checkpoint, self.seen = stop, checkpoint, []

    def save(self, stage, epoch, step, recent, **parts):
        where = {"stage": stage, "epoch": epoch, "step": step, "metrics": {"recent": recent}}
        states = {name: part.state_dict() for name, part in parts.items() if part is not None}
        self.saved = {**where, **states, "generator": minidl.get_rng_state()}

    def walk(self, how, count):
        model, data = minidl.nn.Linear(1, 1), TensorDataset(minidl.arange(7))
        loader = DataLoader(data, 2, shuffle=True, generator=minidl.Generator().manual_seed(3))
        at = _lab.Training(self, "walk", model, minidl.optim.SGD(model.parameters(), 0.1))
        steps = at.updates(loader, count) if how == "updates" else at.steps(count)
        for step in steps:
            assert self.in_step
            self.seen.append(step if how == "steps" else step[0].tolist())
            self.stopping = len(self.seen) == self.stop
        assert at.total == count and not self.in_step
        return self.seen


@pytest.mark.parametrize("how", ["updates", "steps"])
@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_trainings_by_updates_and_by_steps_go_on_where_they_stopped(how, count):
    whole = Walked().walk(how, count)
    assert len(whole) == count
    if how == "steps":
        assert whole == list(range(count))
    elif count == 10:  # four batches are an epoch
        for epoch in (whole[:4], whole[4:8]):
            assert sorted(itertools.chain(*epoch)) == list(range(7))
    for stop in range(1, count + 1):
        first = Walked(stop)
        with pytest.raises(KeyboardInterrupt):
            first.walk(how, count)
        assert first.seen + Walked(checkpoint=first.saved).walk(how, count) == whole


def test_resuming_a_finished_run_trains_nothing(start, monkeypatch):
    start("toy")
    before = outcome("runs/toy")
    monkeypatch.setattr(toy, "train", None)
    start("toy", "--resume")
    assert outcome("runs/toy") == before


def test_a_checkpoint_has_what_the_design_says(start, monkeypatch):
    interrupted_after(27, monkeypatch, start, "toy")
    checkpoint = minidl.load("runs/toy/checkpoints/last.safetensors")
    parts = "model optimizer schedule generator epoch step stage metrics"
    assert set(checkpoint) == set(parts.split())
    assert [checkpoint[key] for key in ("stage", "epoch", "step")] == ["second", 0, 3]


def test_ctrl_c_in_a_process(tmp_path):
    """A real process, a real signal, a real paper."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from minidl import datasets
load = datasets.load
datasets.load = lambda name, fallback: load("mnist-5k")
from papers import __main__
sys.exit(__main__.main(sys.argv[1:]))
"""
    line = [sys.executable, "-c", code, "dropout", "--smoke", "--pair-epochs", "12"]
    process = subprocess.Popen(
        line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "runs/dropout-smoke"
    deadline = time.monotonic() + 60
    while not ((folder / "metrics.json").exists() and record_of(folder)["stages"]):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted after" in out
    record = record_of(folder)
    assert record["state"] == "interrupted"
    assert list(record["stages"]) == ["dropout none, seed 0"]
    resume = [*line[:3], "dropout", "--smoke", "--resume"]
    subprocess.run(resume, cwd=tmp_path, capture_output=True, check=True)
    record = record_of(folder)
    assert record["state"] == "finished"
    assert len(record["stages"]) == 6


# ------------------------------------------------------------------------------- a loss gone wrong


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("nan", ["second: the loss is nan at step 9: ", "log", "toy_paper.py:"]),
        ("weight", ["second: the loss is nan at step 9: 0.weight was not finite before it"]),
        ("huge", ["second: the loss is inf at step 9", "too large"]),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(start, spoil, words):
    with pytest.raises(_lab.NotFinite) as caught:
        start("toy", "--spoil", spoil)
    for word in words:
        assert word in str(caught.value)
    record = record_of("runs/toy")
    assert record["state"] == "failed"
    assert list(record["stages"]) == ["first"]


def test_the_step_is_repeated_with_its_own_random_numbers(start):
    toy.drawn.clear()
    with pytest.raises(_lab.NotFinite):
        start("toy", "--spoil", "nan")
    assert len(toy.drawn) == 2 and len(set(toy.drawn)) == 1


class Spoilt(Walked):
    """A run whose last update makes a weight too large."""

    def walk(self, how, size):
        model = minidl.nn.Linear(1, 1)
        at = _lab.Training(self, "walk", model, minidl.optim.SGD(model.parameters(), 0.1))
        loader = DataLoader(TensorDataset(minidl.arange(4)), 2)
        loops = {"steps": at.steps(2), "updates": at.updates(loader, 2)}
        loops["epochs"] = (batch for _ in at.epochs(1) for batch in at.batches(loader))
        for _ in loops[how]:
            if at.total == 1:
                model.weight.data.fill_(size)


@pytest.mark.parametrize("how", ["epochs", "updates", "steps"])
@pytest.mark.parametrize("size", [1e30, float("nan")])
def test_the_last_update_is_checked_too(how, size):
    """1e30 is finite, but what is computed with such a weight is not."""
    Spoilt().walk(how, 1e18)
    with pytest.raises(
        _lab.NotFinite, match=r"walk: after step 2, the last, .* weight is (inf|nan)"
    ):
        Spoilt().walk(how, size)


def test_a_result_that_is_not_finite_stops_the_run(start, monkeypatch):
    train = toy.train
    monkeypatch.setattr(toy, "train", lambda run, stage: {"a": [train(run, stage), float("nan")]})
    with pytest.raises(_lab.NotFinite, match="first, a, 1: nan was measured when the training"):
        start("toy")
    assert record_of("runs/toy")["stages"] == {}


def test_the_command_says_so_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["toy", "--spoil", "nan"]) == 1
    assert "the loss is nan at step 9" in capsys.readouterr().err


# ------------------------------------------------------------------------------- the command line


def test_help_has_every_setting_with_its_meaning(capsys):
    for name in ("alexnet", "dropout", "toy"):
        with pytest.raises(SystemExit) as stop:
            command.main([name, "--help"])
        assert stop.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        module = sys.modules[f"papers.{name}"]
        for field in module.Config.__dataclass_fields__.values():
            assert f"--{field.name.replace('_', '-')} " in text
            assert f"{field.metadata['meaning']} ({field.default!r}" in text
        assert (", full: " in text) == bool(module.FULL)
        for option in ("--smoke", "--full", "--device {cpu,cuda}", "--out", "--resume"):
            assert option in text


def test_the_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main([]) == 0
    assert (
        "1999  toy: Toys\n      A toy learns.\n      last run: none yet\n"
        in capsys.readouterr().out
    )
    command.run("toy", [])
    command.main([])
    assert "finished on" in (line := capsys.readouterr().out) and "2 of 2 claims hold" in line


def test_the_papers_are_the_files_without_an_underscore(monkeypatch):
    monkeypatch.undo()
    files = {path.stem for path in (ROOT / "papers").glob("*.py") if path.stem[0] != "_"}
    assert {"alexnet", "dropout"} <= set(command.names()) == files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alexnett"], "no paper 'alexnett'; did you mean 'alexnet'? there are: alexnet, dropout"),
        (["verfiy"], "did you mean 'verify'?"),
        (["verify", "toi"], "did you mean 'toy'?"),
        (["toy", "--resume"], "there is no run of toy to resume in runs/toy"),
        (["toy", "--device", "cuda"], "cuda"),
        (["alexnet", "--full"], "--full needs --images FOLDER"),
        (["alexnet", "--full", "--images", "nowhere"], "no folder nowhere"),
        (["alexnet", "--batch", "501"], "a batch of 501 is more than the 500 examples"),
        (["dropout", "--batch", "501"], "a batch of 501 is more than the 500 examples"),
        (["resnet", "--train-images", "100", "--batch", "101"], "more than the 100 examples"),
        (["ddpm", "--images", "90", "--batch", "91"], "a batch of 91 is more than the 90 examples"),
        (["bahdanau", "--batch", "8001"], "a batch of 8001 is more than the 8000 examples"),
        (["transformer", "--batch", "8001"], "a batch of 8001 is more than the 8000 examples"),
        (["bahdanau", "--units", "7"], "--units must be an even number, got 7"),
        (["transformer", "--heads", "5"], "5 --heads must divide an even --width, got 96"),
        (["transformer", "--width", "33", "--heads", "3"], "must divide an even --width, got 33"),
        (["dqn", "--memory", "31"], "--steps and --memory must be at least 32, or 0"),
        (["dqn", "--steps", "31"], "--steps and --memory must be at least 32, or 0"),
    ],
)
def test_misuse_says_what_to_do(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "names", lambda: [*PAPERS, "toy"])
    assert command.main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["--epochs", "x"], "argument --epochs: invalid int value: 'x'"),
        (["--rate", "nan"], "argument --rate: must be at least 0, got nan"),
        (["--rate", "101"], "argument --rate: must be at most 100, got 101"),
        (["--speed", "1"], "unrecognized arguments: --speed 1"),
        (["--smoke", "--full"], "not allowed with"),
    ],
)
def test_wrong_options(capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        command.main(["toy", *arguments])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_a_missing_package_is_named_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paper = _lab.Paper(1999, "Toys", "A toy learns.", 26, 0.1, packages=("json", "no_such_thing"))
    monkeypatch.setattr(toy, "PAPER", paper)
    assert command.main(["toy"]) == 2
    assert capsys.readouterr().err == 'toy needs no_such_thing: pip install -e ".[papers]"\n'
    assert not Path("runs").exists()


def test_missing_data_is_named_and_the_last_run_stays(start, monkeypatch, capsys):
    start("toy")

    def missing(config, size):
        raise datasets.MissingData("points: not here. Ways to get it: ask", "not here")

    monkeypatch.setattr(toy, "load", missing)
    assert command.main(["toy"]) == 2
    assert "Ways to get it" in capsys.readouterr().err
    assert record_of("runs/toy")["state"] == "finished"


def test_resume_takes_the_settings_and_refuses_others(start, monkeypatch):
    interrupted_after(9, monkeypatch, start, "toy", "--smoke", "--rate", 0.3, "--out", "x")
    with pytest.raises(_lab.Misuse, match=r"the run in x has rate = 0\.3, not 0\.4"):
        start("toy", "--smoke", "--resume", "--out", "x", "--rate", 0.4)
    with pytest.raises(_lab.Misuse, match="the run in x is resumed by --resume --smoke"):
        start("toy", "--resume", "--out", "x")
    with pytest.raises(_lab.Misuse, match="no run of dropout to resume in x"):
        start("dropout", "--resume", "--out", "x")
    with monkeypatch.context() as patch, pytest.raises(_lab.Misuse, match="other data: points"):
        patch.setattr(toy.Points, "record", lambda _: {"name": "p", "real": True, "sha256": ""})
        start("toy", "--smoke", "--resume", "--out", "x")
    start("toy", "--smoke", "--resume", "--out", "x", "--rate", 0.3)
    record = record_of("x")
    assert (record["state"], record["size"], record["config"]["epochs"]) == ("finished", "smoke", 2)


def test_hours_of_a_run_are_not_overwritten(start, monkeypatch):
    interrupted_after(9, monkeypatch, start, "toy")
    start("toy")  # a short one is
    path = Path("runs/toy/metrics.json")
    record = record_of("runs/toy") | {"state": "interrupted", "minutes": 200.0}
    path.write_text(json.dumps(record))
    with pytest.raises(_lab.Misuse, match="runs/toy holds 200 minutes of an unfinished run: go on"):
        start("toy")
    path.write_text(json.dumps(record | {"state": "finished"}))
    with pytest.raises(_lab.Misuse, match="holds 200 minutes of a finished run: name another"):
        start("toy")


# ------------------------------------------------------------------------ files that are not right


@pytest.mark.parametrize("text", ['{"schema": 1, "pap', '{"accuracy": 0.5}', "[]", ""])
def test_a_broken_record_is_named(start, capsys, text):
    start("toy", "--out", "runs/verify/toy-5")
    Path("runs/toy").mkdir()
    Path("runs/toy/metrics.json").write_text(text)
    capsys.readouterr()
    for arguments in ([], ["--resume"]):
        assert command.main(["toy", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("runs/toy/metrics.json ") and "name another --out" in error
    assert command.main(["list"]) == 0
    assert "last run: runs/toy/metrics.json " in capsys.readouterr().out
    assert command.main(["report"]) == 0
    assert "Not readable" in page_of() and "runs/toy/metrics.json " in page_of()
    assert "verify/toy-5 (default, seed 0)" in page_of()


@pytest.mark.parametrize("broken", ["checkpoint", "log", "shorter"])
def test_what_cannot_be_resumed_is_said(start, monkeypatch, capsys, broken):
    interrupted_after(27, monkeypatch, start, "toy")
    checkpoint, log = Path("runs/toy/checkpoints/last.safetensors"), Path("runs/toy/log.jsonl")
    if broken == "checkpoint":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    elif broken == "log":
        log.unlink()
    else:
        log.write_text("")
    capsys.readouterr()
    assert command.main(["toy", "--resume"]) == 2
    error = capsys.readouterr().err
    assert str(checkpoint if broken == "checkpoint" else log) in error
    assert "delete the run, or name another --out" in error


def test_a_folder_that_cannot_be_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for arguments in (["toy", "--out", "file"], ["toy", "--out", "file/x"]):
        assert command.main(arguments) == 2
        assert "'file" in (error := capsys.readouterr().err) and error.count("\n") == 1
    assert command.main(["report", "--out", "file/x"]) == 2
    assert "'file/x'" in capsys.readouterr().err


def test_no_space_left_is_said(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "last.safetensors")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(minidl, "save", full)
    assert command.main(["toy"]) == 2
    assert "No space left on device: 'last.safetensors'" in capsys.readouterr().err
    assert record_of("runs/toy")["state"] == "failed"


def test_a_folder_is_for_one_run_at_a_time(start, monkeypatch):
    """The second one neither begins nor touches what the first one writes; after it, it may."""
    measure, refused = toy.measure, []

    def both(run, points):
        monkeypatch.setattr(toy, "measure", measure)
        code = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "papers")!r}]
import toy_paper
from papers import __main__
sys.modules["papers.toy"], __main__.names = toy_paper, lambda: ["toy"]
sys.exit(__main__.main(["toy"]))
"""
        line = [sys.executable, "-c", code]
        refused.append(subprocess.run(line, capture_output=True, text=True))
        measure(run, points)

    monkeypatch.setattr(toy, "measure", both)
    start("toy")
    assert refused[0].returncode == 2
    assert "another run is going on in runs/toy: wait for it, or name" in refused[0].stderr
    assert record_of("runs/toy")["state"] == "finished"
    start("toy")


# ----------------------------------------------------------------------------------------- verify


def test_verify_counts_the_seeds_and_fails_with_a_claim(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["verify", "toy", "--seeds", "2", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert "toy    both learn    2 of 2 seeds  >= 0" in out
    assert "toy    nobody knows  not judged    reported" in out
    assert record_of("runs/verify/toy-6")["config"]["seed"] == 6

    def broken(run, points):
        toy_measure(run, points)
        run.claims[1]["holds"] = run.config.seed != 6

    toy_measure = toy.measure
    monkeypatch.setattr(toy, "measure", broken)
    assert command.main(["verify", "toy", "--seeds", "2", "--seed", "5"]) == 1
    assert "toy    both learn    1 of 2 seeds  >= 0" in capsys.readouterr().out
    written = json.loads(Path("runs/verify/claims.json").read_text())["claims"]
    (learns,) = (claim for claim in written if claim["id"] == "learns")
    assert learns["holds"] == {"5": True, "6": False}
    assert list(learns["measured"]) == ["5", "6"]


def test_a_failed_claim_is_printed_as_failed(start, capsys):
    start("toy", "--spoil", "claim")
    assert any(line.endswith("  NO") for line in capsys.readouterr().out.splitlines())
    assert record_of("runs/toy")["claims"][1]["holds"] is False


def test_a_failed_claim_of_a_default_run_is_exit_code_1(start):
    assert command.main(["toy"]) == 0
    assert command.main(["toy", "--spoil", "claim"]) == 1
    assert command.main(["toy", "--spoil", "claim", "--smoke"]) == 0


@pytest.mark.parametrize(
    ("options", "known", "holds", "threshold"),
    [
        ([], (), True, ">= 0"),
        ([], ("points", "lines"), True, ">= 0"),
        ([], ("lines", "planes"), None, ">= 0, on lines or planes"),
        (["--smoke"], ("points",), None, ">= 0"),
        (["--full"], ("points",), None, ">= 0, in a default run"),
        (["--full"], ("lines",), None, ">= 0, on lines"),
    ],
)
def test_a_claim_is_judged_where_its_threshold_was_made(
    start, monkeypatch, options, known, holds, threshold
):
    monkeypatch.setattr(toy, "PAPER", dataclasses.replace(toy.PAPER, judged_on=known))
    exact, learns, reported = start("toy", *options).claims
    assert exact["holds"] is True and exact["threshold"] == "difference = 0"
    assert (learns["holds"], learns["threshold"]) == (holds, threshold)
    assert (reported["holds"], reported["threshold"]) == (None, "reported")


def test_a_claim_may_be_about_one_data_set(start, monkeypatch):
    """As in AlexNet, (a) on the data of --data, (b) on digits."""
    run = start("toy")
    monkeypatch.setattr(run, "paper", dataclasses.replace(toy.PAPER, judged_on=("lines",)))
    for name in ("points", "lines"):
        about = {"metric": "m", "ours": [1.0], "on": SimpleNamespace(name=name)}
        run.claim(name, "one", ">= 0", True, **about)
    assert [claim["holds"] for claim in run.claims[-2:]] == [None, True]


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize("path", sorted((ROOT / "papers").glob("*.py")), ids=lambda p: p.name)
def test_files_stay_readable(path):
    lines = len(path.read_text().splitlines())
    assert lines <= (300 if path.name.startswith("_") else 350)


# ------------------------------------------------------------------------------------------ report


def page_of(folder="runs"):
    return (Path(folder) / "index.html").read_text()


def test_the_page_of_all_runs(start, monkeypatch, capsys):
    monkeypatch.setattr(_report, "measured_at_this_commit", lambda name, record: True)
    assert command.main(["report"]) == 0
    assert capsys.readouterr().out == "runs/index.html\n"
    assert "Not measured yet: <code>python -m papers toy</code>" in page_of()
    start("toy", "--spoil", "claim")
    assert command.main(["report"]) == 0
    page = page_of()
    assert page.index("ImageNet classification") < page.index("Toys")
    assert '<td class="yes">holds</td>' in page  # 1 is 1
    assert '<td class="no">does not hold</td>' in page  # both learn
    assert '<td class="open">reported, not judged</td>' in page
    assert "&gt;= 0" in page and "0.9 (table 1, large)" in page
    assert '<img src="toy/figure.png"' in page
    assert "data: points (made)" in page
    assert "1 claims hold, 1 do not, 1 are reported" in page


def test_the_page_says_what_was_not_measured_at_this_commit(start):
    start("toy")
    path = Path("runs/toy/metrics.json")
    path.write_text(json.dumps(record_of("runs/toy") | {"dirty": True}))
    assert command.main(["report"]) == 0
    assert "not measured at this commit" in page_of() and 'class="yes"' not in page_of()


def test_a_record_is_of_this_commit_until_the_paper_changes(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    shared, engine = "papers/_shared.py", "minidl/tape.py"
    for name in ("papers/toy.py", "papers/other.py", shared, engine):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git("add", ".")
    git("commit", "-qm", "papers")
    record = {"commit": git("rev-parse", "--short", "HEAD"), "dirty": False}
    monkeypatch.setattr(_report, "__file__", str(tmp_path / "papers/_report.py"))
    (tmp_path / "papers/other.py").write_text("2\n")
    git("commit", "-qam", "another")
    assert _report.measured_at_this_commit("toy", record)
    assert not _report.measured_at_this_commit("other", record)
    assert not _report.measured_at_this_commit("toy", record | {"dirty": True})
    assert not _report.measured_at_this_commit("toy", record | {"commit": None})
    for name in ("papers/toy.py", shared, engine):
        (tmp_path / name).write_text("2\n")
        assert not _report.measured_at_this_commit("toy", record)
        (tmp_path / name).write_text("1\n")
    assert _report.measured_at_this_commit("toy", record)


def test_runs_of_other_papers_and_sizes_are_not_taken_for_the_default_one(start, capsys):
    start("toy", "--smoke", "--out", "runs/toy")
    start("toy", "--full", "--out", "runs/dropout")
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out.count("last run: none yet") == 3
    assert command.main(["report"]) == 0
    assert page_of().count("Not measured yet") == 3
    assert "dropout (full, seed 0): finished on" in page_of().partition('id="toy"')[2]


def test_names_of_folders_are_text(start):
    start("toy", "--out", "runs/<b>&")
    assert command.main(["report"]) == 0
    assert "&lt;b&gt;&amp; (default" in page_of() and "<b>" not in page_of()


def test_the_page_lists_the_other_runs(start, monkeypatch):
    start("toy", "--smoke", "--out", "runs/small")
    assert command.main(["verify", "toy", "--seeds", "2", "--seed", "5"]) == 0
    assert command.main(["report"]) == 0
    assert "verify/toy-6 (default, seed 6): finished on" in page_of()
    assert "small" not in page_of()
