"""`notify.toml`: what is read, and the one sentence about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.incidents.words import Member, Place
from vezha.model.severity import Severity
from vezha.notify.errors import NotifySettingsError
from vezha.notify.plan import receivers_of
from vezha.notify.provider import provider_names
from vezha.notify.secret import Secret
from vezha.notify.settings import NotifyPlan, load_settings

GOOD = """
language = "uk"
time_zone = "Europe/Kyiv"
[receivers.oncall]
type = "telegram"
token_env = "TG"
chat_id = -100
[receivers.mail]
type = "smtp"
host = "mail.example.org"
user = "vezha"
password_file = "{folder}/password"
from = "Vezha <vezha@example.org>"
to = ["a@example.org", "B <b@example.org>"]
language = "en"
rate = 5
[receivers.hook]
type = "webhook"
url = "https://example.org/hook"
[[routes]]
match = ['site="kyiv"', 'severity=~"critical|warning"']
receivers = ["oncall"]
continue = true
[[routes]]
match = 'team="db"'
severity = "critical"
receivers = ["mail"]
[[routes]]
severity = "info"
receivers = ["hook"]
"""


def load(tmp_path: Path, text: str) -> NotifyPlan:
    (tmp_path / "password").write_text("s3cret\n")
    path = tmp_path / "notify.toml"
    path.write_text(text.replace("{folder}", str(tmp_path)))
    return load_settings(str(path), {"TG": "123456:" + "A" * 35})


def test_a_file_with_everything(tmp_path: Path) -> None:
    plan = load(tmp_path, GOOD)
    assert [(r.name, r.type, r.language, r.rate) for r in plan.receivers.values()] == [
        ("oncall", "telegram", "uk", 20),
        ("mail", "smtp", "en", 5),
        ("hook", "webhook", "uk", 20),
    ]
    assert plan.receivers["hook"].time_zone == "Europe/Kyiv"
    assert [r.go_on for r in plan.routes] == [True, False, False]


def test_no_file_tells_nobody(tmp_path: Path) -> None:
    assert load_settings(str(tmp_path / "absent.toml"), {}) == NotifyPlan()


def member(severity: Severity, host: str = "a", **labels: str) -> Member:
    return Member("f", "A", host, severity, "firing", labels, {}, 0, 0)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (member(Severity.WARNING, site="kyiv"), ["oncall", "hook"]),
        (member(Severity.CRITICAL, team="db"), ["mail"]),
        (member(Severity.CRITICAL, team="db", site="kyiv"), ["oncall", "mail"]),
        (member(Severity.WARNING, team="db"), ["hook"]),
        (member(Severity.INFO, site="kyiv"), ["hook"]),
        (member(Severity.WARNING, host="k-1"), ["oncall", "hook"]),
    ],
)
def test_routes(tmp_path: Path, one: Member, wanted: list[str]) -> None:
    plan = load(tmp_path, GOOD)
    place = Place({"k-1": {"site": "kyiv"}})
    assert [r.name for r in receivers_of(plan, [one], one.severity, place)] == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1", "a is not known here"),
        ("[receivers.x]", "receiver x: type is missing"),
        ("[receivers.x]\ntype = 'pigeon'", 'type "pigeon" is not known; known are apprise'),
        ("[receivers.x]\ntype = 'webhook'", "url must begin with https://"),
        ("[receivers.x]\ntype = 'webhook'\nurl = 'https://a.b'\ncolour = 1", "colour is not known"),
        ("[receivers.x]\ntype = 'webhook'\nurl_env = 'NONE'", "no variable NONE"),
        ("[receivers.x]\ntype = 'webhook'\nurl_file = '/nowhere'", "/nowhere cannot be read"),
        ("[receivers.x]\ntype = 'webhook'\nurl = 'a'\nurl_env = 'B'", "set only one of url, url_env"),
        ("[receivers.x]\ntype = 'telegram'\ntoken = '12'\nchat_id = 1", "token is missing or not one"),
        ("[receivers.x]\ntype = 'telegram'\ntoken_env = 'TG'", "chat_id must be a number"),
        ("[receivers.x]\ntype = 'smtp'\nhost = 'h'\nfrom = 'a@b'\nto = []", "to needs 1 to"),
        ("[receivers.x]\ntype = 'smtp'\nhost = 'h'\nfrom = 'nobody'\nto = ['a@b']", "is not a mail address"),
        ("[receivers.x]\ntype = 'smtp'\nhost = 'h'\nuser = 'u'\nfrom = 'a@b'\nto = ['a@b']", "belong together"),
        ("[receivers.x]\ntype = 'smtp'\nhost = 'h'\nuser = 'u'\npassword = 'p'\nsecurity = 'none'\nfrom = 'a@b'\nto = ['a@b']", "not sent in clear"),
        ("[receivers.x]\ntype = 'webhook'\nurl = 'https://a'\nlanguage = 'de'", "use en or uk"),
        ("[receivers.x]\ntype = 'webhook'\nurl = 'https://a'\ntime_zone = 'Mars'", "no time zone"),
        ("[receivers.x]\ntype = 'webhook'\nurl = 'https://a'\nrate = 0", "rate must be a whole number"),
        ("[[routes]]\nreceivers = ['ghost']", 'no receiver "ghost"; there are: none'),
        ("[[routes]]\nmatch = 'a'", 'match: "a" is not a matcher'),
        ("[[routes]]\nseverity = 'bad'", 'severity "bad" is not known'),
        ("[receivers", "notify.toml:"),
    ],
)  # fmt: skip
def test_faults_name_place_and_fix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NotifySettingsError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_does_not_show() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"
    assert secret.hide_in("login hunter2 failed") == "login *** failed"


def test_a_provider_is_a_folder() -> None:
    assert provider_names() == ["apprise", "smtp", "telegram", "webhook", "webpush"]
