import errno
import gzip
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import Server, serving

from ilsvrc.runtime import download, http
from ilsvrc.runtime.disk import exclusive
from ilsvrc.runtime.download import Remote, fetch, mismatch

CONTENT = random.Random(0).randbytes(400_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
PLACE = Path("data/downloads/set/it.tar")


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(http, "STALL_S", 0.3)
    monkeypatch.setattr(http, "CHUNK_BYTES", 1000)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", download.MIRRORS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serving() as server:
        server.files["it.tar"] = CONTENT
        yield server


def remote(*addresses: str, checksum: str = f"md5:{MD5}", size: int | None = len(CONTENT)) -> Remote:
    return Remote("it.tar", checksum, size, addresses)


def of(server: Server, **changes) -> Remote:
    return remote(f"{server.address}/it.tar", **changes)


def nothing_wrong_stands_there() -> None:
    assert not PLACE.exists() or PLACE.read_bytes() == CONTENT
    assert {path.name for path in PLACE.parent.iterdir()} <= {".lock", "it.tar", "it.tar.checked", "it.tar.part"}


def test_a_file_is_fetched_once(server):
    assert fetch(of(server), "set") == PLACE
    assert PLACE.read_bytes() == CONTENT
    fetch(of(server), "set")
    assert server.asked == [("/it.tar", None)]
    assert sorted(path.name for path in PLACE.parent.iterdir()) == [".lock", "it.tar", "it.tar.checked"]


def test_a_sha256_and_the_md5_of_the_first_mib_hold_too(server):
    fetch(of(server, checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"), "set")
    fetch(of(server, checksum=f"md5_of_first_mib:{MD5}"), "other")


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        (["closes"], [None, "bytes=200000-"]),
        (["closes", "closes", "closes"], [None, "bytes=200000-", "bytes=300000-", "bytes=350000-"]),
        (["stalls"], [None, "bytes=200000-"]),
        (["HTTP 503", "HTTP 503"], [None] * 3),
        (["HTTP 429 retry after"], [None] * 2),
        (["closes", "HTTP 500"], [None, "bytes=200000-", "bytes=200000-"]),
        (["closes", "ignores ranges"], [None, "bytes=200000-"]),
        (["closes", "ignores ranges closes"], [None, "bytes=200000-", "bytes=200000-"]),
        (["closes", "wrong range"], [None, "bytes=200000-", None]),
        (["gzip"], [None]),
    ],
)
def test_a_fault_that_passes_costs_a_request(server, faults: list[str], requests: list[str | None], size: int | None):
    server.faults = list(faults)
    fetch(of(server, size=size), "set")
    assert PLACE.read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == requests
    nothing_wrong_stands_there()


def test_an_end_that_no_length_betrays_is_seen_by_the_checksum(server):
    server.faults = ["no length"]
    with pytest.raises(OSError, match=f"is {hashlib.md5(CONTENT[:200_000]).hexdigest()} and should be {MD5}"):
        fetch(of(server, size=None), "set")
    nothing_wrong_stands_there()
    assert not PLACE.exists()
    fetch(of(server, size=None), "set")


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_truncated_file_is_refused(server, size: int | None):
    server.faults = ["truncates"]
    with pytest.raises(OSError, match=r"it has 200000 bytes there|is [0-9a-f]{32} and should be"):
        fetch(of(server, size=size), "set")
    assert not PLACE.exists()
    nothing_wrong_stands_there()


def test_wrong_bytes_are_named_with_both_sums_and_removed(server):
    server.faults = ["wrong bytes"]
    wrong = hashlib.md5(bytes(len(CONTENT))).hexdigest()
    with pytest.raises(OSError, match=f"its MD5 is {wrong} and should be {MD5}; removed"):
        fetch(of(server), "set")
    assert [path.name for path in PLACE.parent.iterdir()] == [".lock"]
    fetch(of(server), "set")
    nothing_wrong_stands_there()


def test_a_half_of_another_file_costs_one_start_anew(server):
    PLACE.parent.mkdir(parents=True)
    PLACE.with_name("it.tar.part").write_bytes(bytes(1000))
    fetch(of(server), "set")
    assert [asked for _, asked in server.asked] == ["bytes=1000-", None]
    assert PLACE.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("extra", [0, 10])
def test_a_half_that_is_whole_or_longer_is_no_trap(server, extra: int, size: int | None):
    PLACE.parent.mkdir(parents=True)
    PLACE.with_name("it.tar.part").write_bytes(CONTENT + bytes(extra))
    fetch(of(server, size=size), "set")
    assert PLACE.read_bytes() == CONTENT


def test_a_fetch_that_was_stopped_goes_on_where_it_was(server):
    server.always = "HTTP 503"
    PLACE.parent.mkdir(parents=True)
    PLACE.with_name("it.tar.part").write_bytes(CONTENT[:123_456])
    with pytest.raises(OSError, match=r"HTTP 503 Service Unavailable \(5 times\)"):
        fetch(of(server), "set")
    assert PLACE.with_name("it.tar.part").stat().st_size == 123_456
    server.always = None
    fetch(of(server), "set")
    assert server.asked[-1] == ("/it.tar", "bytes=123456-")


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server):
    server.always = "ignores ranges closes"
    with pytest.raises(OSError, match=r"broke off|closed after.*\(5 times\)"):
        fetch(of(server), "set")
    assert len(server.asked) <= 7
    assert not PLACE.exists()


