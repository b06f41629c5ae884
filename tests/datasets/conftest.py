"""A web server on this machine that can misbehave, and a MNIST of a few images."""

import gzip
import hashlib
import http.server
import struct
import threading
from dataclasses import replace

import numpy as np
import pytest

from minidl.datasets import catalog
from minidl.datasets.files import File


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def idx_bytes(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        data = server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        if start and server.resumes:
            self.send_response(206)
            first = start + server.shift
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            data = data[first:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """Serves `server.files` {path: bytes}; `server.url` is its address.

    `cut`: close the connection after that many bytes. `resumes`: honour Range requests.
    `shift`: answer them from so many bytes too late.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.files, server.requests = {}, []
    server.cut, server.resumes, server.shift = None, True, 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class TinyMnist:
    """Four IDX files: 20 training and 10 test images of 5x4 pixels."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.train_images = rng.integers(0, 256, (20, 5, 4), dtype=np.uint8)
        self.train_labels = rng.integers(0, 10, 20)
        self.test_images = rng.integers(0, 256, (10, 5, 4), dtype=np.uint8)
        self.test_labels = rng.integers(0, 10, 10)
        self.raw = {
            "train-images-idx3-ubyte": idx_bytes(self.train_images),
            "train-labels-idx1-ubyte": idx_bytes(self.train_labels),
            "t10k-images-idx3-ubyte": idx_bytes(self.test_images),
            "t10k-labels-idx1-ubyte": idx_bytes(self.test_labels),
        }
        self.packed = {name + ".gz": gzip.compress(raw, 9) for name, raw in self.raw.items()}

    def files(self, *mirrors: str) -> tuple[File, ...]:
        return tuple(
            File(
                name,
                sha256(data),
                tuple(f"{mirror}/{name}" for mirror in mirrors),
                sha256(self.raw[name.removesuffix(".gz")]),
            )
            for name, data in self.packed.items()
        )

    def check(self, data):
        """The arrays of an ImageSet are exactly these."""
        for part in ("train", "test"):
            images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
            assert images.dtype == np.uint8 and labels.dtype == np.int64
            np.testing.assert_array_equal(images, getattr(self, f"{part}_images")[:, None])
            np.testing.assert_array_equal(labels, getattr(self, f"{part}_labels"))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """`load("mnist")` expects the tiny files; no mirrors until `tiny.serve_from(...)`."""
    tiny = TinyMnist()
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "data"))
    tiny.folder = tmp_path / "data" / "mnist"

    def serve_from(*mirrors):
        entry = replace(catalog.SETS["mnist"], files=tiny.files(*mirrors))
        monkeypatch.setitem(catalog.SETS, "mnist", entry)

    def write(files):
        tiny.folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (tiny.folder / name).write_bytes(data)

    tiny.serve_from, tiny.write = serve_from, write
    serve_from()
    return tiny
