"""By which names and addresses agents may reach this server."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct

from vezha.server.limits import SERVER_NAMES_MAX
from vezha.server.settings import Settings

_GET_ADDRESS = 0x8915
"""Linux: SIOCGIFADDR, the IPv4 address of an interface."""


def server_names(settings: Settings) -> list[str]:
    """Names for the certificate and for the command that adds a host, the best one first.

    `channel.public_names`, then this machine's full name if it has one, then its addresses.
    The bare host name and the loopback are added by whoever makes the certificate.
    """
    names = list(settings.channel.public_names)
    host = socket.gethostname()
    if "." in host:
        names.append(host)
    return list(dict.fromkeys([*names, *own_addresses()]))[:SERVER_NAMES_MAX]


def own_addresses() -> list[str]:
    """This machine's addresses that others may reach, as far as the system tells."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)]
    if os.uname().sysname == "Linux":
        found += _interface_addresses()
    reachable = []
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if not (address.is_loopback or address.is_link_local or address.is_unspecified):
            reachable.append(str(address))
    return list(dict.fromkeys(reachable))


def _interface_addresses() -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            # An interface without an IPv4 address answers with an error.
            with contextlib.suppress(OSError):
                asked = struct.pack("256s", os.fsencode(name)[:15])
                found.append(socket.inet_ntoa(fcntl.ioctl(probe, _GET_ADDRESS, asked)[20:24]))
    return found