def test_a_half_of_this_very_fetch_that_is_of_another_file_costs_one_start_anew(server):
    server.files["it.tar"], server.later = bytes(len(CONTENT)), CONTENT
    server.faults = ["closes changes"]
    fetch(of(server), "set")
    assert [asked for _, asked in server.asked] == [None, "bytes=200000-", None]
    assert PLACE.read_bytes() == CONTENT


def test_wrong_bytes_in_halves_are_given_up_all_the_same(server):
    server.files["it.tar"] = bytes(len(CONTENT))
    server.faults = ["closes", ""] * 5
    with pytest.raises(OSError, match=r"should be .*; removed"):
        fetch(of(server), "set")
    assert len(server.asked) == 4
    assert [path.name for path in PLACE.parent.iterdir()] == [".lock"]


def half() -> Path:
    PLACE.parent.mkdir(parents=True)
    part = PLACE.with_name("it.tar.part")
    part.write_bytes(CONTENT[:123_456])
    return part


def test_a_web_page_in_the_place_of_the_file_leaves_the_half(server):
    part = half()
    server.always = "ignores ranges page no length"
    with pytest.raises(OSError, match=r"it is a web page there \(of http://127.*/it.tar\), not the file"):
        fetch(of(server), "set")
    assert part.read_bytes() == CONTENT[:123_456]


def test_a_mirror_without_the_file_or_with_another_leaves_the_half(server, tmp_path, monkeypatch):
    half()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/it.tar").write_bytes(b"other")
    monkeypatch.setenv(download.MIRRORS, f"{tmp_path}/none {tmp_path}/other")
    fetch(of(server), "set")
    assert server.asked == [("/it.tar", "bytes=123456-")]
    assert PLACE.read_bytes() == CONTENT


def test_an_answer_that_does_not_end_does_not_fill_the_disk(server):
    server.always = "endless no length"
    with pytest.raises(OSError, match="it has more than 400000 bytes there"):
        fetch(of(server), "set")
    assert PLACE.with_name("it.tar.part").stat().st_size < 420_000
    server.always = None
    fetch(of(server), "set")
    assert PLACE.read_bytes() == CONTENT


PROGRAM = """
import sys
from ilsvrc.runtime.download import Remote, fetch
fetch(Remote("it.tar", sys.argv[2], int(sys.argv[3]), (sys.argv[1],)), "set")
"""


