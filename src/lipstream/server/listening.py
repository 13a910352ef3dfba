"""The sockets of ``lipstream serve``, opened before anything else, and explanations if that fails."""

from __future__ import annotations

import errno
import socket

SILENCE_SECONDS = 60
"""How long the other end of a connection may go without accepting any of the data sent to it before the operating
system ends the connection. asyncio does not close a connection while there is data left to send, so a client that stops
reading would keep its answer in memory for ever. Also how long it takes to notice that the other end is gone."""
_PROBES = 4

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_MOST = 65_535


class ListenError(OSError):
    """It is not possible to listen on an address. The text says why and what to do."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of ``host``, on one port (0: a free one). Raises :class:`ListenError`."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        wanted = port
        # A hosts file may name an address twice.
        for family, (name, _, *scope) in dict.fromkeys((family, address) for family, _, _, _, address in found):
            opened = _opened(family, (name, wanted, *scope))
            if opened:
                sockets.append(opened)
                wanted = opened.getsockname()[1]
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "")
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        raise ListenError(_in_words(error, host, port)) from None
    return sockets


def _opened(family: int, address: tuple[object, ...]) -> socket.socket | None:
    """None if the machine does not have the address: localhost may resolve to ::1 on machines without IPv6."""
    try:
        opened = socket.create_server(address, family=family, backlog=socket.SOMAXCONN)
        _watch(opened)
        return opened
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _watch(listening: socket.socket) -> None:
    """Have the operating system end connections that are stuck or dead. Only Linux has all of these options."""
    interval = SILENCE_SECONDS // _PROBES
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", interval),
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", SILENCE_SECONDS * 1000),
    ):
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _in_words(error: OSError | UnicodeError, host: str, port: int) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno in _ABSENT:
        return (
            f"{host} is not an address of this machine. Use --host 127.0.0.1 for programs on this machine only, "
            "or --host 0.0.0.0 for everybody who can reach it."
        )
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < _MOST else port - 1
        return (
            f"Port {port} is in use, perhaps by another lipstream. Stop that one, or choose another port: "
            f"--port {other} (make run PORT={other}), or --port 0 for one that is free."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Only administrators may use port {port}. Choose a port from 1024 upwards: --port 8000."
    return f"Cannot listen on {host}, port {port}: {error.strerror}. Choose others with --host and --port."
