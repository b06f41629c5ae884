"""The type stubs are what `make_stub.py` writes, and name nothing that they do not know."""

import ast
import builtins

import make_stub
import pytest

STUBS = make_stub.stubs()


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_the_stub_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == STUBS[path], "run: python tests/make_stub.py"


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_every_name_in_an_annotation_is_known(path):
    tree = ast.parse(STUBS[path])
    known = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= {(name.asname or name.name).split(".")[0] for name in node.names}
        elif isinstance(node, ast.ClassDef):
            known.add(node.name)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assigned = {n.target.id for n in ast.walk(tree) if isinstance(n, ast.AnnAssign)}
    properties = {name for name in used if hasattr(make_stub.Tensor, name)}  # @shape.setter
    assert used - known - assigned - properties == set()
