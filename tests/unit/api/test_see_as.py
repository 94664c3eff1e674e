"""An administrator looks at the pages as a role or a person would."""

from __future__ import annotations

from tests.unit.api.conftest import Tower

from vezha.access.audit import list_audit

AS = "/api/v1/session/as"


def rows(tower: Tower) -> list[tuple[str, str, str, str]]:
    with tower.services.ledger.read() as connection:
        return [
            (r["actor"], r["action"], r["target"], r["outcome"]) for r in list_audit(connection, 3)
        ]


def test_a_role_is_seen_and_left_again(tower: Tower) -> None:
    browser = tower.browser("olena")
    assert browser.get("/api/v1/users").status_code == 200
    assert browser.post(AS, json={"role": "viewer"}).status_code == 204
    user = browser.get("/api/v1/session").json()["user"]
    assert (user["name"], user["role"], user["seen_by"]) == ("olena", "viewer", "olena")
    refused = browser.get("/api/v1/users")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_too_low")
    assert browser.get("/api/v1/hosts").status_code == 200
    assert browser.delete(AS).status_code == 204
    assert browser.get("/api/v1/session").json()["user"]["seen_by"] == ""
    assert browser.get("/api/v1/users").status_code == 200
    assert rows(tower)[0][:2] == ("olena", "session.see_own")


def test_through_other_eyes_nothing_is_changed_and_the_own_name_is_written(tower: Tower) -> None:
    tower.enrol("db-1")
    browser = tower.browser("olena")
    browser.post(AS, json={"person": "ivan"})
    user = browser.get("/api/v1/session").json()["user"]
    assert (user["name"], user["role"], user["seen_by"]) == ("ivan", "operator", "olena")
    answer = browser.patch("/api/v1/hosts/db-1", json={"labels": {"role": "db"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "only_looking")
    assert rows(tower)[0] == ("olena", "host.change", "", "refused")
    assert rows(tower)[1] == ("olena", "session.see_as", "ivan", "done")
    # the way back is open, and signing in begins with the own eyes
    assert browser.delete("/api/v1/session").status_code == 204
    assert browser.cookies.get("vezha-as") is None


def test_who_may_not_and_what_is_wrong(tower: Tower) -> None:
    ivan = tower.browser("ivan")
    assert ivan.post(AS, json={"role": "viewer"}).status_code == 403
    # an operator who sets the cookie by hand sees as before
    ivan.cookies.set("vezha-as", "role.admin", domain="vezha.test")
    user = ivan.get("/api/v1/session").json()["user"]
    assert (user["role"], user["seen_by"]) == ("operator", "")
    olena = tower.browser("olena")
    assert olena.post(AS, json={"person": "nobody"}).status_code == 404
    assert olena.post(AS, json={"role": "king"}).status_code == 400
    # a person who is gone meanwhile: the own eyes again
    olena.post(AS, json={"person": "petro"})
    tower.browser("olena").delete("/api/v1/users/petro")
    assert olena.get("/api/v1/session").json()["user"]["seen_by"] == ""
