"""What pytest loads by itself where minidl is installed: the options, and no import of minidl.

pytest imports this module in every run, in projects too that have nothing to do with minidl. The
plugin itself, `minidl.testing.plugin`, follows when an option asks for it or a test is a task. It
is a module of its own because `import minidl.testing.plugin` would import minidl and NumPy first,
before a conftest can set what NumPy reads from the environment. (Hypothesis does the same, in
`_hypothesis_pytestplugin`.)
"""

import pytest

OPS, REPORT, FEEDBACK = "minidl_ops", "minidl_report", "minidl_feedback"
PLUGIN = "minidl.testing.plugin"
LEVELS = ("what", "gap", "words")


def pytest_addoption(parser):
    group = parser.getgroup("minidl")
    group.addoption(
        "--minidl-ops",
        action="append",
        default=[],
        metavar="FILE",
        help="check every function that FILE registers with minidl.testing.register",
    )
    group.addoption(
        "--minidl-report", metavar="FILE", help="write points and feedback to FILE, as JSON"
    )
    group.addoption(
        "--minidl-feedback",
        choices=LEVELS,
        help="what to tell about a failure: that it is one (what), the input and both values "
        "(gap, the default), or what the mistake is, too (words)",
    )
    parser.addini(FEEDBACK, "as --minidl-feedback", default="gap")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """Profiles exist before a conftest, which may define its own by the same names."""
    options = early_config.known_args_namespace
    if getattr(options, "hypothesis_profile", None):
        from minidl.testing import profiles

        profiles.register()


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "task(name, points, title, needs, seconds): a task of an assignment, made by "
        "minidl.testing.task; `pytest -m \"task(name='3.2')\"` runs one",
    )
    if config.getini(FEEDBACK) not in LEVELS:
        raise pytest.UsageError(
            f"{FEEDBACK} is one of {', '.join(LEVELS)}, got {config.getini(FEEDBACK)!r}"
        )
    report = config.getoption(REPORT)
    if report:
        file = config.invocation_params.dir / report
        if file.is_dir() or not file.parent.is_dir():  # now, and not after all has been graded
            what = (
                "is a folder" if file.is_dir() else f"cannot be written: no {file.parent} is there"
            )
            raise pytest.UsageError(f"--minidl-report: {report} {what}")
    if config.getoption(OPS):
        _load(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if any(item.get_closest_marker("task") for item in items):
        from minidl.testing import tasks

        tasks.check_tasks(items)
        _load(config)


def _load(config):
    if not config.pluginmanager.has_plugin(PLUGIN):
        config.pluginmanager.import_plugin(PLUGIN)


def pytest_terminal_summary(terminalreporter, config):
    """Here and not in the plugin: with pytest-xdist, only the workers collect and load that."""
    reports = [r for rows in terminalreporter.stats.values() for r in rows]
    judged = any(name == "minidl" for r in reports for name, _ in getattr(r, "user_properties", ()))
    if judged or config.getoption(REPORT):
        from minidl.testing import report

        report.summarize(terminalreporter, reports)
