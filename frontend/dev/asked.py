"""What the mock server answers to the pages that ask: silences, rules, queries."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

METRICS = (
    "node_cpu_seconds_total", "node_disk_io_time_seconds_total", "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes", "node_load1", "node_memory_MemAvailable_bytes",
    "node_network_receive_bytes_total", "up", "vezha_host_info",
)  # fmt: skip
HOSTS = ("db-lviv-01", "db-lviv-02", "web-kyv-11", "app-fra-04")
SERIES_BY_MODE = ("idle", "iowait", "system", "user")


class Silences:
    """Silences that can be made and ended."""

    def __init__(self, story: str) -> None:
        now = time.time()
        self.rows: list[dict[str, Any]] = []
        if story != "busy":
            return
        db = {"name": "instance", "op": "=~", "value": "db-lviv-0[1-4]"}
        slow = {"name": "alertname", "op": "=", "value": "DiskWritesSlow"}
        backup = {"name": "role", "op": "=", "value": "store"}
        self.rows = [
            self.row([slow, db], now - 1200, now + 9000, "olena", "Log volume is being moved"),
            self.row([backup], now + 7200, now + 14_400, "taras", "New disks in kyiv-1"),
            self.row([backup], now - 86_400, now + 86_400 * 300, "olena", "Nightly backup")
            | {
                "state": "pending",
                "recurs": {
                    "days": ["mon", "tue", "wed", "thu", "fri"],
                    "start": "02:00",
                    "minutes": 90,
                    "time_zone": "Europe/Kyiv",
                },
            },
            self.row([slow], now - 90_000, now - 80_000, "taras", "Known, fixed in 4.2")
            | {"ended_by": "olena"},
        ]

    def row(
        self, matchers: list[dict[str, str]], begin: float, end: float, author: str, comment: str
    ) -> dict[str, Any]:
        """A silence as the API shows it."""
        return {
            "id": len(self.rows) + 1 + int(begin) % 1000,
            "state": "",
            "matchers": matchers,
            "starts_at": begin,
            "ends_at": end,
            "author": author,
            "comment": comment,
            "created_at": begin,
            "ended_by": None,
            "recurs": None,
        }

    def shown(self) -> list[dict[str, Any]]:
        """All, with their states of now."""
        now = time.time()
        for row in self.rows:
            if row["ends_at"] <= now:
                row["state"] = "expired"
            elif not row["recurs"]:
                row["state"] = "active" if row["starts_at"] <= now else "pending"
        return self.rows

    async def list_or_make(self, request: Request) -> Response:
        """GET and POST."""
        if request.method == "GET":
            return JSONResponse({"silences": self.shown()})
        if request.cookies.get("mock") == "viewer":
            return JSONResponse({"error": {"code": "role", "message": "A viewer may not."}}, 403)
        body = await request.json()
        found = re.findall(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"', body["matchers"])
        if not found:
            text = f'"{body["matchers"]}" is not a matcher; write for example instance="db-1".'
            return JSONResponse({"error": {"code": "invalid", "message": text}}, 400)
        begin = body.get("starts_at") or time.time()
        end = body.get("ends_at") or begin + body["minutes"] * 60
        matchers = [{"name": n, "op": o, "value": v} for n, o, v in found]
        made = self.row(matchers, begin, end, request.cookies["mock"], body["comment"])
        self.rows.insert(0, made)
        self.shown()
        return JSONResponse(made)

    async def end(self, request: Request) -> Response:
        """DELETE."""
        for row in self.rows:
            if str(row["id"]) == request.path_params["id"]:
                row |= {"ends_at": time.time(), "ended_by": request.cookies["mock"]}
        return Response(status_code=204)


def rfc3339(at: float) -> str:
    """A time as Prometheus writes it."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")


def rule(name: str, query: str, firing: int = 0, **more: Any) -> dict[str, Any]:
    """An alerting rule with *firing* alerts."""
    alert = {"state": "firing", "labels": {"alertname": name}, "annotations": {}, "value": "1e+00"}
    return {
        "name": name,
        "query": query,
        "health": "ok",
        "evaluationTime": 0.0004 + len(query) / 40_000,
        "lastEvaluation": rfc3339(time.time() - 2),
        "state": "firing" if firing else "inactive",
        "duration": 60,
        "keepFiringFor": 0,
        "labels": {"severity": "warning"},
        "annotations": {},
        "alerts": [alert] * firing,
        "type": "alerting",
    } | more


