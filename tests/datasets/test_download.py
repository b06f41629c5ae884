"""Downloads from a server on this machine: resumed, checked, and given up in time."""

import hashlib
import random
import socket
import threading
import time

import pytest

from minidl import datasets
from minidl.datasets import download
from minidl.datasets.download import DownloadError, fetch

BODY = random.Random(0).randbytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def silent():
    """The address of a server that takes the connection and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refused():
    """The address of a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetches_and_names_the_file_last(server, tmp_path):
    server.files["/a"] = BODY
    fetch((server.url + "/a",), tmp_path / "new" / "a", HASH)
    assert (tmp_path / "new" / "a").read_bytes() == BODY
    assert names(tmp_path / "new") == ["a"]


def test_says_what_it_fetches_and_from_where(server, tmp_path, capsys):
    server.files["/a"] = BODY
    fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert f"downloading a from 127.0.0.1:{server.server_port} to {tmp_path}" in (
        capsys.readouterr().err
    )


def test_cut_transfer_is_kept_and_resumed(server, tmp_path):
    server.files["/a"] = BODY
    server.cut = 100_000
    with pytest.raises(DownloadError, match=r"closed after 100,000 of 300,000 bytes.*a\.part"):
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert names(tmp_path) == ["a.part"]
    server.cut = None
    fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY and names(tmp_path) == ["a"]
    assert server.requests == [("/a", None), ("/a", "bytes=100000-")]


def test_second_mirror_goes_on_where_the_first_stopped(server, tmp_path):
    server.files["/a"] = BODY
    server.cut = 200_000
    fetch((server.url + "/a", server.url + "/a"), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.requests == [("/a", None), ("/a", "bytes=200000-")]


def test_server_without_ranges_starts_anew(server, tmp_path):
    server.files["/a"] = BODY
    server.resumes = False
    (tmp_path / "a.part").write_bytes(BODY[:1000])
    fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.requests == [("/a", "bytes=1000-")]


def test_server_with_the_wrong_range_is_not_believed(server, tmp_path):
    server.files["/a"] = BODY
    server.shift = 5
    (tmp_path / "a.part").write_bytes(BODY[:1000])
    with pytest.raises(DownloadError, match="bytes from 1000 on"):
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert (tmp_path / "a.part").read_bytes() == BODY[:1000]


def test_finished_part_needs_no_network(tmp_path):
    (tmp_path / "a.part").write_bytes(BODY)
    fetch((), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY and names(tmp_path) == ["a"]


def test_part_of_another_file_is_set_aside_and_the_next_try_works(server, tmp_path):
    server.files["/a"] = BODY
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match=f"expected sha256 {HASH}, found"):
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert names(tmp_path) == ["a.corrupt"]
    fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY


def test_part_longer_than_the_file_is_set_aside(server, tmp_path):
    server.files["/a"] = BODY
    (tmp_path / "a.part").write_bytes(BODY + b"more")
    fetch((server.url + "/a", server.url + "/a"), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY and names(tmp_path) == ["a", "a.corrupt"]


def test_wrong_bytes_are_never_given_the_name(server, tmp_path):
    server.files["/a"] = b"<html>please log in</html>"
    found = hashlib.sha256(server.files["/a"]).hexdigest()
    with pytest.raises(DownloadError) as error:
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert HASH in str(error.value) and found in str(error.value)
    assert names(tmp_path) == ["a.corrupt"]
    assert (tmp_path / "a.corrupt").read_bytes() == server.files["/a"]


def test_mirrors_are_tried_in_order(server, refused, tmp_path):
    server.files["/good"] = BODY
    server.files["/bad"] = b"other"
    urls = (refused + "/a", server.url + "/none", server.url + "/bad", server.url + "/good")
    fetch(urls, tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY


def test_all_failures_are_told(server, refused, tmp_path):
    with pytest.raises(DownloadError, match=r"refused.*; .*HTTP 404"):
        fetch((refused + "/a", server.url + "/none"), tmp_path / "a", HASH)


def test_read_only_folder_is_said_before_any_request(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="read-only"):
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert server.requests == []


def test_stalled_transfer_ends_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stall():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 9)
                done.wait(10)

        thread = threading.Thread(target=stall)
        thread.start()
        start = time.monotonic()
        with pytest.raises(DownloadError, match="timed out"):
            fetch((f"http://127.0.0.1:{listener.getsockname()[1]}/a",), tmp_path / "a", HASH)
        assert time.monotonic() - start < 3
        done.set()
        thread.join()
    assert names(tmp_path) == ["a.part"]


def test_gives_up_within_five_seconds_when_nothing_answers(tiny, silent):
    """The real limit, with two mirrors and four files."""
    tiny.serve_from(silent, silent)
    start = time.monotonic()
    with pytest.raises(datasets.MissingData, match=r"no answer in 2\.0 s; .*no answer in 2\.\d s"):
        datasets.load("mnist")
    assert time.monotonic() - start < 5


def test_quick_refusal_leaves_its_time_to_the_next_mirror(silent, refused, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.6)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"refused.*no answer in 0\.6 s"):
        fetch((refused + "/a", silent + "/a"), tmp_path / "a", HASH)
    assert 0.5 < time.monotonic() - start < 1.5


def test_gives_up_on_a_name_lookup_that_hangs(tmp_path, monkeypatch):
    """getaddrinfo knows no timeout."""
    awake = threading.Event()

    def hang(*args, **kwargs):
        awake.wait(10)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.4)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        fetch(("http://nowhere.invalid/a", "http://nobody.invalid/a"), tmp_path / "a", HASH)
    assert time.monotonic() - start < 2
    awake.set()


def test_late_answer_is_closed(server, tmp_path, monkeypatch):
    """An answer that comes after giving up must not leave an open connection behind."""
    opened = []
    import urllib.request

    real = urllib.request.urlopen
    wait = threading.Event()

    def slow(*args, **kwargs):
        response = real(*args, **kwargs)
        opened.append(response)
        wait.wait(10)
        return response

    server.files["/a"] = BODY
    monkeypatch.setattr(urllib.request, "urlopen", slow)
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    with pytest.raises(DownloadError, match="no answer"):
        fetch((server.url + "/a",), tmp_path / "a", HASH)
    wait.set()
    for thread in threading.enumerate():
        if thread.name == "minidl-download":
            thread.join()
    assert [response.closed for response in opened] == [True]


def test_without_tqdm(server, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    server.files["/a"] = BODY
    fetch((server.url + "/a",), tmp_path / "a", HASH)
    assert (tmp_path / "a").read_bytes() == BODY


def test_load_downloads_what_is_missing_and_no_more(tiny, server):
    server.files = {f"/m/{name}": data for name, data in tiny.packed.items()}
    tiny.serve_from(server.url + "/m")
    kept = dict(list(tiny.packed.items())[:1])
    tiny.write(kept)
    data = datasets.load("mnist")
    tiny.check(data)
    assert data.source == f"download to {tiny.folder}"
    assert len(server.requests) == 3
    again = datasets.load("mnist")
    tiny.check(again)
    assert again.source == f"data folder {tiny.folder}" and len(server.requests) == 3


def test_failed_download_falls_back_and_says_so(tiny, server):
    tiny.serve_from(server.url + "/m")
    data = datasets.load("mnist", fallback=True)
    assert data.name == "mnist-5k"
    assert "no download (127.0.0.1" in data.line() and "HTTP 404" in data.line()


def test_download_false_asks_nobody(tiny, server):
    tiny.serve_from(server.url + "/m")
    assert datasets.load("mnist", fallback=True, download=False).name == "mnist-5k"
    assert server.requests == []
