"""Every request: who, may, what, in which form; and that nothing breaks it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.conftest import PASSWORD, TestClient, Tower

from vezha.access import ACTIONS, Action, Role, Subject, SubjectKind, decide
from vezha.access.audit import list_audit
from vezha.api import limits
from vezha.api.app import OWN_ROUTES, check_table
from vezha.api.metrics import ApiMetrics
from vezha.api.route import Route

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/healthz/flow"),
    ("POST", "/api/v1/session"),
    ("GET", "/api/v1/openapi.json"),
}
HTTP_ROUTES = [r for r in OWN_ROUTES if not r.websocket]


def _ids(route: Route) -> str:
    return f"{route.method} {route.path}"


def ask(client: TestClient, route: Route, **kwargs: Any) -> Any:
    path = route.path.replace(":path}", "}")
    for name in route.parameters:
        path = path.replace("{" + name + "}", "1")
    return client.request(route.method, path, **kwargs)


def test_no_route_is_without_an_action_or_there_twice() -> None:
    check_table(OWN_ROUTES)
    assert all(isinstance(r.action, Action) for r in OWN_ROUTES)
    with pytest.raises(AssertionError, match="twice"):
        check_table([*OWN_ROUTES, OWN_ROUTES[0]])


def test_routes_that_change_something_name_an_action_that_is_audited() -> None:
    for route in OWN_ROUTES:
        reads = route.method == "GET" or route.prometheus
        assert reads or ACTIONS[route.action].changes, _ids(route)


@pytest.mark.parametrize("route", HTTP_ROUTES, ids=_ids)
def test_nobody_gets_past_the_door(tower: Tower, route: Route) -> None:
    answer = ask(tower.client(), route)
    if (route.method, route.path) in OPEN:
        # 503: nobody told this twin that its data flows
        assert answer.status_code in (200, 400, 415, 503)
    else:
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("route", HTTP_ROUTES, ids=_ids)
@pytest.mark.parametrize("role", list(Role))
def test_what_the_table_refuses_the_api_refuses(tower: Tower, route: Route, role: Role) -> None:
    subject = Subject(SubjectKind.TOKEN, "t", role)
    answer = ask(tower.client(role), route)
    allowed = decide(subject, route.action).allowed
    assert (answer.status_code != 403) is allowed, answer.text
    assert answer.status_code not in (401, 500)


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Bearer vzt_" + "a" * 43, "Basic !!!",
                                    "Basic dmV6aGE6eA==", "Digest x", "Bearer ї"])  # fmt: skip
def test_a_wrong_token_is_refused_and_does_not_fall_back_to_the_cookie(
    tower: Tower, header: str
) -> None:
    browser = tower.browser()
    assert browser.get("/api/v1/session").status_code == 200
    answer = browser.get("/api/v1/session", headers={"Authorization": header.encode("utf-8")})
    assert answer.status_code == 401


def test_basic_with_the_token_as_password_is_the_token(tower: Tower) -> None:
    client = tower.client()
    assert client.get("/api/v1/hosts", auth=("any", tower.token(Role.VIEWER))).status_code == 200


def test_an_expired_or_revoked_session_is_nobody(tower: Tower) -> None:
    browser = tower.browser()
    tower.clock.ahead_s = 13 * 3600
    assert browser.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "http://vezha.test"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "https://["}, True),
        ({"Origin": "https://vezha.test"}, False),
        ({}, False),
    ],
)
def test_another_sites_page_cannot_use_the_cookie(
    tower: Tower, headers: dict[str, str], refused: bool
) -> None:
    cookies = {"__Host-vezha": _session(tower)}
    client = tower.client()
    client.cookies.update(cookies)
    answer = client.post("/api/v1/enrolments", json={}, headers=headers)
    assert answer.status_code == (403 if refused else 201), answer.text
    if refused:
        assert answer.json()["error"]["code"] == "cross_site"


def test_a_token_needs_no_origin(tower: Tower) -> None:
    client = tower.client(Role.OPERATOR)
    answer = client.post("/api/v1/enrolments", json={}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 201


def test_a_refused_action_is_in_the_audit_with_the_reason(tower: Tower) -> None:
    assert tower.browser("petro").delete("/api/v1/hosts/x").status_code == 403
    with tower.services.ledger.read() as connection:
        row = list_audit(connection, 1)[0]
    assert (row["actor"], row["action"], row["outcome"]) == ("petro", "host.remove", "refused")
    assert "role_too_low" in row["detail"]


def test_every_change_is_in_the_audit(tower: Tower) -> None:
    browser = tower.browser()
    tower.enrol("db-1")
    browser.patch("/api/v1/hosts/db-1", json={"labels": {"site": "kyiv"}})
    browser.post("/api/v1/tokens", json={"name": "ci"})
    browser.delete("/api/v1/hosts/db-1")
    browser.delete("/api/v1/session")
    with tower.services.ledger.read() as connection:
        rows = list_audit(connection, 50)
    actions = [r["action"] for r in reversed(rows) if r["actor"] == "olena"]
    assert actions == ["session.open", "host.change", "token.create", "host.remove",
                       "session.close"]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "application/json", 400, "empty"),
        (b"{", "application/json", 400, "not JSON"),
        (b"\xff\xfe", "application/json", 400, "not JSON"),
        (b"[]", "application/json", 400, "Expected object"),
        (b"{}", "application/json", 400, "name is missing"),
        (b'{"name":1,"password":"x"}', "application/json", 400, "name: Expected str"),
        (b'{"name":"a","password":"x","a":1}', "application/json", 400, "a is unknown"),
        (b'{"name":"","password":"x"}', "application/json", 400, "name: Expected"),
        (b'{"name":"a","password":"x"}', "text/plain", 415, "application/json"),
        (b"[" * 100_000, "application/json", 400, "Expected object"),
        (b'{"name":' + b"[" * 100_000, "application/json", 400, "name: Expected str"),
        (b'"' + b"x" * 300_000 + b'"', "application/json", 413, "longer"),
    ],
)
def test_a_wrong_body_is_told_by_field(
    tower: Tower, body: bytes, kind: str, status: int, said: str
) -> None:
    answer = tower.client().post("/api/v1/session", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_a_body_that_never_ends_is_cut_at_the_limit(tower: Tower) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b"x" * 65_536

    answer = tower.client().post(
        "/api/v1/session", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/nothing", 404),
        ("GET", "/api/v2/hosts", 404),
        ("PUT", "/api/v1/session", 405),
        ("GET", "/api/v1/hosts/absent", 404),
        ("DELETE", "/api/v1/tokens/x", 404),
        ("DELETE", "/api/v1/tokens/99999999999999999999", 404),
        ("DELETE", "/api/v1/tokens/999", 404),
        ("GET", "/api/v1/audit?limit=0", 400),
        ("GET", "/api/v1/audit?limit=x", 400),
        ("GET", "/api/v1/audit?limit=1000000", 400),
    ],
)
def test_errors_have_one_shape(tower: Tower, method: str, path: str, status: int) -> None:
    answer = tower.client(Role.ADMIN).request(method, path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) <= {"code", "message", "field"}
    assert error["message"].endswith(".")


def test_every_answer_has_an_id_and_is_not_cached(tower: Tower) -> None:
    client = tower.client(Role.VIEWER)
    answer = client.get("/api/v1/hosts", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    other = client.get("/api/v1/hosts", headers={"X-Request-ID": "a b\u00a0<script>".encode()})
    assert len(other.headers["x-request-id"]) == 16
    assert client.get("/api/v1/hosts").headers["x-request-id"] != other.headers["x-request-id"]


def test_answers_are_counted_by_the_time_somebody_looks() -> None:
    metrics = ApiMetrics()
    count = metrics.counts_of("GET", "/api/v1/query")
    assert b'route="/api/v1/query"' not in metrics.text()
    for _ in range(limits.ANSWERS_NOTED_MAX + 5):
        count(200, 0.003)
    count(404, 3.0)
    metrics.count_query("answered", 0.003)
    text = metrics.text().decode()
    seen = limits.ANSWERS_NOTED_MAX + 5
    asked = 'vezha_http_requests_total{method="GET",route="/api/v1/query"'
    assert f'{asked},status="200"}} {seen}.0' in text
    assert f'{asked},status="404"}} 1.0' in text
    assert f'duration_seconds_count{{route="/api/v1/query"}} {seen + 1}.0' in text
    assert 'vezha_queries_total{outcome="answered"} 1.0' in text
    assert "vezha_query_duration_seconds_count 1.0" in text
    assert metrics.text().decode() == text


def test_what_breaks_on_our_side_is_a_500_with_an_id_and_no_details(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(tower.services.fleet, "snapshot", broken)
    answer = tower.client(Role.VIEWER).get("/api/v1/hosts")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert "secret" not in answer.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                max_size=3),
    max_leaves=8,
)  # fmt: skip
_KEYS = ("name", "password", "role", "labels", "old", "new", "lifetime_s", "disabled",
         "reset_password", "query", "text")  # fmt: skip
_BODIES = st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=5) | _JSON
_FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
_WRITERS = [r for r in HTTP_ROUTES if r.body is not None]


@_FUZZ
@given(st.sampled_from(_WRITERS), _BODIES, st.text(min_size=1, max_size=12))
def test_no_body_and_no_path_breaks_the_server(
    tower: Tower, route: Route, body: object, word: str
) -> None:
    client = tower.clients[0] if tower.clients else tower.client(Role.ADMIN)
    path = route.path
    for name in route.parameters:
        path = path.replace("{" + name + "}", _quoted(word))
    answer = client.request(route.method, path, json=body)
    assert answer.status_code < 500, answer.text


@_FUZZ
@given(st.sampled_from(_WRITERS), st.binary(max_size=200))
def test_no_bytes_break_the_server(tower: Tower, route: Route, body: bytes) -> None:
    client = tower.clients[0] if tower.clients else tower.client(Role.ADMIN)
    answer = client.request(
        route.method, route.path.replace("{name}", "x"), content=body,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code < 500, answer.text


_READERS = [r for r in HTTP_ROUTES if r.query is not None]
_PARAMETERS = ("query", "start", "end", "step", "time", "match[]", "limit", "before", "timeout",
               "stats", "lookback_delta", "metric", "explain")  # fmt: skip


@_FUZZ
@given(
    st.sampled_from(_READERS),
    st.dictionaries(
        st.sampled_from(_PARAMETERS),
        st.text(max_size=20) | st.sampled_from(["up", "1", "-1", "1e400", "NaN", "1h", "0", "{}"]),
        max_size=6,
    ),
)
def test_no_parameters_break_the_server(
    tower: Tower, route: Route, parameters: dict[str, str]
) -> None:
    client = tower.clients[0] if tower.clients else tower.client(Role.ADMIN)
    path = route.path.replace("{name}", "x").replace("{name:path}", "x")
    if route.form:
        answer = client.post(path, data=parameters)
    else:
        answer = client.get(path, params=parameters)
    assert answer.status_code < 500, answer.text


def test_no_secret_is_logged_by_any_route(
    tower: Tower, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = tower.browser()
    secrets = [PASSWORD, browser.cookies["__Host-vezha"]]
    secrets.append(browser.post("/api/v1/tokens", json={"name": "a"}).json()["token"])
    secrets.append(browser.post("/api/v1/enrolments", json={}).json()["token"])
    made = browser.post("/api/v1/users", json={"name": "new"}).json()
    secrets.append(made["one_time_password"])
    browser.post("/api/v1/session/password", json={"old": PASSWORD, "new": "wrong"})
    browser.get("/api/v1/session", headers={"Authorization": f"Bearer {secrets[2]}x"})
    audit = browser.get("/api/v1/audit?limit=1000").text
    for route in HTTP_ROUTES:
        if not route.parameters and route.method == "GET":
            ask(browser, route)
    out, err = capfd.readouterr()
    for secret in secrets:
        assert secret not in caplog.text + out + err + audit


def _quoted(word: str) -> str:
    from urllib.parse import quote

    return quote(word, safe="") or "x"


def _session(tower: Tower) -> str:
    services = tower.services
    return services.sessions.sign_in("olena", PASSWORD, "::1", services.now_ms()).secret
