"""The pages that `benchmarks.screenshots` visits: a name for the picture, and the address.

Addresses may name what only the server knows: `{incident}`, `{host}`, `{change}` … are filled in; a
page of which there is nothing yet is left out.
"""

from __future__ import annotations

VIEWS: dict[str, str] = {
    "fleet": "/fleet",
    "fleet-cpu": "/fleet?by=cpu",
    "host": "/host/{host}",
    "host-disks": "/host/{host}?part=disks",
    "host-agent": "/host/{host}?part=agent",
    "incidents": "/incidents?state=all",
    "incident": "/incident/{incident}",
    "incident-over": "/incident/{over}",
    "dependencies": "/dependencies",
    "changes": "/changes",
    "change": "/change/{change}",
    "change-done": "/change/{done}",
    "change-elsewhere": "/change/{elsewhere}",
    "change-planned": "/change/{planned}",
    "draft": "/draft/new?kind=config&target={target}",
    "releases": "/releases",
    "figures": "/changes/figures",
    "load": "/load",
    "load-host": "/load?of=host:cpu:{host}",
    "checklists": "/checklists",
    "checklist": "/checklists/disk-full",
    "checklist-figures": "/checklists/figures",
    "run": "/checklist/{run}",
    "scenarios": "/scenarios",
    "scenario": "/scenario/servers",
    "round": "/round/{round}",
    "watch": "/watch/servers",
    "diary": "/diary",
    "oncall": "/oncall",
    "handover": "/oncall/handover",
    "policies": "/oncall/policies",
    "silences": "/silences",
    "checks": "/checks",
    "rules": "/rules",
    "rule-file": "/rules/new",
    "explore": "/explore?q=1+-+avg+by+(instance)+(rate(node_cpu_seconds_total"
    '%7Bmode%3D"idle",instance%3D~"db-kyiv-0%5B1-4%5D"%7D[30s]))',
    "access": "/access",
    "tokens": "/access/tokens",
    "audit": "/audit",
    "settings-hosts": "/settings/hosts",
    "settings-receivers": "/settings/receivers",
    "settings-browser": "/settings/browser",
    "missing": "/nowhere",
}
"""Pages of somebody who is signed in as an administrator."""

STRANGER: dict[str, str] = {"sign-in": "/sign-in"}
"""Pages of somebody who is not signed in."""

VIEWER: dict[str, str] = {"forbidden": "/audit"}
"""Pages of a viewer who may not see them."""

FIRST: dict[str, str] = {"first-run": "/fleet", "first-load": "/load", "first-changes": "/changes"}
"""Pages of a server that nobody has added a host to."""
