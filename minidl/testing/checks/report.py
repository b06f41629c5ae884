"""An exception of what is checked, as the failure of the check."""

import traceback
from pathlib import Path

import minidl
from minidl.testing.errors import CheckError


def raised(error: Exception) -> CheckError:
    """The failure that an exception in a valid call is."""
    return CheckError(
        "", f"raises {type(error).__name__} for a valid call", gap=f"{error}\n{_place(error)}"
    )


def _place(error: Exception) -> str:
    """The last line of the user's code that ran, or of minidl's."""
    frames = traceback.extract_tb(error.__traceback__)
    minidl_folder = str(Path(minidl.__file__).parent)
    users = [
        f
        for f in frames
        if not f.filename.startswith((minidl_folder, "<")) and "-packages" not in f.filename
    ]
    frame = users[-1] if users else frames[-1]
    return f"in {frame.name} ({Path(frame.filename).name}:{frame.lineno}): {frame.line}"
