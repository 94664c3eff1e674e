"""A stand-in for the server while pages are made: the same API, an invented fleet, no agents.

    .venv/bin/python frontend/dev/mock.py [--port 8480] [--hosts 1000] [--story busy|calm|empty]

It serves the built pages through `vezha.ui`, so that headers and policy are the real ones. Any
name with the password `password` may sign in; the name is the role (`viewer`, `operator`,
anything else is an admin); `new` must change the password first. Never shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import struct
import time
from typing import Any

import asked
import uvicorn
from invented import CHARTS, Fleet, value
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import vezha.ui


def create(fleet: Fleet) -> Starlette:
    """The application."""

    def who(request: Any) -> dict[str, Any] | None:
        name = request.cookies.get("mock")
        if not name:
            return None
        role = name if name in ("viewer", "operator") else "admin"
        return {"name": name, "role": role, "must_change_password": name == "new", "kind": "user"}

    def refuse(status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
        return JSONResponse(
            {"error": {"code": code, "message": message} | ({"field": field} if field else {})},
            status,
        )

    async def session(request: Request) -> Response:
        if request.method == "GET":
            user = who(request)
            return (
                JSONResponse({"user": user})
                if user
                else refuse(401, "not_signed_in", "Sign in first.")
            )
        if request.method == "DELETE":
            gone = Response(status_code=204)
            gone.delete_cookie("mock")
            return gone
        body = await request.json()
        if body["password"] != "password":  # noqa: S105 - nothing is guarded here
            return refuse(401, "wrong_credentials", "Name or password is wrong.")
        request.cookies["mock"] = body["name"]
        answer = JSONResponse({"user": who(request)})
        answer.set_cookie("mock", body["name"], httponly=True, samesite="strict")
        return answer

    async def password(request: Request) -> Response:
        body = await request.json()
        if len(body["new"]) < 8:
            return refuse(
                400, "weak_password", "The new password must have 8 characters or more.", "new"
            )
        request.cookies["mock"] = "olena"
        answer = JSONResponse({"user": who(request)})
        answer.set_cookie("mock", "olena", httponly=True, samesite="strict")
        return answer

    async def hosts(request: Request) -> Response:
        return (
            JSONResponse({"hosts": fleet.hosts})
            if who(request)
            else refuse(401, "not_signed_in", "Sign in first.")
        )

    def find(name: str) -> dict[str, Any] | None:
        return next((h for h in fleet.hosts if h["name"] == name), None)

    async def host(request: Request) -> Response:
        found = find(request.path_params["name"])
        if found is None:
            return refuse(404, "not_found", "There is no such host.")
        if request.method == "DELETE":
            fleet.hosts.remove(found)
            return Response(status_code=204)
        if request.method == "PATCH":
            found["labels"] = (await request.json())["labels"]
        return JSONResponse(
            found
            | {
                "facts": {
                    "kernel": "6.1.0-28-amd64",
                    "architecture": "x86_64",
                    "virtualization": "kvm",
                }
            }
        )

    async def charts(request: Request) -> Response:
        return JSONResponse(
            {
                "charts": [
                    {
                        "id": i,
                        "group": g,
                        "title": f"chart.{i}",
                        "unit": u,
                        "max": m,
                        "series": [
                            {"id": f"{i}_{n}", "legend": s[0], "expr": f"node_{i}_{n}@$instance"}
                            for n, s in enumerate(ss)
                        ],
                    }
                    for i, g, u, m, ss in CHARTS
                ]
            }
        )

    async def history(request: Request) -> Response:
        name = request.path_params["name"]
        q = request.query_params
        start, end, step = float(q["start"]), float(q["end"]), float(q["step"])
        count = int((end - start) / step) + 1
        gap = (fleet.began - 300, fleet.began - 270)
        found = [
            {
                "chart": i,
                "legend": s[0],
                "labels": {},
                "values": [
                    None
                    if gap[0] < start + k * step < gap[1] or start + k * step > time.time()
                    else round(value(name, i, n, s[1], s[2], start + k * step), 4)
                    for k in range(count)
                ],
            }
            for i, _g, _u, _m, ss in CHARTS
            for n, s in enumerate(ss)
        ]
        return JSONResponse({"start": start, "step": step, "count": count, "series": found})

    async def incidents(request: Request) -> Response:
        wanted = request.query_params.get("state", "open")
        limit = int(request.query_params.get("limit", "100"))
        found = [i for i in fleet.incidents if wanted == "all" or i["state"] != "resolved"]
        return JSONResponse({"incidents": found[:limit]})

    def detail(found: dict[str, Any]) -> dict[str, Any]:
        began = found["began_at"]
        line: list[dict[str, Any]] = [
            {
                "at": began,
                "kind": "alert_firing",
                "actor": None,
                "text": f"{found['summary']} {found['hosts'][0]}",
                "data": {},
            },
            {
                "at": began + 1.1,
                "kind": "opened",
                "actor": None,
                "text": None,
                "data": {"hosts": len(found["hosts"])},
            },
            {"at": began + 2, "kind": "notified", "actor": None, "text": "on-call", "data": {}},
        ]
        if found["acknowledged_at"]:
            line.append(
                {
                    "at": found["acknowledged_at"],
                    "kind": "acknowledged",
                    "actor": found["acknowledged_by"],
                    "text": None,
                    "data": {},
                }
            )
        line += found["notes"]
        if found["resolved_at"]:
            line.append(
                {
                    "at": found["resolved_at"],
                    "kind": "resolved",
                    "actor": None,
                    "text": None,
                    "data": {},
                }
            )
        alerts = [
            {
                "name": "DiskWritesSlow",
                "host": h,
                "labels": {"alertname": "DiskWritesSlow", "instance": h},
                "severity": found["severity"],
                "state": "firing",
                "annotations": {
                    "summary": found["summary"],
                    "description": "Writes of this host take longer than 20 ms for a minute.",
                },
            }
            for h in found["hosts"]
        ]
        return found | {"timeline": line, "alerts": alerts}

    async def incident(request: Request) -> Response:
        found = next(
            (i for i in fleet.incidents if str(i["id"]) == request.path_params["id"]), None
        )
        if found is None:
            return refuse(404, "not_found", "There is no such incident.")
        act = request.path_params.get("act")
        user = who(request)
        if act and user:
            if user["role"] == "viewer":
                return refuse(403, "role", "A viewer may not do this.")
            body = await request.json()
            if act == "acknowledge":
                found |= {
                    "state": "acknowledged",
                    "acknowledged_at": time.time(),
                    "acknowledged_by": user["name"],
                }
            elif act == "resolve":
                found |= {"state": "resolved", "resolved_at": time.time()}
            text = body.get("text") or body.get("note")
            if text:
                found["notes"].append(
                    {
                        "at": time.time(),
                        "kind": "note",
                        "actor": user["name"],
                        "text": text,
                        "data": {},
                    }
                )
        return JSONResponse(detail(found))

    async def enrolments(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"enrolments": fleet.enrolments})
        body = await request.json()
        number = len(fleet.enrolments) + 1
        row = {
            "id": number,
            "labels": body.get("labels", {}),
            "created_by": "olena",
            "created_at": time.time(),
            "expires_at": time.time() + 3600,
        }
        fleet.enrolments.insert(0, row)
        loop = asyncio.get_running_loop()
        loop.call_later(
            6,
            lambda: (
                fleet.add(f"new-{number}", row["labels"]),
                setattr(fleet, "revision", fleet.revision + 1),
            ),
        )
        command = "vezha agent enrol --server vezha.example.org:8471 --token vze_9f2kQm7YtB4xNcW8 --fingerprint sha256:3f9ab1c0d27e54"
        return JSONResponse(
            {
                "id": number,
                "token": "vze_9f2kQm7YtB4xNcW8",
                "command": command,
                "expires_at": row["expires_at"],
            },
            201,
        )

    async def enrolment(request: Request) -> Response:
        fleet.enrolments = [
            e for e in fleet.enrolments if str(e["id"]) != request.path_params["id"]
        ]
        return Response(status_code=204)

    async def users(request: Request) -> Response:
        user = who(request)
        if not user or user["role"] != "admin":
            return refuse(403, "role", "This needs the role admin.")
        if request.method == "GET":
            return JSONResponse({"users": fleet.people})
        body = await request.json()
        person = {
            "name": body["name"],
            "role": body["role"],
            "disabled": False,
            "must_change_password": True,
            "created_at": time.time(),
            "last_sign_in_at": None,
        }
        fleet.people.append(person)
        return JSONResponse({"user": person, "one_time_password": "kalyna-verba-71-dub"}, 201)

    async def user(request: Request) -> Response:
        person = next(p for p in fleet.people if p["name"] == request.path_params["name"])
        if request.method == "DELETE":
            fleet.people.remove(person)
            return Response(status_code=204)
        body = await request.json()
        person |= {k: v for k, v in body.items() if k in ("role", "disabled")}
        return JSONResponse(
            {
                "user": person,
                "one_time_password": "smereka-lis-40-mak" if body.get("reset_password") else None,
            }
        )

    async def tokens(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"tokens": fleet.tokens})
        body = await request.json()
        row = {
            "id": len(fleet.tokens) + 1,
            "name": body["name"],
            "role": body["role"],
            "created_by": "olena",
            "created_at": time.time(),
            "expires_at": None,
            "used_at": None,
        }
        fleet.tokens.append(row)
        return JSONResponse(
            {
                "id": row["id"],
                "name": row["name"],
                "role": row["role"],
                "token": "vzt_Zk3nP0qLw8RtYb5cJ2vXe6",
            },
            201,
        )

    async def token(request: Request) -> Response:
        fleet.tokens = [t for t in fleet.tokens if str(t["id"]) != request.path_params["id"]]
        return Response(status_code=204)

    async def audit(request: Request) -> Response:
        return JSONResponse({"audit": fleet.audit})

    async def receivers(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse({"ok": True})
        return JSONResponse(
            {
                "receivers": [
                    {
                        "name": "on-call",
                        "type": "telegram",
                        "waiting": 0,
                        "failed": 0,
                        "last_sent_at": fleet.began,
                        "last_error": "",
                    },
                    {
                        "name": "mail",
                        "type": "email",
                        "waiting": 2,
                        "failed": 0,
                        "last_sent_at": None,
                        "last_error": "smtp.example.org refused the connection",
                    },
                ],
                "routes": [],
                "problem": "",
            }
        )

    async def query_range(request: Request) -> Response:
        q = request.query_params
        start, end, step = float(q["start"]), float(q["end"]), float(q["step"])
        expr, _, name = q["query"].partition("@")
        for i, _g, _u, _m, ss in CHARTS:
            for n, s in enumerate(ss):
                if expr == f"node_{i}_{n}":
                    at = [start + k * step for k in range(int((end - start) / step) + 1)]
                    values = [[t, str(value(name.strip('"'), i, n, s[1], s[2], t))] for t in at]
                    return JSONResponse(
                        {
                            "status": "success",
                            "data": {
                                "resultType": "matrix",
                                "result": [{"metric": {}, "values": values}],
                            },
                        }
                    )
        return await asked.query(request)

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        if not who(socket):
            await socket.close(4401)
            return
        page: dict[str, Any] = {}

        async def send() -> None:
            told = -1
            previous: list[list[int]] = []
            while True:
                await asyncio.sleep(1 - time.time() % 1)
                if page.get("page") == "fleet":
                    if told != fleet.revision:
                        told = fleet.revision
                        await socket.send_json(
                            {"type": "hosts", "revision": told, **columns(fleet.hosts)}
                        )
                        await socket.send_bytes(fleet.frame())
                    else:
                        changed = [(i, c) for i, c in enumerate(fleet.cells) if c != previous[i]]
                        body = b"".join(struct.pack("<I6B", i, *c) for i, c in changed)
                        await socket.send_bytes(
                            struct.pack("<BBHdI", 1, 0, told, time.time(), len(changed)) + body
                        )
                    previous = [list(c) for c in fleet.cells]
                    await socket.send_json(verdict())
                elif page.get("page") == "host":
                    name = page["host"]
                    now = math.floor(time.time())
                    if page.pop("fresh", None):
                        told = -1
                        series = [
                            {"chart": i, "legend": s[0], "labels": {}}
                            for i, _g, _u, _m, ss in CHARTS
                            for s in ss
                        ]
                        await socket.send_json({"type": "series", "revision": 1, "series": series})
                    values = [
                        value(name, i, n, s[1], s[2], now)
                        for i, _g, _u, _m, ss in CHARTS
                        for n, s in enumerate(ss)
                    ]
                    await socket.send_bytes(
                        struct.pack("<BBHdI", 2, 0, 1, now, len(values))
                        + struct.pack(f"<{len(values)}f", *values)
                    )
                elif page.get("page") == "incidents":
                    await socket.send_json(
                        {
                            "type": "incidents",
                            "incidents": [i for i in fleet.incidents if i["state"] != "resolved"],
                        }
                    )

        def verdict() -> dict[str, Any]:
            return {
                "type": "verdict",
                "counts": {},
                "incidents": [i for i in fleet.incidents if i["state"] != "resolved"],
            }

        task = asyncio.create_task(send())
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                said = await socket.receive_json()
                page.clear()
                page.update(said["subscribe"], fresh=True)
                if page["page"] == "fleet":
                    await socket.send_json(
                        {"type": "hosts", "revision": fleet.revision, **columns(fleet.hosts)}
                    )
                    await socket.send_bytes(fleet.frame())
                    await socket.send_json(verdict())
        task.cancel()

    async def ticking() -> None:
        while True:
            await asyncio.sleep(1)
            fleet.tick()

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> Any:
        task = asyncio.create_task(ticking())
        yield
        task.cancel()

    silences = asked.Silences(fleet.story)
    all_methods = ["GET", "POST", "PATCH", "DELETE"]
    api = [
        ("session", session),
        ("session/password", password),
        ("hosts", hosts),
        ("hosts/{name}/charts", history),
        ("hosts/{name}", host),
        ("charts/host", charts),
        ("incidents", incidents),
        ("incidents/{id}", incident),
        ("incidents/{id}/{act}", incident),
        ("enrolments", enrolments),
        ("enrolments/{id}", enrolment),
        ("users", users),
        ("users/{name}", user),
        ("tokens", tokens),
        ("tokens/{id}", token),
        ("audit", audit),
        ("silences", silences.list_or_make),
        ("silences/{id}", silences.end),
        ("rules", asked.rules),
        ("labels", asked.labels),
        ("label/{name}/values", asked.label_values),
        ("query", asked.query),
        ("query_range", query_range),
        ("receivers", receivers),
        ("receivers/{name}/test", receivers),
    ]
    return Starlette(
        routes=[
            *(Route(f"/api/v1/{path}", handler, methods=all_methods) for path, handler in api),
            WebSocketRoute("/api/v1/live", live),
            *vezha.ui.routes(),
        ],
        lifespan=lifespan,
    )


def columns(hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """The hosts as the live stream lists them."""

    def column(texts: list[str | None]) -> dict[str, Any]:
        values = sorted({text for text in texts if text is not None})
        return {"values": values, "at": [-1 if t is None else values.index(t) for t in texts]}

    names = sorted({label for host in hosts for label in host["labels"]})
    return {
        "names": [host["name"] for host in hosts],
        "labels": {n: column([host["labels"].get(n) for host in hosts]) for n in names},
        "os": column([host["os"] or None for host in hosts]),
    }


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8480)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--story", choices=("busy", "calm", "empty"), default="busy")
    given = parser.parse_args()
    uvicorn.run(
        create(Fleet(given.hosts, given.story)),
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
