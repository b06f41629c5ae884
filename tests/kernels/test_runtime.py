"""What kernels need around them: threads, memory, the cache of compiled code."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.kernels import cpu
from minidl.kernels.cpu import cache, threads

ROOT = Path(__file__).parents[2]


def python(code: str, folder: Path = ROOT, **environment: str) -> str:
    """What a new Python process prints."""
    code = "import sys; sys.stderr = sys.stdout\n" + code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOP = """
import numpy as np, minidl
from minidl.kernels.cpu import threads
threads.GRAIN = 0  # every loop is cut
x = minidl.from_numpy(np.linspace(-3, 3, 40_000, dtype=np.float32).reshape(200, 200))
def loop():
    return minidl.softmax(x, 1).numpy()
expected = loop()
"""


# ------------------------------------------------------------------------------------- threads

FORKED = """
import os
pid = os.fork()
if pid == 0:
    os._exit(int(not (loop() == expected).all()))
print(threads.layer(), os.waitpid(pid, 0)[1])
"""
THREADED = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(lambda _: loop(), range(200)))
print(threads.layer(), all((r == expected).all() for r in results))
"""
NO_TBB = """
import ctypes
found = ctypes.CDLL
def missing(name, *args, **kwargs):
    if "tbb" in str(name):
        raise OSError("no such file")
    return found(name, *args, **kwargs)
ctypes.CDLL = missing
"""


def test_a_forked_process_can_run_loops():
    assert python(LOOP + FORKED).split()[-2:] == ["tbb", "0"]


def test_python_threads_can_run_loops_at_once():
    assert python(LOOP + THREADED).split()[-2:] == ["tbb", "True"]


def test_without_tbb():
    assert python(NO_TBB + LOOP + THREADED).split()[-2:] == ["workqueue", "True"]
    assert python(NO_TBB + LOOP + FORKED).split()[-2:] == ["workqueue", "0"]


def test_number_of_threads():
    before = minidl.get_num_threads()
    assert before == threads.count()
    try:
        minidl.set_num_threads(1)
        assert minidl.get_num_threads() == threads.count() == 1
        minidl.set_num_threads(1000)  # more than there are cores
        assert minidl.get_num_threads() == threads.count() == before
    finally:
        minidl.set_num_threads(before)
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"set_num_threads.*{wrong}"):
            minidl.set_num_threads(wrong)


def test_the_number_of_threads_is_kept_for_kernels_that_load_later():
    code = "import minidl; minidl.set_num_threads(1)\n"
    code += "from minidl.kernels.cpu import threads; print(threads.count())"
    assert python(code) == "1\n"


def test_a_limit_holds_in_every_python_thread():
    code = LOOP + THREADED + "import numba\n"
    code += """
minidl.set_num_threads(1)
def seen(_):
    loop()
    threads.run(lambda: None, ())
    return numba.get_num_threads()
with ThreadPoolExecutor(2) as pool:
    print(set(pool.map(seen, range(8))))
"""
    assert python(code).splitlines()[-1] == "{1}"


# -------------------------------------------------------------------------------------- memory

FAULTS = """
import resource, minidl
x = minidl.ones(3000, 3000, requires_grad=True)  # 36 MB, more than malloc keeps by itself
def step():
    x.grad = None
    minidl.softmax(x * 2, 1).sum().backward()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_no_page_faults_in_a_steady_loop():
    assert float(python(FAULTS).split()[-1]) < 20
    assert float(python(FAULTS, MINIDL_MALLOC="off").split()[-1]) > 1000


# --------------------------------------------------------------------------------------- cache

TWICE = """
import numpy as np, minidl
print(minidl.softmax(minidl.from_numpy(np.float32([[1, 2, 3]])), 1).numpy().sum())
minidl.log_softmax(minidl.from_numpy(np.float32([[1, 2, 3]])), 1)
"""


@pytest.fixture
def copy(tmp_path) -> Path:
    """A folder with a copy of minidl that has compiled nothing yet."""
    ignored = shutil.ignore_patterns("__pycache__", "testing", "datasets")
    shutil.copytree(ROOT / "minidl", tmp_path / "minidl", ignore=ignored)
    return tmp_path


def test_compiling_is_said_once_and_kept(copy):
    cold, warm = python(TWICE, copy), python(TWICE, copy)
    assert cold.count("compiling CPU kernels, kept in") == 1
    assert warm == "1.0\n"


BITS = """
import hashlib, numpy as np, minidl
from minidl.nn import functional as F
x = minidl.from_numpy(np.random.default_rng(0).standard_normal((90, 150)).astype(np.float32))
x.requires_grad_()
for f in (minidl.softmax, minidl.logsumexp, lambda x, _: F.layer_norm(x, (150,))):
    y = f(x, 1)
    (g,) = minidl.autograd.grad((y * y).sum(), x)
    for found in (y, g):
        print(hashlib.sha256(found.detach().numpy().tobytes()).hexdigest())
