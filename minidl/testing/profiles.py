"""How many examples hypothesis tries: profiles for `pytest --hypothesis-profile=NAME`."""

from hypothesis import HealthCheck, settings

# No deadline: the first call of an op imports and compiles.
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

PROFILES = {
    "dev": settings(max_examples=20, **COMMON),
    "ci": settings(max_examples=100, print_blob=True, **COMMON),
    # The same submission gets the same grade: no random seed, and no memory of earlier failures.
    # One failure a test: hypothesis would raise several at once, of which only one is explained.
    "grading": settings(
        max_examples=100,
        derandomize=True,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        **COMMON,
    ),
}


def register() -> None:
    """Make `dev`, `ci` and `grading` known to hypothesis."""
    for name, profile in PROFILES.items():
        settings.register_profile(name, profile)
