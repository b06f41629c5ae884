"""NVIDIA's compiler takes every CUDA source, with every instance that can be launched."""

import re

import pytest

from minidl import kernels
from minidl.kernels.cuda import OPTIONS
from tests.gpu import nvrtc
from tests.gpu.sources import FILES, needs_nvrtc, source

pytestmark = needs_nvrtc


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_compiles_without_a_word(file, arch):
    log, cubin = nvrtc.compiled(source(file).code, source(file).instances, arch, OPTIONS)
    assert log == ""
    assert cubin.startswith(b"\x7fELF")


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_of_a_source_has_instances(file):
    """A kernel without one is neither compiled nor tested."""
    declared = {name.partition("<")[0] for name in source(file).instances}
    assert declared == set(
        re.findall(r"__global__ void (?:__\w+\(\w+\) )?(\w+)", source(file).code)
    )
    assert len(set(source(file).instances)) == len(source(file).instances)


def test_every_kernel_of_the_registry_has_a_source():
    assert {*kernels.CUDA.values(), *kernels.CUDA_FUNCTIONS.values()} == set(FILES)


def test_an_error_is_an_error():
    with pytest.raises(nvrtc.CompileError, match='identifier "y" is undefined'):
        nvrtc.compiled("__global__ void f(float* x) { *x = y; }", ["f"], 80, ())


def test_a_missing_instance_is_an_error():
    with pytest.raises(nvrtc.CompileError):
        nvrtc.compiled("__global__ void f(float* x) { *x = 1; }", ["g<float>"], 80, ())


def test_a_warning_is_in_the_log():
    code = "__global__ void f(float* x) { int unused; *x = 1; }"
    assert "never referenced" in nvrtc.compiled(code, ["f"], 70, ())[0]
