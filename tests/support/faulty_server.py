"""An HTTP server on the loopback that misbehaves as it is told, request by request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `files`; `faults` are taken one a request, then it behaves. `asked` notes (path, Range)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.always: str | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.later = b""
        self.stall_s = 5.0
        self.address = ""

    def next_fault(self) -> str:
        return self.always or (self.faults.pop(0) if self.faults else "")


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("Range")))
            answer(self, server)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def answer(handler: BaseHTTPRequestHandler, server: Server) -> None:
    content = server.files.get(handler.path.lstrip("/"))
    fault = server.next_fault()
    if content is None or fault.startswith("HTTP "):
        refuse(handler, int(fault.split()[1]) if fault else 404, fault)
        return
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and "ignores ranges" not in fault else 0
    if start >= len(content) > 0:
        refuse(handler, 416, fault)
        return
    body = content[start:]
    if "wrong bytes" in fault:
        body = bytes(len(body))
    if "wrong range" in fault:
        body = content
    handler.send_response(206 if asked and "ignores ranges" not in fault else 200)
    if handler_is_partial := bool(asked and "ignores ranges" not in fault):
        first = 0 if "wrong range" in fault else start
        handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    if "truncates" in fault:  # as a proxy does that lost the end: shorter, and content with it
        body = body[: len(body) // 2]
    if "page" in fault:  # what a hotel's network puts in the place of everything
        body = b"<html>log in</html>"
        handler.send_header("Content-Type", "text/html; charset=utf-8")
    if "endless" in fault:
        body += bytes(10 * len(content))
    if "gzip" in fault:  # what some servers say of a .tar.gz
        handler.send_header("Content-Encoding", "gzip")
    if "no length" in fault:
        handler.send_header("Connection", "close")
    else:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    assert handler_is_partial or not start
    sent = body[: len(body) // 2] if any(word in fault for word in ("closes", "stalls", "no length")) else body
    if "changes" in fault:  # as when the owners put up another version
        server.files[handler.path.lstrip("/")] = server.later
    handler.wfile.write(sent)
    handler.wfile.flush()
    if "stalls" in fault:
        time.sleep(server.stall_s)
    if sent is not body:
        handler.close_connection = True


def refuse(handler: BaseHTTPRequestHandler, status: int, fault: str) -> None:
    handler.send_response(status)
    if "retry after" in fault:
        handler.send_header("Retry-After", "1")
    handler.send_header("Content-Length", "0")
    handler.end_headers()