"""


def test_compiled_now_or_found_in_the_cache_the_bits_are_the_same(copy):
    cold, warm = python(BITS, copy), python(BITS, copy)
    assert cold.splitlines()[1:] == warm.splitlines()  # after the word that it compiles


NAMES_OF_KERNELS = """
import importlib, sys
from pathlib import Path
import minidl.kernels.cpu as cpu
files = sorted(path.stem for path in Path(cpu.__file__).parent.glob("[!_]*.py"))
modules = [importlib.import_module(f"{cpu.__name__}.{f}") for f in files[:: int(sys.argv[1])]]
for module in sorted(modules, key=lambda module: module.__name__):
    for name, value in sorted(vars(module).items()):
        if hasattr(value, "py_func"):
            print(module.__name__, name, value.py_func.__qualname__)
"""


def test_compiled_code_is_met_again_in_whatever_order_kernels_are_imported():
    """The name of a kernel, by which its code is kept, depends on its sources alone."""
    names = [
        subprocess.run(
            [sys.executable, "-c", NAMES_OF_KERNELS, order],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for order in ("1", "-1")
    ]
    assert names[0] == names[1]
    assert len(names[0].splitlines()) > 100


def test_code_compiled_from_a_changed_helper_is_not_met(copy):
    """softmax.py takes a function from another file; Numba's own cache watches only softmax.py."""
    helper = copy / "minidl/kernels/cpu/halves.py"
    helper.write_text("from . import jit\n@jit\ndef changed(x): return x\n")
    file = copy / "minidl/kernels/cpu/user.py"
    file.write_text(
        "from . import jit\nfrom .halves import changed\n@jit\ndef run(x): return changed(x)\n"
    )
    code = "from minidl.kernels.cpu.user import run; print(run(3.0))"
    assert python(code, copy).split()[-1] == "3.0"
    helper.write_text("from . import jit\n@jit\ndef changed(x): return 2 * x\n")
    assert python(code, copy).split()[-1] == "6.0"


def test_two_processes_that_compile_at_the_same_time(tmp_path):
    """One finds its own code or none, never the other's."""

    class Ours(cache.Files):
        def _save_data(self, name, data):
            Theirs(str(tmp_path), "f", 0).save("theirs", "code of theirs")  # meanwhile
            super()._save_data(name, data)

    class Theirs(cache.Files):
        def _load_index(self):
            return {}  # as it was when both began

    Ours(str(tmp_path), "f", 0).save("ours", "code of ours")
    for key in ("ours", "theirs"):
        assert cache.Files(str(tmp_path), "f", 0).load(key) in (None, f"code of {key}")
    assert isinstance(cpu.jit(lambda x: x)._cache._cache_file, cache.Files)


def test_a_read_only_folder(copy, tmp_path):
    code = "import os\nos.access = lambda *_: False\n" + TWICE
    done = python(code, copy, TMPDIR=str(tmp_path))
    assert done.count("is read-only; compiled kernels are kept in") == 1
    assert list(tmp_path.glob("minidl-numba-*/**/*.nbi"))
    assert not list(copy.glob("minidl/**/*.nbi"))


def test_threads_give_the_same_bits():
    x = minidl.from_numpy(np.random.default_rng(0).standard_normal((300, 301)).astype(np.float32))
    expected = minidl.softmax(x, 1).numpy()
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda _: minidl.softmax(x, 1).numpy(), range(20)):
            np.testing.assert_array_equal(result, expected)
