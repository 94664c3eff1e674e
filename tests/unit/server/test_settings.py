"""Settings are read once, from four places, and refuse what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.server.errors import SettingError
from vezha.server.reading import Address, parse_address, parse_duration, parse_size
from vezha.server.retention import retention_rows, store_settings
from vezha.server.settings import Settings, load_settings
from vezha.server.state import StateFolder


def load(folder: Path, text: str = "", *assignments: str, **environment: str) -> Settings:
    (folder / "settings.toml").write_text(text)
    return load_settings(StateFolder.at(folder), environment, assignments)


def test_without_any_setting_the_defaults_stand(tmp_path: Path) -> None:
    settings = load_settings(StateFolder.at(tmp_path), {})
    assert settings.web.listen == Address("127.0.0.1", 8470)
    assert settings.public_url == "http://127.0.0.1:8470"
    assert settings.ledger_url == f"sqlite:///{tmp_path}/ledger.db"
    assert settings.tls_files[2] == str(tmp_path / "tls" / "server.key")


def test_later_places_win(tmp_path: Path) -> None:
    text = '[web]\nlisten = "127.0.0.1:1"\n'
    assert load(tmp_path, text).web.listen.port == 1
    assert load(tmp_path, text, VEZHA_WEB_LISTEN="127.0.0.1:2").web.listen.port == 2
    settings = load(tmp_path, text, "web.listen=127.0.0.1:3", VEZHA_WEB_LISTEN="127.0.0.1:2")
    assert settings.web.listen.port == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[wbe]\n", "[wbe] in FILE is not a setting: did you mean web?"),
        ('[web]\nlistn = "x"\n', "web.listn in FILE is not a setting: did you mean listen?"),
        ("[web]\nlisten = 3\n", "web.listen in FILE is 3 but must be text in quotes"),
        (
            '[web]\nlisten = "localhost"\n',
            "web.listen in FILE is 'localhost' but must be an address such as 127.0.0.1:8470",
        ),
        (
            '[retention]\nsamples_s = "soon"\n',
            "retention.samples_s in FILE is 'soon' but must be a duration such as 45s, 12h or 30d",
        ),
        (
            "[query]\nsamples_max = -1\n",
            "query.samples_max in FILE is -1 but must be a whole number, 0 or more",
        ),
        ("[rules]\nbuiltin = 1\n", "rules.builtin in FILE is 1 but must be true or false"),
        (
            '[log]\nlevel = "loud"\n',
            "log.level in FILE is 'loud' but must be one of debug, info, warning, error",
        ),
        (
            "[channel]\npublic_names = [1]\n",
            "channel.public_names in FILE is [1] but must be a list of texts",
        ),
        ("web = 1\n", "web in FILE must be a section: write [web]"),
        (
            "[retention]\npolicies = 3\n",
            "retention.policies in FILE is 3 but must be written in the settings file, as tables "
            "[[retention.policies]]",
        ),
        (
            "[[retention.policies]]\nsampels_s = 3\n",
            "retention.policies[0].sampels_s in FILE is not a setting: did you mean samples_s?",
        ),
        (
            "[[retention.policies]]\nsamples_s = true\n",
            "retention.policies[0].samples_s in FILE is True but must be a duration such as 45s, "
            "12h or 30d",
        ),
        (
            '[[retention.policies]]\nname = "C I"\nmatch = "up"\n',
            "retention.policies[0].name is 'C I' but must be a short word of small letters, digits, "
            "- and _: a folder is called so",
        ),
        (
            '[[retention.policies]]\nname = "a"\nmatch = "up"\n'
            '[[retention.policies]]\nname = "a"\nmatch = "down"\n',
            "retention.policies[1].name is 'a', as another policy is called",
        ),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == sentence.replace("FILE", str(tmp_path / "settings.toml"))


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"is not TOML: .*line 2"):
        load(tmp_path, "[web]\nlisten = \n")


def test_an_unknown_variable_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="VEZHA_WBE_LISTEN in the environment is not a setting"):
        load(tmp_path, VEZHA_WBE_LISTEN="x")
    with pytest.raises(SettingError, match="VEZHA_WEB_LISTN is not a setting"):
        load(tmp_path, VEZHA_WEB_LISTN="x")


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    load(tmp_path, VEZHA_STATE="x", VEZHA_AGENT_ANYTHING="x", HOME="/")


def test_wrong_assignments(tmp_path: Path) -> None:
    for wrong in ("web.listen", "listen=1", "nothing.at=all"):
        with pytest.raises(SettingError, match="--set"):
            load(tmp_path, "", wrong)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://x:y@z/v\n")
    assert load(tmp_path, '[ledger]\nurl_file = "url"\n').ledger_url == "postgresql://x:y@z/v"
    settings = load(tmp_path, VEZHA_LEDGER_URL_FILE=str(tmp_path / "url"))
    assert settings.ledger.url == "postgresql://x:y@z/v"
    with pytest.raises(SettingError, match="cannot read"):
        load(tmp_path, '[ledger]\nurl_file = "nowhere"\n')


def test_only_secrets_may_stand_in_files(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="is not a setting"):
        load(tmp_path, '[log]\nlevel_file = "x"\n')


def test_lists_and_switches_from_text(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        VEZHA_CHANNEL_PUBLIC_NAMES="watch.example.org, 192.0.2.7",
        VEZHA_RULES_BUILTIN="off",
        VEZHA_RETENTION_DISK_BYTES_MAX="20 GiB",
    )
    assert settings.channel.public_names == ("watch.example.org", "192.0.2.7")
    assert settings.rules.builtin is False
    assert settings.retention.disk_bytes_max == 20 << 30


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5h", 5400),
        ("1d12h", 129600),
        ("30d", 2592000),
        ("250ms", 0.25),
        ("2w", 1209600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "1x", "1d foo", "-"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("2 GiB", 2 << 30), ("5MB", 5000000)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470)),
        ("[::1]:80", ("::1", 80)),
        (":80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert parse_address(str(parse_address(text))) == address


@pytest.mark.parametrize("text", ["", "80", "host", "host:", "host:99999", "::1:80", "host:８０"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        parse_address(text)


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_the_reader(section: str, key: str, value: str) -> None:
    try:
        load_settings(StateFolder.at("/nowhere"), {}, [f"{section}.{key}={value}"])
    except SettingError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("assignments", "url"),
    [
        ([], "http://127.0.0.1:8470"),
        (["web.listen=[::1]:80"], "http://[::1]:80"),
        (["web.listen=:443"], "https://127.0.0.1:443"),
        (["web.listen=:443", "channel.public_names=a.example,b"], "https://a.example:443"),
        (["web.listen=192.0.2.1:443"], "https://192.0.2.1:443"),
        (["web.tls_cert=x"], "https://127.0.0.1:8470"),
        (["web.public_url=https://v.example/"], "https://v.example"),
    ],
)
def test_the_address_that_people_open(tmp_path: Path, assignments: list[str], url: str) -> None:
    assert load_settings(StateFolder.at(tmp_path), {}, assignments).public_url == url


def test_a_policy_takes_what_it_leaves_out_from_the_general_one(tmp_path: Path) -> None:
    text = (
        '[retention]\nsamples_s = "9d"\nhours_s = "1y"\n'
        '[[retention.policies]]\nname = "ci"\nmatch = \'{job="ci"}\'\nsamples_s = "2d"\n'
        '[[retention.policies]]\nname = "audit"\nmatch = "audit_total"\nhours_s = 0\n'
    )
    retention = load(tmp_path, text).retention
    ci, audit, general = retention_rows(retention)
    assert (ci["policy"], ci["match"], ci["samplesSeconds"]) == ("ci", '{job="ci"}', 2 * 86400)
    assert (ci["hoursSeconds"], audit["samplesSeconds"], audit["hoursSeconds"]) == (
        365 * 86400, 9 * 86400, 0,
    )  # fmt: skip
    assert (general["policy"], general["samplesSeconds"]) == ("general", 9 * 86400)
    kept = store_settings(retention)
    assert [policy.name for policy in kept.policies] == ["ci", "audit"]
    assert (kept.longest_s, kept.shortest_s) == (9 * 86400, 2 * 86400)


def test_a_policy_must_have_a_selector(tmp_path: Path) -> None:
    for wrong in ("", "rate(up[5m])", "{", "{}"):
        text = f"[[retention.policies]]\nname = \"a\"\nmatch = '{wrong}'\n"
        with pytest.raises(SettingError, match=r"retention.policies\[0\].match is .* selector"):
            load(tmp_path, text)
