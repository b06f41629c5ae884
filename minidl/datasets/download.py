"""Fetching a file: resumable, checked against its sha256, and never waiting for a dead network."""

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Together, the mirrors of a file have this long to answer: name look-up, connection, headers.
ANSWER_SECONDS = 4.0
# Once a mirror has answered, this long without a byte ends the transfer.
STALL_SECONDS = 20.0
CHUNK = 1 << 16


class DownloadError(OSError):
    """No mirror gave the file; the message has what each of them said."""


def fetch(urls: tuple[str, ...], path: Path, sha256: str) -> None:
    """Download `path` from the first of `urls` that has the bytes with this sha256.

    The bytes go to `<path>.part` and get their name only when the hash is right. A transfer that
    was cut off leaves the `.part` file, and the next call goes on from there. Bytes with another
    hash are kept as `<path>.corrupt` and reported with both hashes.

    Raises DownloadError, after ANSWER_SECONDS in total when nothing answers; PermissionError when
    the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} is read-only")
    if part.exists() and _sha256(part) == sha256:  # ended between the last byte and the new name
        os.replace(part, path)
        return
    patience = ANSWER_SECONDS
    problems = []
    for i, url in enumerate(urls):
        host = url.split("/")[2]
        print(f"downloading {path.name} from {host} to {path.parent}", file=sys.stderr, flush=True)
        start = time.monotonic()
        try:
            response = _open(url, _size(part), patience / (len(urls) - i))
        except _network_errors() as error:
            patience = max(0.0, patience - (time.monotonic() - start))
            problems.append(f"{host}: {_explain(error, part, path)}")
            continue
        patience = max(0.0, patience - (time.monotonic() - start))
        try:
            with response:
                _receive(response, part, path.name)
        except _network_errors() as error:
            problems.append(f"{host}: {error} (kept {part.name}, the next try goes on from there)")
            continue
        found = _sha256(part)
        if found == sha256:
            os.replace(part, path)
            return
        problems.append(
            f"{host}: sent other bytes (expected sha256 {sha256}, found {found}; "
            f"kept as {_set_aside(part, path)})"
        )
    raise DownloadError("; ".join(problems))


def _open(url: str, offset: int, seconds: float):
    """The answer to a request for the bytes from `offset` on, or TimeoutError after `seconds`.

    The look-up of a name cannot be given a timeout, so the request runs in a thread that is
    left behind when it takes too long.
    """
    from concurrent.futures import Future
    from concurrent.futures import TimeoutError as Late
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "minidl"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(urlopen(Request(url, headers=headers), timeout=STALL_SECONDS))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="minidl-download", daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except Late:
        answer.add_done_callback(_close_late)
        raise TimeoutError(f"no answer in {seconds:.1f} s") from None


def _close_late(answer) -> None:
    if answer.exception() is None:
        answer.result().close()


def _receive(response, part: Path, name: str) -> None:
    """Append the body to `part`, or start it anew when the server does not resume."""
    offset = _size(part)
    resumed = response.status == 206
    if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise OSError(f"asked for the bytes from {offset} on, got others")
    done = offset if resumed else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    with open(part, "ab" if resumed else "wb") as file, _progress(name, done, total) as advance:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            advance(len(chunk))
    if total is not None and _size(part) < total:
        raise OSError(f"the connection closed after {_size(part):,} of {total:,} bytes")


@contextmanager
def _progress(name: str, done: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """A tqdm bar when tqdm is installed and the screen is a terminal, else nothing."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda count: None
        return
    with tqdm(desc=name, initial=done, total=total, unit="B", unit_scale=True, disable=None) as bar:
        yield bar.update


def _network_errors() -> tuple[type[Exception], ...]:
    from http.client import HTTPException

    return OSError, HTTPException


def _explain(error: Exception, part: Path, path: Path) -> str:
    """What went wrong before the first byte, in words; a useless `.part` is set aside."""
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        error.close()
        if error.code == 416:
            return f"has no more bytes than {part.name}; kept as {_set_aside(part, path)}"
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(error.reason)
    return str(error)


def _set_aside(part: Path, path: Path) -> str:
    corrupt = path.with_name(path.name + ".corrupt")
    os.replace(part, corrupt)
    return corrupt.name


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
