"""Running pytest inside this process until a test fails."""

from __future__ import annotations

from importlib import util

import pytest
from hypothesis import HealthCheck, Phase, settings


def first_failure(tests: list[str]) -> str:
    """The name of the first test that fails, "" if all pass. tests: arguments of pytest."""
    # The same examples every time, no search for a small one, and no failure for being slow.
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("mutation")
    failures = _Failures()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    for warning in USED_ALREADY:
        options += ["-W", f"ignore::{warning}"]
    if util.find_spec("xdist"):
        options.append("-n0")
    status = pytest.main([*options, *tests], plugins=[failures])
    if status == pytest.ExitCode.OK:
        return ""
    return failures.first or f"pytest ({pytest.ExitCode(status).name.lower()})"


# Here pytest's plugins meet a hypothesis that has been imported, and used.
USED_ALREADY = (
    "pytest.PytestAssertRewriteWarning",
    "hypothesis.errors.HypothesisSideeffectWarning",
)


class _Failures:
    """A plugin that notes the first test that failed."""

    first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid.rsplit("::", 1)[-1]
