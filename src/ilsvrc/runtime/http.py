"""Download of one file over HTTP, resumed after each break as long as it makes progress.

`requests` does redirects, certificates, timeouts, and proxies from the environment. What it does not do is here: pooch
would hash a file of many gigabytes at every look, keeps no half of a download and knows no mirrors, and urllib3's
`Retry` repeats a request but not a body that breaks off.
"""

import time
from pathlib import Path
from typing import Any

from ilsvrc.runtime.disk import byte_bar, check_space

CHUNK_BYTES = 1 << 16  # what a broken connection may cost
CONNECT_S, STALL_S = 15.0, 60.0  # without an answer; without a byte
ATTEMPTS = 5  # that get no further, one after the other
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
BUSY = {408, 425, 429, 500, 502, 503, 504}


class UselessError(Exception):
    """The address does not serve the file."""


class _BrokenError(Exception):
    """The transfer broke off, and may be tried again."""

    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


def download(address: str, part: Path, name: str, expected: int | None) -> bool:
    """Downloads what is missing of the file `part`, of `expected` bytes if that is known.

    Returns:
        True if the file was put together from more than one answer.

    Raises:
        UselessError: this address will not give it; what came stays in `part`.
    """
    failures, furthest = 0, _size(part)
    with byte_bar(f"fetch {name}", expected) as progress:
        while True:
            try:
                return _request(address, part, expected, progress) > 0
            except _BrokenError as error:
                further = _size(part) > furthest
                failures = 1 if further else failures + 1
                furthest = max(furthest, _size(part))
                if failures == ATTEMPTS:
                    raise UselessError(f"{error} ({ATTEMPTS} times)") from None
                pause_s = FIRST_PAUSE_S * 2 ** (failures - 1)
                time.sleep(min(max(pause_s, error.pause_s), LONGEST_PAUSE_S))


def _request(address: str, part: Path, expected: int | None, progress: Any) -> int:
    """One request for the missing bytes; returns the number of bytes that were there before."""
    import requests
    import urllib3

    have = _size(part)
    if have and have == expected:
        return have
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_S, STALL_S)) as response:
            _check_status(response, part)
            have = have if response.status_code == 206 else 0  # a server that ignores ranges starts over
            total = _total(response, have, part)
            _refuse_other_file(response, total, expected)
            check_space(part, (total or expected or have) - have)
            progress.total = total
            progress.resume(have)
            with part.open("ab" if have else "wb") as file:
                for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):  # as it is stored, never unzipped
                    file.write(chunk)
                    progress.update(len(chunk))
                    if expected is not None and file.tell() > expected:
                        raise UselessError(f"it has more than {expected} bytes there")
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise UselessError(f"{error}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _BrokenError(_in_words(error)) from None
    if total is not None and _size(part) != total:
        raise _BrokenError(f"closed after {_size(part)} of {total} bytes")
    return have


def _refuse_other_file(response: Any, total: int | None, expected: int | None) -> None:
    """Refuses a file of another size, and a web page (of a login, or an error) of unknown size, before writing."""
    if expected is not None and total not in (None, expected):
        raise UselessError(f"it has {total} bytes there and should have {expected}")
    if total is None and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise UselessError(f"it is a web page there (of {response.url}), not the file")


def _check_status(response: Any, part: Path) -> None:
    """Refuses every status but 200 and 206."""
    status = response.status_code
    if status in (200, 206):
        return
    if status == 416:  # the half is longer than the file
        part.unlink(missing_ok=True)
        raise _BrokenError("HTTP 416: there is no such range")
    message = f"HTTP {status} {response.reason}".strip()
    if status in BUSY:
        pause_s = response.headers.get("Retry-After", "")
        raise _BrokenError(message, float(pause_s) if pause_s.isdigit() else 0.0)
    raise UselessError(message)


def _total(response: Any, have: int, part: Path) -> int | None:
    """Size of the whole file in bytes, as the answer states it; its range must begin where `part` ends."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200:
        return int(length) if length.isdigit() else None
    unit_range, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if unit_range.partition("-")[0] != str(have):
        part.unlink(missing_ok=True)
        raise _BrokenError(f"it sent bytes {unit_range or '?'} where {have}- was asked for")
    return int(total) if total.isdigit() else None


def _in_words(error: Exception) -> str:
    """Message of a network library's error, without its nesting."""
    text = f"{type(error).__name__} {error}"
    known = {
        "NameResolution": "the name is not known (no network?)",
        "Connection refused": "connection refused",
        "Network is unreachable": "network is unreachable",
        "timed out": "no answer, or no byte, for too long",
        "IncompleteRead": "the connection broke off",
        "Connection aborted": "the connection broke off",
        "Connection broken": "the connection broke off",
        "reset by peer": "the connection broke off",
        "ProxyError": "the proxy (https_proxy, http_proxy in the environment) does not answer",
        "CERTIFICATE_VERIFY": "its certificate cannot be verified (REQUESTS_CA_BUNDLE names your own authority)",
    }
    return next((words for key, words in known.items() if key in text), text)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
