"""minidl's training steps and ops against PyTorch's and JAX's: `python -m tests.benchmarks`."""
