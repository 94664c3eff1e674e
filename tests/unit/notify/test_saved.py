"""Receivers and routes that are saved while running: sealed, checked, merged, taken up live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.notify.conftest import Office

from vezha.ledger.tables import receiver as receiver_table
from vezha.notify.errors import NotifySettingsError, NotNow
from vezha.notify.in_force import InForce, Standing, merged
from vezha.notify.option import COMMON
from vezha.notify.provider import load_provider, provider_names
from vezha.notify.saved import (
    SavedRoute,
    get_receiver,
    made_of,
    read_routes,
    remove_receiver,
    revision_of,
    save_receiver,
    save_routes,
    seal_anew,
)
from vezha.notify.settings import parse_settings
from vezha.notify.vault import Vault

HOOK = {"type": "webhook", "url": "https://example.org/file"}
MAIL = {"host": "mail.example.org", "user": "vezha", "from": "v@example.org", "to": ["a@b.org"]}
WORD = "hunter2-is-secret"


def vault_of(office: Office) -> Vault:
    return Vault(str(office.folder / "notify.key"))


def save(
    office: Office,
    name: str = "mail",
    type_: str = "smtp",
    options: Mapping[str, object] | None = None,
    before: str = "",
    **secrets: str | None,
) -> str:
    """Save a receiver; its revision."""
    given = MAIL if options is None else options
    with office.ledger.begin() as connection:
        return save_receiver(
            connection, vault_of(office), name, type_, given, secrets, before, "olena",
            office.now_ms(), {"hook"},
        ).revision  # fmt: skip


def routes(office: Office, *wanted: SavedRoute) -> None:
    with office.ledger.begin() as connection:
        known = look(office).plan.receivers
        save_routes(connection, wanted, revision_of(read_routes(connection)), known)


def look(office: Office) -> Standing:
    with office.ledger.read() as connection:
        return InForce(str(office.settings), {}, vault_of(office)).look(connection)


def password(office: Office, name: str = "mail") -> str:
    with office.ledger.read() as connection:
        made = made_of(get_receiver(connection, name), vault_of(office))
    return str(made.sender._account.password.reveal())  # type: ignore[attr-defined]


def test_a_secret_is_sealed_and_bound_to_its_place(office: Office) -> None:
    save(office, password=WORD)
    with office.ledger.read() as connection:
        row = connection.execute(select(receiver_table)).one()
    assert WORD not in str(row)
    assert password(office) == WORD
    vault = vault_of(office)
    with pytest.raises(NotifySettingsError, match="another key"):
        vault.open(row.secrets["password"], "receiver/other/password")
    assert (office.folder / "notify.key").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_is_not_given_stays_and_null_takes_it_away(office: Office) -> None:
    before = save(office, password=WORD)
    before = save(office, options={**MAIL, "to": ["b@c.org"]}, before=before)
    assert password(office) == WORD
    bare = {k: v for k, v in MAIL.items() if k != "user"}
    save(office, options=bare, before=before, password=None)
    with office.ledger.read() as connection:
        assert get_receiver(connection, "mail").secrets == {}


def test_a_secret_is_not_sent_elsewhere_unseen(office: Office) -> None:
    before = save(office, password=WORD)
    moved: dict[str, object] = {**MAIL, "host": "evil.example.org"}
    with pytest.raises(NotifySettingsError, match="give password again, since host changed"):
        save(office, options=moved, before=before)
    save(office, options=moved, before=before, password="another")
    assert password(office) == "another"


@pytest.mark.parametrize(
    ("type_", "options", "secrets", "field"),
    [
        ("smtp", {**MAIL, "password_file": "/etc/shadow"}, {}, "password_file"),
        ("smtp", {**MAIL, "ca_file": "/etc/shadow"}, {}, "ca_file"),
        ("smtp", {**MAIL, "password": "x"}, {}, "password"),
        ("smtp", {**MAIL, "port": "25"}, {"password": "x"}, "port"),
        ("smtp", {**MAIL, "security": "maybe"}, {"password": "x"}, "security"),
        ("smtp", {"host": "h"}, {}, "from"),
        ("smtp", {**MAIL, "time_zone": "Mars/Base"}, {"password": "x"}, "time_zone"),
        ("smtp", {**MAIL, "rate": 0}, {"password": "x"}, "rate"),
        ("webhook", {}, {}, "url"),
        ("webhook", {}, {"url_env": "HOME"}, "url_env"),
        ("pigeon", {}, {}, "type"),
    ],
)
def test_what_cannot_be_used_is_not_saved(
    office: Office, type_: str, options: dict[str, object], secrets: dict[str, str], field: str
) -> None:
    with pytest.raises(NotifySettingsError) as told:
        save(office, "r", type_, options, **secrets)
    assert told.value.field == field
    assert look(office).plan.receivers == {}


def test_nobody_overwrites_unseen(office: Office) -> None:
    first = save(office, password=WORD)
    save(office, before=first, options={**MAIL, "rate": 5})
    with pytest.raises(NotNow, match="changed meanwhile"):
        save(office, before=first)
    with pytest.raises(NotNow, match="changed meanwhile"):
        save(office)
    with pytest.raises(NotNow, match=r"stands in notify\.toml"):
        save(office, "hook", "webhook", {}, url="https://example.org")


def test_what_is_still_named_is_not_removed(office: Office) -> None:
    before = save(office, password=WORD)
    routes(office, SavedRoute(("mail",)))
    with office.ledger.begin() as connection, pytest.raises(NotNow, match="named by route 1"):
        remove_receiver(connection, "mail", before)
    routes(office)
    with office.ledger.begin() as connection:
        remove_receiver(connection, "mail", before)
    assert look(office).plan.receivers == {}


def test_a_route_is_checked_as_one_of_the_file_is(office: Office) -> None:
    save(office, password=WORD)
    for bad, field in (
        (SavedRoute(("nobody",)), "routes[1].receivers"),
        (SavedRoute(("mail",), ("what",)), "routes[1].match"),
        (SavedRoute(("mail",), (), "awful"), "routes[1].severity"),
    ):
        with pytest.raises(NotifySettingsError) as told:
            routes(office, SavedRoute(("mail",)), bad)
        assert told.value.field == field


def test_file_and_saved_ones_together(office: Office) -> None:
    """Each row: what the file says, which routes are saved, who is asked in which order."""
    save(office, password=WORD)
    saved = look(office).plan.receivers
    one = SavedRoute(("mail",), ("team=db",))
    for file, own, wanted in (
        ({}, (), [(("mail",), False)]),
        ({}, (one,), [(("mail",), False)]),
        ({"receivers": {"hook": HOOK}}, (), [(("hook", "mail"), False)]),
        # nobody who was told of everything is made mute by a route for somebody else
        ({"receivers": {"hook": HOOK}}, (one,), [(("hook",), True), (("mail",), False)]),
        ({"receivers": {"hook": HOOK}, "routes": [{"receivers": ["hook"]}]}, (one,),
         [(("hook",), False), (("mail",), False)]),
        ({"receivers": {"hook": HOOK}, "routes": [{"receivers": ["hook"]}]}, (), [(("hook",), False)]),
    ):  # fmt: skip
        plan, problems = merged(parse_settings(file, "file", {}), saved, own)
        assert [(r.receivers, r.go_on) for r in plan.routes] == wanted
        assert problems == {}


def test_a_route_to_nobody_that_is_left_does_not_swallow() -> None:
    file = parse_settings({"receivers": {"hook": HOOK}}, "file", {})
    plan, problems = merged(file, {}, (SavedRoute(("gone",)),))
    assert [r.receivers for r in plan.routes] == [("hook",)]
    assert list(problems) == ["route 1"]


def test_the_file_wins_over_a_saved_one_of_its_name(office: Office) -> None:
    save(office, password=WORD)
    office.settings.write_text('[receivers.mail]\ntype = "webhook"\nurl = "https://example.org"\n')
    standing = look(office)
    assert (standing.plan.receivers["mail"].type, standing.plan.receivers["mail"].saved) == (
        "webhook",
        False,
    )
    assert "wins" in standing.problems["mail"]


def test_without_the_key_a_receiver_says_so_and_the_others_stand(office: Office) -> None:
    save(office, password=WORD)
    save(office, "push", "webpush", {"contact": "mailto:a@b.org"})
    (office.folder / "notify.key").unlink()
    office.settings.write_text('[receivers.hook]\ntype = "webhook"\nurl = "https://example.org"\n')
    standing = look(office)
    assert list(standing.plan.receivers) == ["hook"]
    assert sorted(standing.problems) == ["mail", "push"]


def test_the_key_of_web_push_is_made_once(office: Office) -> None:
    before = save(office, "push", "webpush", {"contact": "mailto:a@b.org"})
    first = look(office).plan.receivers["push"].sender.public_key  # type: ignore[attr-defined]
    save(office, "push", "webpush", {"contact": "mailto:c@d.org"}, before)
    assert look(office).plan.receivers["push"].sender.public_key == first  # type: ignore[attr-defined]


def test_the_notifier_takes_up_what_is_saved_without_a_restart(office: Office) -> None:
    notifier = office.notifier()

    async def play() -> None:
        await notifier.step()
        assert notifier.names() == []
        office.tell("fired", "db-1")
        await notifier.step()
        save(office, password=WORD)
        await notifier.step()
        assert notifier.names() == ["mail"]
        kept = notifier.find("mail")
        save(office, "hook2", "webhook", {}, url="https://127.0.0.1:1/x")
        await notifier.step()
        assert notifier.find("mail") is kept  # who did not change keeps connections
        with office.ledger.begin() as connection:
            remove_receiver(connection, "mail", get_receiver(connection, "mail").revision)
        await notifier.step()
        assert notifier.names() == ["hook2"]
        await notifier.close()

    asyncio.run(play())


def test_a_fault_of_the_file_leaves_saved_ones_changeable(office: Office) -> None:
    in_force = InForce(str(office.settings), {}, vault_of(office))
    office.settings.write_text('[receivers.hook]\ntype = "webhook"\nurl = "https://example.org"\n')
    with office.ledger.read() as connection:
        in_force.look(connection)
    office.settings.write_text("[receivers.hook]\n")
    save(office, password=WORD)
    with office.ledger.read() as connection:
        standing = in_force.look(connection)
        assert in_force.look(connection) is standing
    assert "type is missing" in standing.problem
    assert sorted(standing.plan.receivers) == ["hook", "mail"]


def test_every_way_says_what_it_asks_for() -> None:
    common = {o.name for o in COMMON}
    for name in provider_names():
        options = load_provider(name).options
        assert options, name
        assert not common & {o.name for o in options}, name
        assert all(not o.name.endswith(("_file", "_env")) for o in options), name


def test_a_key_of_the_wrong_size_is_named(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"short")
    with pytest.raises(NotifySettingsError, match="damaged"):
        Vault(str(tmp_path / "k")).seal("x", "y")


def test_a_change_of_the_key_may_be_broken_off_anywhere(office: Office) -> None:
    save(office, password=WORD)
    path = office.folder / "notify.key"
    old_key = path.read_bytes()

    def word() -> str:
        with office.ledger.read() as connection:
            row = get_receiver(connection, "mail")
        return vault_of(office).open(row.secrets["password"], "receiver/mail/password").reveal()

    def anew() -> tuple[int, list[str]]:
        with office.ledger.begin() as connection:
            return seal_anew(connection, vault_of(office))

    vault_of(office).begin_change()
    assert word() == WORD, "the next key is there, nothing is sealed with it"
    save(office, "second", password=WORD)  # sealed meanwhile, by another process
    assert anew() == (2, [])
    assert word() == WORD, "sealed with the next key, the old one is in its place"
    vault_of(office).begin_change()
    assert anew() == (2, []), "and once more from the beginning"
    vault_of(office).end_change()
    assert word() == WORD
    assert path.read_bytes() != old_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in office.folder.glob("*notify.key*")] == ["notify.key"]

    path.write_bytes(old_key)
    with pytest.raises(NotifySettingsError, match="another key"):
        word()


def test_what_cannot_be_opened_is_told_and_stays_when_the_key_changes(office: Office) -> None:
    save(office, password=WORD)
    (office.folder / "notify.key").unlink()
    save(office, "second", password=WORD)
    vault_of(office).begin_change()
    with office.ledger.begin() as connection:
        done, lost = seal_anew(connection, vault_of(office))
    assert done == 1
    assert len(lost) == 1
    assert lost[0].startswith("receiver mail: password: it was sealed with another key")
