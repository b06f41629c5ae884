"""Files of a data set: where they lie, and the proof that they are the right ones."""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path


class MissingData(FileNotFoundError):
    """A data set is not here and could not be fetched. `reason` is one short line."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


class CorruptData(ValueError):
    """A file is there but is not the published one. It is never used and never deleted."""


@dataclass(frozen=True)
class File:
    """A published file: its name, its mirrors, and the sha256 that proves it.

    A gzip file can be packed again without changing what is in it, so for `.gz` files
    `content_sha256`, that of the unzipped bytes, decides; `sha256` is that of the published file.
    """

    name: str
    sha256: str
    urls: tuple[str, ...] = ()
    content_sha256: str = ""


def data_folder() -> Path:
    """The folder that holds one subfolder per data set: `MINIDL_DATA`, or `~/.cache/minidl`."""
    return Path(os.environ.get("MINIDL_DATA") or Path.home() / ".cache" / "minidl")


def locate(folder: Path, file: File) -> Path | None:
    """The path of `file` in `folder`, packed or already unzipped; None when it is not there."""
    names = [file.name]
    if file.content_sha256:
        names.append(file.name.removesuffix(".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_verified(path: Path, file: File) -> tuple[bytes, str]:
    """The content of `path` (unzipped) and its sha256, after comparing it with `file`.

    Raises CorruptData, naming the file and both hashes, when it is damaged, cut short or another
    file of the same name.
    """
    data = path.read_bytes()
    expected = file.sha256
    if file.content_sha256:
        expected = file.content_sha256
        if path.suffix == ".gz":
            try:
                data = gzip.decompress(data)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                found = hashlib.sha256(data).hexdigest()
                raise _corrupt(path, f"cannot be unzipped ({error})", file.sha256, found) from None
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise _corrupt(path, "has the wrong content", expected, found)
    return data, found


def _corrupt(path: Path, what: str, expected: str, found: str) -> CorruptData:
    return CorruptData(
        f"{path} {what}: it is damaged, cut short or another file, and was not used.\n"
        f"  expected sha256 {expected}\n"
        f"  found    sha256 {found}\n"
        "Move it away or replace it with the published file; without it, it is downloaded again."
    )
