"""A program that takes OTLP over HTTP as a Collector does and counts the spans: ``python -m benchmarks.sink``.

It prints its URL and runs until its standard input is closed. ``GET /`` gives the counts as JSON: spans by
``service.name``, then by instrumentation scope.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

counts: dict[str, Counter[str]] = defaultdict(Counter)
_lock = threading.Lock()


def count(body: bytes) -> None:
    """Count the spans of one export."""
    request = ExportTraceServiceRequest.FromString(body)
    with _lock:
        for part in request.resource_spans:
            names = (item.value.string_value for item in part.resource.attributes if item.key == "service.name")
            service = next(names, "")
            for scope in part.scope_spans:
                counts[service][scope.scope.name] += len(scope.spans)


class Handler(BaseHTTPRequestHandler):
    """Answers exports and questions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take an export; metrics are read and forgotten."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            count(body)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        """Give the counts."""
        with _lock:
            text = json.dumps(counts)
        self._answer(text.encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
