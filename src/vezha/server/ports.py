"""Ports: whether we may listen where the settings say, told before anything is started."""

from __future__ import annotations

import errno
import socket

from vezha.server.errors import PortTakenError, SettingError
from vezha.server.reading import PREFIX, Address

_PRIVILEGED = 1024


def claim_port(setting: str, address: Address) -> Address:
    """*address* with a port that was free just now, chosen if it is 0.

    Raises `PortTakenError` or `SettingError` naming *setting* ("web.listen") and the fix.
    """
    variable = PREFIX + setting.replace(".", "_").upper()
    other = Address(address.host, min(address.port + 10, 65535))
    fix = f"set {setting} to another address ({variable}={other}, or --set {setting}={other})"
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise SettingError(
            f"{setting} {address} names no address of this machine: {fix}"
        ) from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still ending is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen(1)
        except OSError as error:
            raise _told(error, setting, address, fix) from error
        return Address(address.host, probe.getsockname()[1])


def _told(
    error: OSError, setting: str, address: Address, fix: str
) -> PortTakenError | SettingError:
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            f"{setting} {address} is taken by another program: stop that one, or {fix}"
        )
    if error.errno == errno.EACCES and address.port < _PRIVILEGED:
        return SettingError(f"{setting} {address}: ports below 1024 are for root only; {fix}")
    return SettingError(f"{setting}: cannot listen on {address} ({error.strerror}): {fix}")
