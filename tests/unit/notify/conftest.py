"""A ledger, a clock, and a notifier for the tests of notify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import insert

from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition
from vezha.notify.loop import Notifier
from vezha.world import World


class Clock:
    """Wall time that tests move; it also follows the real one, as back-off waits in real time."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Office:
    """Everything from transitions to messages."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.ledger = Ledger.open(str(self.folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World(clock=self.clock)
        self.desk = Desk(self.ledger, self.world)
        self.settings = self.folder / "notify.toml"

    def now_ms(self) -> int:
        return int(self.clock.seconds * 1000)

    def notifier(self, settings: str = "") -> Notifier:
        if settings:
            self.settings.write_text(settings)
        return Notifier(
            self.ledger,
            self.world,
            str(self.settings),
            {"HOOK_KEY": "k3y"},
            "https://v.example.org",
        )

    def tell(
        self,
        event: str,
        host: str,
        name: str = "DiskFull",
        severity: str = "warning",
        **labels: str,
    ) -> None:
        """One transition, taken in by the desk."""
        self.tell_only(event, host, name, severity, **labels)
        self.desk.step()

    def tell_only(
        self,
        event: str,
        host: str,
        name: str = "DiskFull",
        severity: str = "warning",
        **labels: str,
    ) -> None:
        at_ms = self.now_ms()
        with self.ledger.begin() as connection:
            connection.execute(
                insert(alert_transition).values(
                    rule_key="r", fingerprint=f"{name}/{host}", group_name="g", alert_name=name,
                    host=host, severity=severity,
                    labels={"alertname": name, "instance": host, "severity": severity, **labels},
                    annotations={"summary": f"{name} on {host} <&>", "vezha_next": "Look at it."},
                    event=event, from_state="inactive", to_state="firing", value=1.0,
                    active_ms=at_ms, sampled_ms=at_ms, evaluated_ms=at_ms, written_ms=at_ms,
                )
            )  # fmt: skip


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.ledger.close()