def process(server: Server) -> subprocess.Popen:
    given = [f"{server.address}/it.tar", f"md5:{MD5}", str(len(CONTENT))]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *given], stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 30
        time.sleep(0.01)


def test_a_fetch_that_was_killed_goes_on_where_it_was(server):
    server.faults, part = ["stalls"], PLACE.with_name("it.tar.part")
    killed = process(server)
    until(lambda: part.exists() and part.stat().st_size > 100_000)
    killed.kill()
    killed.communicate()
    have = part.stat().st_size
    fetch(of(server), "set")
    assert server.asked[-1] == ("/it.tar", f"bytes={have}-")
    assert PLACE.read_bytes() == CONTENT


def test_a_second_process_waits_until_the_first_is_done(server):
    PLACE.parent.mkdir(parents=True)
    with exclusive(PLACE.parent):
        second = process(server)
        assert second.stderr
        assert second.stderr.readline() == "another process writes to data/downloads/set: waiting for it\n"
        assert server.asked == []
        PLACE.write_bytes(CONTENT)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert server.asked == []


def test_pauses_grow(server, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    server.faults = ["HTTP 503", "HTTP 503 retry after", "HTTP 503", "HTTP 503"]
    fetch(of(server), "set")
    assert pauses == [0.01, 1.0, 0.04, 0.08]


@pytest.mark.parametrize("fault", ["HTTP 404", "HTTP 403", "wrong bytes"])
def test_the_next_mirror_is_asked_where_one_fails(server, fault: str):
    server.faults = [fault]
    server.files["mirror/it.tar"] = CONTENT
    fetch(remote(f"{server.address}/it.tar", f"{server.address}/mirror/it.tar"), "set")
    assert [path for path, _ in server.asked] == ["/it.tar", "/mirror/it.tar"]


def test_a_mirror_goes_on_with_what_the_other_began(server):
    with serving() as other:
        other.files["it.tar"] = CONTENT
        server.faults = ["closes", *["HTTP 503"] * 5]
        fetch(remote(f"{server.address}/it.tar", f"{other.address}/it.tar"), "set")
        assert other.asked == [("/it.tar", "bytes=200000-")]


def test_without_a_network_the_message_says_what_to_do():
    with pytest.raises(OSError) as failure:
        fetch(remote("http://127.0.0.1:9/it.tar", "http://no.such.host.invalid/it.tar"), "set")
    lines = str(failure.value).splitlines()
    assert lines[0] == "it.tar cannot be fetched:"
    assert lines[1] == "  http://127.0.0.1:9/it.tar: connection refused (5 times)"
    assert lines[2].startswith("  http://no.such.host.invalid/it.tar: ")
    assert f"put the file (400000 bytes, MD5 {MD5}) at {PLACE} yourself" in lines[3]
    assert "environment variable ILSVRC_MIRRORS" in lines[3]


def test_a_file_that_was_put_there_is_taken(server):
    PLACE.parent.mkdir(parents=True)
    PLACE.write_bytes(CONTENT)
    assert fetch(of(server), "set").read_bytes() == CONTENT
    assert server.asked == []


def test_a_wrong_file_that_was_put_there_is_set_aside_and_named(server, capsys):
    PLACE.parent.mkdir(parents=True)
    PLACE.write_bytes(CONTENT[:1000])
    fetch(of(server), "set")
    assert PLACE.read_bytes() == CONTENT
    assert PLACE.with_name("it.tar.wrong").read_bytes() == CONTENT[:1000]
    assert "it.tar: it has 1000 bytes and should have 400000; it is now it.tar.wrong" in capsys.readouterr().err


def test_a_file_that_held_is_not_read_again_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "it.tar"
    path.write_bytes(CONTENT)
    assert mismatch(path, remote(), tmp_path / "markers") is None
    read: list[Path] = []
    monkeypatch.setattr(download, "digest", lambda path, algorithm: read.append(path) or "other")
    assert mismatch(path, remote(), tmp_path / "markers") is None
    assert read == []
    marker = tmp_path / "markers/it.tar.checked"
    marker.write_text(marker.read_text()[:20])  # as a kill in the middle of writing leaves it
    assert mismatch(path, remote(), tmp_path / "markers") == f"its MD5 is other and should be {MD5}"
    os.utime(path, ns=(1, 1))
    assert mismatch(path, remote(), tmp_path / "markers") == f"its MD5 is other and should be {MD5}"


@pytest.mark.parametrize("kind", ["path", "file://"])
def test_a_file_of_this_machine_is_copied(tmp_path, kind: str):
    source = tmp_path / "with a blank" / "it.tar"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    fetch(remote(source.as_uri() if kind == "file://" else str(source)), "set")
    assert PLACE.read_bytes() == CONTENT
    assert source.exists()


def test_a_file_of_this_machine_that_is_missing_is_named(tmp_path):
    with pytest.raises(OSError, match=r"none\.tar: no such file or directory"):
        fetch(remote(str(tmp_path / "none.tar")), "set")


def test_mirrors_of_the_environment_come_first(server, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/it.tar").write_bytes(CONTENT)
    monkeypatch.setenv(download.MIRRORS, f"{tmp_path}/nowhere {tmp_path}/mirror/")
    fetch(of(server), "set")
    assert server.asked == []
    assert PLACE.read_bytes() == CONTENT


def test_a_proxy_of_the_environment_is_asked(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    server.files["http://owners.invalid/it.tar"] = CONTENT
    fetch(remote("http://owners.invalid/it.tar"), "set")
    assert server.asked == [("http://owners.invalid/it.tar", None)]


def test_a_redirect_is_followed(server, monkeypatch):
    from faulty_server import BaseHTTPRequestHandler

    sent = BaseHTTPRequestHandler.send_response

    def redirects(handler, status):
        sent(handler, 302 if handler.path == "/old.tar" else status)
        if handler.path == "/old.tar":
            handler.send_header("Location", "/it.tar")

    monkeypatch.setattr(BaseHTTPRequestHandler, "send_response", redirects)
    fetch(remote(f"{server.address}/old.tar"), "set")
    assert PLACE.read_bytes() == CONTENT


def test_what_cannot_fit_is_not_begun(server, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 1000))
    with pytest.raises(OSError, match=r"0\.00 GB are needed and 0\.00 GB are free: make room") as failure:
        fetch(of(server), "set")
    assert failure.value.errno == errno.ENOSPC
    assert not PLACE.with_name("it.tar.part").exists()


def test_a_disk_that_fills_is_one_sentence(server, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def fill(*_):
        raise full

    monkeypatch.setattr(http, "_request", fill)
    with pytest.raises(OSError, match="the disk is full: make room and run again"):
        fetch(of(server), "set")


def test_a_gzip_is_stored_as_it_came_whatever_the_server_says(server):
    squeezed = gzip.compress(CONTENT, mtime=0)
    server.files["it.tar"] = squeezed
    server.faults = ["gzip"]
    checksum = f"md5:{hashlib.md5(squeezed).hexdigest()}"
    assert fetch(of(server, checksum=checksum, size=len(squeezed)), "set").read_bytes() == squeezed


def test_progress_states_rate_and_remaining_time(server, monkeypatch, capsys):
    from ilsvrc.runtime import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    PLACE.parent.mkdir(parents=True)
    PLACE.with_name("it.tar.part").write_bytes(CONTENT[:200_000])
    fetch(of(server), "set")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fetch it.tar")]
    assert lines[-1].startswith("fetch it.tar: 100 %, 400k of 400k B, ")
    assert "B/s, 00:00 left" in lines[-1]


def test_a_stall_is_noticed_in_time(server):
    server.faults = ["stalls"]
    started = time.monotonic()
    fetch(of(server), "set")
    assert time.monotonic() - started < 3