async def rules(request: Request) -> Response:
    """`/rules`, with a broken file and a rule that cannot be evaluated."""
    disk = [
        rule("DiskWritesSlow", "node_disk_latency_0 > 0.02", 4),
        rule(
            "DiskFull",
            'node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"}\n'
            "  / node_filesystem_size_bytes < 0.08\n"
            "and predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < 0",
        ),
        rule(
            "DiskJoin",
            "node_disk_io_time_seconds_total * on (device) node_disk_info",
            health="err",
            lastError="many-to-many matching not allowed: matching labels must be unique",
        ),
    ]
    cpu = {
        "name": "instance:cpu:busy",
        "query": 'sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[1m]))',
        "health": "ok",
        "evaluationTime": 0.0121,
        "lastEvaluation": rfc3339(time.time() - 9),
        "labels": {},
        "type": "recording",
    }
    idle = rule("HostGone", "up == 0", lastEvaluation="0001-01-01T00:00:00Z", health="unknown")
    groups = [("disk", "rules/disk.yml", 5, disk), ("fleet", "built-in", 10, [cpu, idle])]
    shown = [
        {
            "name": name,
            "file": file,
            "interval": every,
            "limit": 0,
            "evaluationTime": sum(r["evaluationTime"] for r in found),
            "lastEvaluation": rfc3339(time.time() - 2),
            "rules": found,
        }
        for name, file, every, found in groups
    ]
    problems = {"rules/web.yml": ["rules/web.yml:7: group web: rule 2 has no expr"]}
    return JSONResponse({"status": "success", "data": {"groups": shown, "problems": problems}})


async def label_values(request: Request) -> Response:
    """Names of metrics, or the same hosts whatever the label is."""
    named = request.path_params["name"] == "__name__"
    return JSONResponse({"status": "success", "data": METRICS if named else HOSTS})


async def labels(_request: Request) -> Response:
    """Names of labels."""
    names = ["__name__", "device", "instance", "job", "mode", "role", "site"]
    return JSONResponse({"status": "success", "data": names})


def _fault(text: str) -> Response | None:
    for at, sign in enumerate(text):
        if sign == "!" and text[at : at + 2] not in ("!=", "!~"):
            said = f"1:{at + 1}: parse error: unexpected character: '!'"
            answer = {"status": "error", "errorType": "bad_data", "error": said}
            what = {"code": "bad_data", "message": f'invalid parameter "query": {said}'}
            return JSONResponse(answer | {"error": what["message"]}, 400)
    return None


def _matrix(text: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    metric = next((m for m in METRICS if m in text), "up")
    found = []
    for h, host in enumerate(HOSTS):
        for m, mode in enumerate(SERIES_BY_MODE if "cpu" in metric else ("",)):
            kept = {"__name__": metric, "instance": host} | ({"mode": mode} if mode else {})
            at = [start + k * step for k in range(int((end - start) / step) + 1)]
            values = [
                [t, f"{20 + 11 * m + 3 * h + 4 * math.sin(t / (90 + 17 * h)):.4f}"] for t in at
            ]
            found.append({"metric": kept, "values": values})
    return found


async def query(request: Request) -> Response:
    """`/query` and `/query_range`: the same waves for every metric."""
    form: dict[str, Any] = {**request.query_params, **await request.form()}
    text = str(form["query"])
    wrong = _fault(text)
    if wrong is not None:
        return wrong
    warned = {"infos": ["PromQL info: metric might not be a counter"]} if "rate(" in text else {}
    if "start" in form:
        span = [float(str(form[k])) for k in ("start", "end", "step")]
        data: dict[str, Any] = {"resultType": "matrix", "result": _matrix(text, *span)}
    else:
        at = float(str(form.get("time", time.time())))
        lines = _matrix(text, at, at, 1) if "nothing" not in text else []
        result = [{"metric": r["metric"], "value": r["values"][0]} for r in lines]
        data = {"resultType": "vector", "result": result}
    return JSONResponse({"status": "success", "data": data} | warned)
