"""A TCP proxy on loopback that can be cut: the network between a real agent and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading


class TcpCut:
    """Passes bytes from a port of its own to *port*, until `cut`; again after `mend`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._is_cut = True
        self._flows.set()
        with self._lock:
            for end in self._open:
                # a shutdown wakes the thread that reads; it closes
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Let nothing through any more and tell nobody, as a cable that was pulled."""
        self._flows.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        """Cut for good."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            pair = _Pair(self, near, far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=pair.pump, args=(source, target), daemon=True).start()

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open -= set(ends)


class _Pair:
    def __init__(self, proxy: TcpCut, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._ends = (near, far)
        self._left = 2
        self._lock = threading.Lock()

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on until either end has had enough; the last pump closes both."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._proxy._flows.wait()
                target.sendall(data)
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._proxy._forget(*self._ends)
            for end in self._ends:
                end.close()
