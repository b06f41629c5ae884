"""`python -m minidl run`: a file written for PyTorch, untouched; what it leaves behind."""

import subprocess
import sys
import textwrap

import pytest
from printed import errors_in


def run(tmp_path, script, *arguments):
    """Runs the script in a process of its own: (exit code, what it printed, errors)."""
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(script))
    command = [sys.executable, "-m", "minidl", "run", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, errors_in(done.stderr)


TRAINING = """
    import sys
    import torch
    import torch.backends.cudnn as cudnn
    import torch.nn as nn
    import torch.nn.functional as F
    from torch.nn.parameter import Parameter
    from torch.utils.data import DataLoader, TensorDataset

    cudnn.benchmark = True
    torch.manual_seed(0)
    net = torch.compile(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
    x = torch.randn(64, 4)
    y = (x.sum(1) > 0).long()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-2)
    for _ in range(20):
        for xb, yb in DataLoader(TensorDataset(x, y), 16, shuffle=True, pin_memory=True):
            loss = F.cross_entropy(net(xb), yb)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    print((net(x).argmax(1) == y).float().mean().item() > 0.95)
    print(isinstance(net[0].weight, Parameter), torch.nn.Linear is nn.Linear)
    print(__name__, sys.argv[1:])
"""


def test_a_training_script_runs_untouched(tmp_path):
    code, printed, errors = run(tmp_path, TRAINING, "--epochs", "3")
    assert (code, errors) == (0, "")
    assert printed.splitlines() == ["True", "True True", "__main__ ['--epochs', '3']"]


def test_modules_are_minidls_own_and_keep_their_name(tmp_path):
    code, printed, errors = run(
        tmp_path,
        """
        import torch.nn.functional, minidl.nn.functional, importlib
        print(torch is minidl, torch.nn.functional is minidl.nn.functional)
        print(minidl.__spec__.name, minidl.nn.__spec__.name)
        """,
    )
    assert (code, errors) == (0, "")
    assert printed.splitlines() == ["True True", "minidl minidl.nn"]


def test_pytorchs_inner_modules_that_models_import(tmp_path):
    code, printed, errors = run(
        tmp_path,
        """
        from torch.nn.modules.utils import _pair
        from torch.nn.modules.batchnorm import BatchNorm2d
        from torch.nn import BatchNorm2d as same
        from torch.utils._pytree import tree_map
        print(_pair(3), _pair((1, 2)), BatchNorm2d is same, tree_map(abs, {"a": [-1, -2]}))
        """,
    )
    assert (code, errors) == (0, "")
    assert printed == "(3, 3) (1, 2) True {'a': [1, 2]}\n"


def test_files_beside_the_script_are_found(tmp_path):
    (tmp_path / "model.py").write_text("import torch\nx = torch.ones(2)\n")
    code, printed, _ = run(tmp_path, "from model import x\nprint(x.sum().item())")
    assert (code, printed) == (0, "2.0\n")


def test_a_missing_module_is_named(tmp_path):
    code, _, errors = run(tmp_path, "import torch.fft")
    assert code == 1
    assert "torch.fft: minidl has no module 'minidl.fft'" in errors


def test_a_missing_function_names_the_nearest(tmp_path):
    code, _, errors = run(tmp_path, "import torch\ntorch.softmaxx")
    assert code == 1
    assert "minidl has no 'softmaxx'. Did you mean" in errors
    assert "softmax" in errors


def test_no_script_is_misuse(tmp_path):
    command = [sys.executable, "-m", "minidl", "run", str(tmp_path / "nothing.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_that_misses_a_file_of_its_own_fails_as_in_python(tmp_path):
    code, _, errors = run(tmp_path, "open('data.txt')")
    assert code == 1
    assert "FileNotFoundError" in errors


def test_a_script_that_fails_shows_its_own_line(tmp_path):
    code, _, errors = run(tmp_path, "import torch\ntorch.ones(2) + torch.ones(3)")
    assert code == 1
    assert "train.py" in errors


def test_it_refuses_when_pytorch_is_already_there(monkeypatch, tmp_path):
    from minidl.run import run as run_here

    path = tmp_path / "script.py"
    path.write_text("")
    monkeypatch.setitem(sys.modules, "torch", object())
    with pytest.raises(RuntimeError, match="already imported"):
        run_here(str(path), [])
