"""The stand-in's cupyx.scipy.special; see `standin_module.py`."""

from .standin_module import special

_module = special()


def __getattr__(name: str):
    return getattr(_module, name)
