"""What pip installs is what lies in the folder."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_is_named():
    folders = {path.parent for path in (ROOT / "minidl").rglob("*.py")}
    elsewhere = {ROOT / folder for folder in SETUPTOOLS["package-dir"].values()}
    packages = {".".join(f.relative_to(ROOT).parts) for f in folders - elsewhere}
    assert set(SETUPTOOLS["packages"]) == packages | set(SETUPTOOLS["package-dir"])


def test_the_top_level_is_what_was_agreed():
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    made = {"runs", "build", "dist", "minidl.egg-info"}
    agreed = {"CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml"}
    assert shown - made == agreed | {"examples", "minidl", "papers", "tests"}
