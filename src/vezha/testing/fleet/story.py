"""The demo's story: a bad deploy, a disk that fills, a dead gateway; told as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from vezha.testing.fleet.inventory import SITES
from vezha.testing.fleet.sockets import SocketFleet

RULES = """\
# The demo's own rules: what the built-in ones cannot know of an application.
groups:
  - name: demo
    interval: 1s
    rules:
      - alert: RequestsFailing
        expr: |
          sum by (instance) (rate(http_requests_total{result="error"}[10s]))
            / sum by (instance) (rate(http_requests_total[10s])) > 0.05
        for: 3s
        labels:
          severity: critical
        annotations:
          summary: "{{ $value | humanizePercentage }} of the requests to {{ $labels.instance }} fail."
          summary_uk: "{{ $value | humanizePercentage }} запитів до {{ $labels.instance }} не вдаються."
          vezha_title: "requests fail"
          vezha_title_uk: "запити не вдаються"
          vezha_next: "Was something deployed? Roll it back first, look for the cause afterwards."
          vezha_next_uk: "Щось викочували? Спершу відкотіть, причину шукайте потім."
      - alert: CallsFailing
        expr: |
          sum by (instance) (rate(rpc_requests_total{result="error"}[10s]))
            / sum by (instance) (rate(rpc_requests_total[10s])) > 0.05
        for: 5s
        labels:
          severity: critical
        annotations:
          summary: "{{ $value | humanizePercentage }} of the calls to {{ $labels.instance }} fail."
          summary_uk: "{{ $value | humanizePercentage }} викликів до {{ $labels.instance }} не вдаються."
          vezha_title: "calls fail"
          vezha_title_uk: "виклики не вдаються"
          vezha_next: "Is a rollout under way there? Take it back first, look for the cause afterwards."
          vezha_next_uk: "Там іде розгортання? Спершу поверніть його, причину шукайте потім."
"""

SPARED = "kyiv"
"""The site whose gateway never dies: there a rollout is held, and its incident is one of its own."""

Tell = Callable[[str], None]
Report = Callable[[dict[str, Any]], Awaitable[None]]
"""Tells the server of a change, as CI would: the body of `POST /api/v1/changes/report`."""


@dataclass(frozen=True)
class Pace:
    """How long the scenes last, in seconds."""

    calm_s: float = 20.0
    deploy_s: float = 40.0
    fill_s: float = 35.0
    cleaning_s: float = 25.0
    gateway_s: float = 40.0

    def faster(self, times: float) -> Pace:
        """All of it *times* as fast, but so long that the rules' own waiting fits in."""
        return Pace(
            self.calm_s / times,
            self.deploy_s / times,
            self.fill_s / times,
            max(20.0, self.cleaning_s / times),
            self.gateway_s / times,
        )


async def tell_story(fleet: SocketFleet, tell: Tell, pace: Pace, turn: int, report: Report) -> None:
    """One round; *turn* moves it to other sites."""
    names = list(SITES)
    await asyncio.sleep(pace.calm_s)
    await _good_deploy(fleet, tell, names[(turn + 1) % len(names)], turn, report)
    await _bad_deploy(fleet, tell, pace, names[turn % len(names)], turn, report)
    await asyncio.sleep(pace.calm_s)
    await _disk_fills(fleet, tell, pace, names[(turn + 1) % len(names)])
    await asyncio.sleep(pace.calm_s)
    others = [name for name in names if name != SPARED]
    await _gateway_dies(fleet, tell, pace, others[(turn + 1) % len(others)])


async def _good_deploy(
    fleet: SocketFleet, tell: Tell, site: str, turn: int, report: Report
) -> None:
    rows = fleet.rows(lambda m: m.site == site and m.role.name == "db")
    tell(f"The databases in {site} get a new configuration. Nothing happens.")
    await report(
        {
            "source": "demo",
            "key": f"db-{site}-{turn}",
            "title": f"database settings {turn + 1} to {site}",
            "service": "db",
            "why": "more connections",
            "author": "taras",
            "hosts": [fleet.agents[row].machine.name for row in rows],
        }
    )


async def _bad_deploy(
    fleet: SocketFleet, tell: Tell, pace: Pace, site: str, turn: int, report: Report
) -> None:
    rows = fleet.rows(lambda m: m.site == site and m.role.name == "web")
    tell(f"A release goes out to the {len(rows)} web hosts in {site}. It is a bad one.")
    change = {
        "source": "demo",
        "key": f"web-{site}-{turn}",
        "title": f"shop 4.{turn} to {site}",
        "service": "shop",
        "why": "faster search",
        "author": "olena",
        "hosts": [fleet.agents[row].machine.name for row in rows],
    }
    await report({**change, "outcome": "running"})
    vitals = fleet.vitals
    vitals.error_ratio[rows] = 0.22
    vitals.extra_load[rows] = 0.30
    vitals.slowness[rows] = 8.0
    await asyncio.sleep(pace.deploy_s)
    vitals.error_ratio[rows] = 0.0004
    vitals.extra_load[rows] = 0.0
    vitals.slowness[rows] = 1.0
    await report({**change, "outcome": "rolled_back"})
    tell(f"The release in {site} is rolled back.")


async def _disk_fills(fleet: SocketFleet, tell: Tell, pace: Pace, site: str) -> None:
    row = fleet.rows(lambda m: m.site == site and m.role.name == "db")[0]
    machine = fleet.agents[row].machine
    vitals = fleet.vitals
    tell(f"Something on {machine.name} writes without end; {machine.role.mount} fills.")
    share = vitals.free_share(row)
    vitals.fill_per_s[row] = share * float(512 << 30) / pace.fill_s
    await asyncio.sleep(pace.fill_s + pace.cleaning_s)
    vitals.fill_per_s[row] = 0.0
    vitals.clean(row)
    tell(f"Old files on {machine.name} are deleted.")


async def _gateway_dies(fleet: SocketFleet, tell: Tell, pace: Pace, site: str) -> None:
    rows = fleet.rows(lambda m: m.site == site)
    tell(f"The gateway of {site} dies: {len(rows)} hosts are gone at once.")
    fleet.cut(rows)
    await asyncio.sleep(pace.gateway_s)
    fleet.heal(rows)
    tell(f"The gateway of {site} is back. Its hosts send what they kept; the charts have no gap.")
