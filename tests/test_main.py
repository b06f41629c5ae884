"""python -m minidl: the verbs, what doctor sees, exit codes."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minidl.device
from minidl import __main__ as command_line
from minidl.datasets.catalog import SETS
from minidl.testing import standin_module

devices = sys.modules["minidl.device"]  # `minidl.device` itself is PyTorch's class


@pytest.fixture
def rows(capsys, monkeypatch):
    """Runs doctor and returns its lines as {name: state}; those of the data sets by their name."""

    def run(data_folder):
        monkeypatch.setenv("MINIDL_DATA", str(data_folder))
        assert command_line.main(["doctor"]) == 0
        lines = capsys.readouterr().out.splitlines()
        return dict(line.strip().split(maxsplit=1) for line in lines)

    return run


def test_without_a_verb_it_says_what_to_type(capsys):
    assert command_line.main([]) == 0
    text = capsys.readouterr().out
    assert "python -m minidl doctor " in text
    for path in re.findall(r"python (\S+\.py)", text):
        assert (Path(__file__).parents[1] / path).exists()


@pytest.mark.parametrize("arguments", [["fly"], ["doctor", "--wings"]])
def test_misuse_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        command_line.main(arguments)
    assert exit.value.code == 2
    assert "usage: minidl" in capsys.readouterr().err


def test_doctor_names_what_is_installed(rows, tmp_path):
    found = rows(tmp_path)
    assert found["python"].startswith(sys.version.split()[0])
    assert found["numpy"].startswith(np.__version__)
    assert re.search(r"blas.*, \d+ threads", found["numpy"])
    assert list(found)[-1] == "caches"


def test_doctor_on_kernels(rows, tmp_path, monkeypatch):
    from minidl import kernels

    assert "kernels on, for" in rows(tmp_path)["numba"]
    with kernels.disabled():
        assert "kernels off: unset MINIDL_KERNELS" in rows(tmp_path)["numba"]
    monkeypatch.setattr(command_line, "version", lambda package: None)
    assert "pip install numba" in rows(tmp_path)["numba"]


def test_doctor_on_the_gpu(rows, tmp_path, monkeypatch):
    known = dict(devices._by_type)
    known.pop("cuda", None)
    monkeypatch.setattr(devices, "_by_type", known)
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if not installed
    monkeypatch.setattr(command_line, "driver_version", lambda: 0)
    monkeypatch.setattr(command_line.metadata, "distributions", lambda: [])
    found = rows(tmp_path)
    assert "pip install 'minidl[cuda12]'" in found["cupy"]
    assert "https://www.nvidia.com/drivers" in found["driver"]
    assert found["gpu"].startswith("none. device 'cuda' needs CuPy")

    monkeypatch.setattr(command_line, "driver_version", lambda: 13010)
    found = rows(tmp_path)
    assert "pip install 'minidl[cuda13]'" in found["cupy"]
    assert found["driver"] == "knows CUDA 13.1"
    monkeypatch.setattr(command_line, "driver_version", lambda: 11040)
    assert "11.4: too old" in rows(tmp_path)["driver"]

    both = [SimpleNamespace(metadata={"Name": n}) for n in ("cupy-cuda12x", "cupy-cuda13x")]
    monkeypatch.setattr(command_line.metadata, "distributions", lambda: both)
    assert "uninstall all but one" in rows(tmp_path)["cupy"]
    with standin_module.registered():
        assert rows(tmp_path)["gpu"] == "cuda:0 stand-in, cuda:1 stand-in"


def test_doctor_on_a_cupy_that_cannot_be_imported(rows, tmp_path, monkeypatch):
    known = {name: found for name, found in devices._by_type.items() if name != "cuda"}
    monkeypatch.setattr(devices, "_by_type", known)
    monkeypatch.delenv("MINIDL_CUDA", raising=False)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for error in ("OSError", "ImportError"):
        (tmp_path / "cupy.py").write_text(f"raise {error}('libnvrtc.so is not there')")
        assert rows(tmp_path)["gpu"].startswith(
            f"none. device 'cuda': CuPy is installed, but cannot be imported: {error}: libnvrtc"
        )


def test_doctor_on_a_wrong_choice(rows, tmp_path, monkeypatch):
    known = {name: found for name, found in devices._by_type.items() if name != "cuda"}
    monkeypatch.setattr(devices, "_by_type", known)
    monkeypatch.setenv("MINIDL_CUDA", "Standin")
    assert "MINIDL_CUDA is 'Standin': expected 'standin'" in rows(tmp_path)["gpu"]


def test_doctor_on_data(rows, tmp_path, monkeypatch):
    found = rows(tmp_path)
    assert found["data"] == f"{tmp_path}  (from MINIDL_DATA)"
    assert set(SETS) <= set(found)
    assert found["mnist"] == "not yet here: downloaded at first use"
    assert "put it into cifar10_jpeg/" in found["cifar10-jpeg"]
    assert found["digits"] == "inside scikit-learn"

    (tmp_path / "mnist").mkdir()
    *others, last = SETS["mnist"].files
    for file in others:
        (tmp_path / "mnist" / file.name).touch()
    assert rows(tmp_path)["mnist"] == "not yet here: downloaded at first use"
    (tmp_path / "mnist" / last.name.removesuffix(".gz")).touch()
    assert rows(tmp_path)["mnist"] == "in the data folder"

    monkeypatch.setattr("minidl.datasets.packaged.package_folder", lambda name: None)
    assert rows(tmp_path)["digits"] == "missing: pip install scikit-learn"


def test_the_core_is_as_short_as_promised(capsys):
    assert command_line.main(["doctor", "--lines"]) == 0
    *files, total = capsys.readouterr().out.splitlines()
    folder = Path(minidl.__file__).parents[1]
    counted = 0
    for line in files:
        number, name = line.split()
        assert int(number) == len((folder / name).read_text().splitlines())
        counted += int(number)
    assert total.split()[0] == str(counted)
    assert total.endswith("at most 3000")


def test_a_longer_core_is_a_failure(capsys, monkeypatch):
    monkeypatch.setattr(command_line, "MOST_LINES", 100)
    assert command_line.main(["doctor", "--lines"]) == 1
