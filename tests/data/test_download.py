"""Fetching files from a server on this machine: whole and right, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reid_data.download import download
from reid_data.errors import EnvironmentFault

CONTENT = bytes(range(256)) * 12_000
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT at /whole, without its length at /unsaid, half of it at /half, and nothing elsewhere."""

    def do_GET(self) -> None:
        if self.path not in ("/whole", "/unsaid", "/half"):
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unsaid":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // (2 if self.path == "/half" else 1)])

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the server listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch(url: str, target: Path, *, sha256: str = RIGHT, num_bytes: int = len(CONTENT)) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    download(
        url,
        target,
        sha256=sha256,
        num_bytes=num_bytes,
        otherwise="choose another",
        progress=lambda *numbers: seen.append(numbers),
    )
    return seen


@pytest.mark.parametrize(("name", "total"), [("whole", len(CONTENT)), ("unsaid", 0)])
def test_the_right_file_arrives_and_progress_is_told(address: str, tmp_path: Path, name: str, total: int) -> None:
    (tmp_path / "x").write_bytes(b"old")
    seen = fetch(f"{address}/{name}", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert (seen[-1], {all_ for _, all_ in seen}) == ((len(CONTENT), total), {total})
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("whole", {"sha256": "0" * 64}, f"gave a file with sha256 {RIGHT}, expected sha256 0000.*discarded. Try again"),
        ("whole", {"num_bytes": 2_000_000}, r"sends more than 2 MB; stopped"),
        ("half", {}, rf"cannot fetch .*: .*ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes.*Copy the file to"),
        ("none", {}, r"cannot fetch http.*/none: .*404.*Copy the file to '.*/x' from elsewhere, or choose another\.$"),
    ],
)
def test_what_fails_leaves_nothing(address: str, tmp_path: Path, name: str, options: dict, message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        fetch(f"{address}/{name}", tmp_path / "x", **options)
    assert list(tmp_path.iterdir()) == []


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot fetch http://127.0.0.1:9/x: .*or choose another\.$"):
        fetch("http://127.0.0.1:9/x", tmp_path / "x")


def test_a_full_disk_is_known_before(address: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="not enough space"):
        fetch(f"{address}/whole", tmp_path / "x", num_bytes=1 << 60)
    assert list(tmp_path.iterdir()) == []
