"""A port that is taken is told before anything starts."""

from __future__ import annotations

import socket

import pytest

from vezha.server.errors import PortTakenError, SettingError
from vezha.server.ports import claim_port
from vezha.server.reading import Address


def test_port_0_is_chosen() -> None:
    address = claim_port("web.listen", Address("127.0.0.1", 0))
    assert address.port > 0
    assert claim_port("web.listen", address) == address


def test_a_taken_port_names_the_setting_and_the_fix() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError) as caught:
            claim_port("web.listen", Address("127.0.0.1", port))
    told = str(caught.value)
    assert told.startswith(f"web.listen 127.0.0.1:{port} is taken by another program: stop that")
    assert "VEZHA_WEB_LISTEN=127.0.0.1:" in told


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(SettingError, match=r"^channel\.listen"):
        claim_port("channel.listen", Address(host, 0))
