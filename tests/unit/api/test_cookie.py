"""The session's cookie, over HTTPS and over plain HTTP on loopback."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.conftest import PASSWORD, TestClient, Tower

from vezha.api.cookie import Origin, is_cross_site, is_foreign_origin, read_cookie, set_cookie

CHROME = "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
SAFARI = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605"
TLS, PLAIN = Origin("https", "vezha.test"), Origin("http", "127.0.0.1:8470")


@pytest.mark.parametrize("agent", [CHROME, FIREFOX, SAFARI, "", "curl/8"])
def test_over_https_the_cookie_is_bound_to_this_very_host(agent: str) -> None:
    made = set_cookie(TLS, "vzs_x", 60, agent)
    assert made == ("__Host-vezha=vzs_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict")


@pytest.mark.parametrize("agent", [CHROME, FIREFOX, "", "curl/8"])
def test_on_loopback_it_is_secure_as_well(agent: str) -> None:
    made = set_cookie(PLAIN, "vzs_x", 60, agent)
    assert made == "vezha=vzs_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict"


def test_safari_on_loopback_gets_one_that_it_keeps() -> None:
    made = set_cookie(PLAIN, "vzs_x", 60, SAFARI)
    assert made == "vezha=vzs_x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"


@given(st.text(max_size=200))
def test_no_cookie_header_breaks_the_reading(header: str) -> None:
    assert isinstance(read_cookie({"cookie": header}, TLS), str)


@given(st.text(max_size=60))
def test_no_origin_breaks_the_check_and_none_but_ours_passes(origin: str) -> None:
    passes = not is_foreign_origin({"origin": origin}, TLS)
    assert not passes or "vezha.test" in origin.casefold()


def test_an_own_origin_passes_whatever_its_case() -> None:
    assert not is_cross_site("POST", {"origin": "https://VEZHA.test"}, TLS)
    assert is_cross_site("POST", {"origin": "https://vezha.test:444"}, TLS)
    assert not is_cross_site("GET", {"sec-fetch-site": "cross-site"}, TLS)


def test_a_browser_signs_in_works_and_signs_out(tower: Tower) -> None:
    browser = tower.browser("ivan")
    assert browser.get("/api/v1/session").json()["user"] == {
        "name": "ivan", "role": "operator", "must_change_password": False, "kind": "user",
        "seen_by": "", "teams": [],
    }  # fmt: skip
    assert browser.delete("/api/v1/session").status_code == 204
    assert browser.get("/api/v1/session").status_code == 401


def test_plain_http_works_on_loopback(tower: Tower) -> None:
    client = TestClient(tower.app, base_url="http://127.0.0.1:8470")
    answer = client.post("/api/v1/session", json={"name": "ivan", "password": PASSWORD})
    assert answer.headers["set-cookie"].startswith("vezha=vzs_")
    secret = answer.headers["set-cookie"].split("=")[1].split(";")[0]
    headers = {"Cookie": f"vezha={secret}"}
    assert client.get("/api/v1/session", headers=headers).status_code == 200
    client.close()


def test_wrong_passwords_are_told_to_wait(tower: Tower) -> None:
    client = tower.client()
    codes = []
    for _ in range(7):
        answer = client.post("/api/v1/session", json={"name": "ivan", "password": "wrong"})
        codes.append(answer.status_code)
    assert codes == [401] * 5 + [429] * 2
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "throttled"


def test_the_first_password_must_be_changed_before_anything_else(tower: Tower) -> None:
    admin = tower.browser()
    made = admin.post("/api/v1/users", json={"name": "new", "role": "admin"}).json()
    fresh = tower.client()
    password = made["one_time_password"]
    signed_in = fresh.post("/api/v1/session", json={"name": "new", "password": password})
    assert signed_in.json()["user"]["must_change_password"]
    refused = fresh.get("/api/v1/hosts")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "must_change_password")
    changed = fresh.post(
        "/api/v1/session/password", json={"old": password, "new": "another fine phrase"}
    )
    assert not changed.json()["user"]["must_change_password"]
    assert fresh.get("/api/v1/hosts").status_code == 200


def test_people_are_managed_and_the_last_admin_stays(tower: Tower) -> None:
    admin = tower.browser()
    assert admin.post("/api/v1/users", json={"name": "ivan"}).status_code == 409
    weak = admin.post("/api/v1/users", json={"name": "x", "password": "short"})
    assert (weak.status_code, weak.json()["error"]["code"]) == (400, "weak_password")
    changed = admin.patch("/api/v1/users/ivan", json={"role": "viewer", "reset_password": True})
    assert changed.json()["user"]["role"] == "viewer"
    assert changed.json()["one_time_password"]
    assert admin.patch("/api/v1/users/olena", json={"disabled": True}).status_code == 409
    assert admin.delete("/api/v1/users/ivan").status_code == 204
    names = [u["name"] for u in admin.get("/api/v1/users").json()["users"]]
    assert names == ["olena", "petro"]


def test_a_token_signs_in_as_its_role_and_has_no_password(tower: Tower) -> None:
    admin = tower.browser()
    made = admin.post("/api/v1/tokens", json={"name": "ci", "lifetime_s": 60}).json()
    program = tower.client(None, Authorization=f"Bearer {made['token']}")
    assert program.get("/api/v1/session").json()["user"]["kind"] == "token"
    answer = program.post("/api/v1/session/password", json={"old": "x", "new": "y"})
    assert answer.status_code == 400
    listed = admin.get("/api/v1/tokens").json()["tokens"]
    assert [t["name"] for t in listed] == ["ci"]
    assert admin.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert program.get("/api/v1/session").status_code == 401
