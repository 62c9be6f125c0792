"""TLS before a server that speaks none itself: a terminator on loopback, with certificates of the tests."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from support import certificates


def context(folder, certificate=certificates.GOOD):
    """A server's context that shows a certificate."""
    file = folder / "server.pem"
    file.write_text(certificate + certificates.KEY)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


class Terminator:
    """Takes TLS on a loopback port and hands what it carries to a server's Unix socket."""

    def __init__(self, socket_path, context):
        self._path = socket_path
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links, self._threads = [], []
        self.deaf = False
        self.carried = 0
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self.end_connections()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def end_connections(self):
        """End every connection, as a server does with idle ones."""
        for near, far in self._links:
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                raw = self._listener.accept()[0]
                self._start(self._link, raw)

    def _link(self, raw):
        try:
            near = self._context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._path)
        self._links.append((near, far))
        back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        back.start()
        self._copy(near, far)
        back.join(10)
        near.close()
        far.close()

    def _copy(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65_536):
                self.carried += len(data)
                if not self.deaf:
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
