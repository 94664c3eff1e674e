"""A change is held at a gate, its evidence is looked at, it goes on, and is rolled back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Visitor
from tests.launched import Publisher, wait_until
from tests.running import RunningVezha

Visit = Callable[..., Visitor]
TARGET = "config/quiet/1/agent.toml"
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_change_is_held_looked_at_approved_and_rolled_back(
    at_work: Visit, server: RunningVezha
) -> None:
    publisher = Publisher(server.state)
    publisher.sign({TARGET: (b"[collectors.hwmon]\nenabled = false\n", {})})
    person = at_work()

    def watched() -> list[str]:
        hosts = cast("Any", person.call("GET", "/hosts"))["hosts"]
        return [one["name"] for one in hosts]

    # the agent of this machine has said what it can before anything is planned for it
    wait_until(lambda: any(publisher.running(name) for name in watched()), 60.0, server.told)
    name = next(one for one in watched() if publisher.running(one))
    person.call("PATCH", f"/hosts/{name}", {"labels": {"role": "first"}})
    change = cast(
        "Any",
        person.call(
            "POST",
            "/changes",
            {
                "kind": "config", "target": TARGET, "title": "fewer sensors", "owner": "ops",
                "why": "nobody reads them", "checklist": "rollout",
                "gates": [
                    {"kind": "proof"}, {"kind": "approval"},
                    {"kind": "promql", "name": "load", "expr": "node_load1", "threshold": 100000},
                ],
                "waves": [{"name": "canary", "hosts": [name], "bake_s": 1}],
                "policy": {"watch_s": 3, "jitter_s": 0, "pace": False},
                "selector": f'instance="{name}"',
            },
        ),
    )["id"]  # fmt: skip
    person.call("POST", f"/changes/{change}/plan", {})
    person.call("POST", f"/changes/{change}/start", {})
    page = person.open(f"/change/{change}")
    expect(page.get_by_text("Held at wave canary")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Approve wave canary").click()
    expect(page.get_by_role("cell", name="proven")).to_be_visible(timeout=90_000)
    expect(page.get_by_text(re.compile("< 100000|100,000|100000"))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Roll back")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 host")
    dialog.get_by_role("button", name=re.compile("^Roll back")).click()
    # the agent watches for a minute what it went back to; that it does has tests of its own
    expect(page.get_by_role("cell", name=re.compile("going back|went back"))).to_be_visible()
    shown = cast("Any", person.call("GET", f"/changes/{change}"))
    assert shown["state"] in ("reverting", "reverted")
