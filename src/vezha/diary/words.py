"""The diary's sentences in English and Ukrainian. Pure.

Each code of `entry` has a template in both languages; tests prove it. Parameters are formatted
here: durations in their two largest units, shares in per cent, counts with the right plural.
"""

from __future__ import annotations

from typing import Any

from vezha.delivery.rollout_words import rollout_said
from vezha.diary.entry import Entry

LANGUAGES = ("en", "uk")

_EN = {
    "title": "Diary, week {week}",
    "span": "{from_} to {to}",
    "so_far": "The week is not over; this is how it stands.",
    "empty": "Nothing was delivered, nothing broke, and nothing is due.",
    "delivered": "What was delivered",
    "stable": "What is stable",
    "risk": "Where the risk is",
    "times": "Detection, response, recovery",
    "load": "Load predictability",
    "next": "What comes next",
    "delivered_nothing": "Nothing was delivered.",
    "stable_nothing": "Nothing can be said of this week.",
    "risk_nothing": "No risk is known.",
    "times_nothing": "There was no incident.",
    "load_nothing": "There is not enough history to judge the load.",
    "next_nothing": "Nothing is planned and nothing is due.",
    "delivered_count": "{changes} came to an end, {good} of them as meant.",
    "delivered_one": "“{title}” ({kind}) was delivered{to_hosts}{by_owner}{blamed}.",
    "delivered_back": "“{title}” ({kind}) did not hold{because}{blamed}.",
    "delivered_running": "“{title}” is {state}{because}.",
    "more_changes": "And {changes} more.",
    "failed_ratio": "{now} of changes failed{before}.",
    "lead_time": "From commit to delivery it took {now} (median{before}).",
    "hosts_calm": "{calm} of {hosts} had no incident.",
    "data_complete": "The data of all {hosts} is complete ({least} at the least).",
    "no_critical": "There was no critical incident.",
    "no_way_back": "None of {changes} had to be taken back.",
    "checklists_done": "{done} walked to the end{still_open}.",
    "rounds_done": "{rounds} of the watch: every view as expected or signed off.",
    "still_open": "“{title}” ({severity}) has been open for {age}.",
    "more_open": "{incidents} more are open.",
    "often": "{rule} spoke {times} this week.",
    "caused": "“{title}” was caused by change {change}.",
    "suspected": "“{title}” may have been caused by change {change}; nobody has judged it yet.",
    "data_incomplete": "The data of {hosts} is incomplete; the worst is {host} with {ratio}.",
    "quarantined": "{name} was taken back and is quarantined.",
    "trust_expired": "The signature “{name}” has expired: changes are frozen until it is renewed.",
    "unknown": "Not known this time: {what}.",
    "incidents_count": "{incidents} in the week{before_count}.",
    "detection_time": "From the beginning of the trouble to its detection: {now} (median{trend}).",
    "response_time": "From detection to somebody taking it: {now} (median{trend}).",
    "recovery_time": "From the beginning to the end: {now} (median{trend}).",
    "nobody_took": "Nobody took {incidents}.",
    "predictability": "The load follows its own past by {median} (median over hosts).",
    "unpredictable": "{place}: {resource} cannot be foretold ({value}).",
    "more_unpredictable": "{loads} more cannot be foretold.",
    "planned": "“{title}” is {state}{by_owner}.",
    "due_certificate": "The certificate of {name} expires in {in_}.",
    "due_domain": "The domain {name} expires in {in_}.",
    "due_trust": "The signature “{name}” expires in {in_}; sign anew before that.",
    "due_disk": "{name} on {host} will be full in {in_}.",
    "nobody_acted": "Nobody acted on {rule} ({times}): mend its cause, or take the rule away.",
    "unused_scenario": "Nobody used the scenario “{name}” lately.",
    "freeze": "“{name}” keeps changes back.",
    "new_hosts": "{hosts} joined: {names}.",
}
_UK = {
    "title": "Щоденник, тиждень {week}",
    "span": "{from_} – {to}",
    "so_far": "Тиждень ще триває; такий стан на зараз.",
    "empty": "Нічого не доставлено, нічого не зламалося, нічого не наближається.",
    "delivered": "Що доставлено",
    "stable": "Що стабільне",
    "risk": "Де ризик",
    "times": "Виявлення, реакція, відновлення",
    "load": "Передбачуваність навантаження",
    "next": "Що далі",
    "delivered_nothing": "Нічого не доставлено.",
    "stable_nothing": "Про цей тиждень нічого сказати.",
    "risk_nothing": "Ризиків не відомо.",
    "times_nothing": "Інцидентів не було.",
    "load_nothing": "Замало історії, щоб судити про навантаження.",
    "next_nothing": "Нічого не заплановано і нічого не наближається.",
    "delivered_count": "Завершено: {changes}, з них як задумано – {good}.",
    "delivered_one": "«{title}» ({kind}): доставлено{to_hosts}{by_owner}{blamed}.",
    "delivered_back": "«{title}» ({kind}): не втрималося{because}{blamed}.",
    "delivered_running": "«{title}»: {state}{because}.",
    "more_changes": "І ще {changes}.",
    "failed_ratio": "Невдалих змін: {now}{before}.",
    "lead_time": "Від коміту до доставки: {now} (медіана{before}).",
    "hosts_calm": "Серверів без інцидентів: {calm} із {total}.",
    "data_complete": "Дані повні на всіх: {hosts} (найменше {least}).",
    "no_critical": "Критичних інцидентів не було.",
    "no_way_back": "Жодну не довелося повертати: {changes}.",
    "checklists_done": "Пройдено до кінця: {done}{still_open}.",
    "rounds_done": "Проведено: {rounds}.",
    "still_open": "«{title}» ({severity}): відкрито вже {age}.",
    "more_open": "Відкрито ще {incidents}.",
    "often": "{rule}: {times} за тиждень.",
    "caused": "«{title}»: спричинено зміною {change}.",
    "suspected": "«{title}»: можливо, спричинено зміною {change}; ніхто ще не підтвердив.",
    "data_incomplete": "Неповні дані: {hosts}; найгірше {host}, {ratio}.",
    "quarantined": "{name}: повернуто, на карантині.",
    "trust_expired": "Підпис «{name}» прострочено: зміни заморожено, доки його не поновлять.",
    "unknown": "Цього разу невідомо: {what}.",
    "incidents_count": "Інцидентів за тиждень: {count}{before_count}.",
    "detection_time": "Від початку збою до виявлення: {now} (медіана{trend}).",
    "response_time": "Від виявлення до прийняття: {now} (медіана{trend}).",
    "recovery_time": "Від початку до кінця: {now} (медіана{trend}).",
    "nobody_took": "Ніхто не прийняв: {incidents}.",
    "predictability": "Навантаження йде за власним минулим на {median} (медіана за серверами).",
    "unpredictable": "{place}: {resource} не передбачити ({value}).",
    "more_unpredictable": "Ще не передбачити: {loads}.",
    "planned": "«{title}»: {state}{by_owner}.",
    "due_certificate": "Сертифікат {name} спливає за {in_}.",
    "due_domain": "Домен {name} спливає за {in_}.",
    "due_trust": "Підпис «{name}» спливає за {in_}; підпишіть знову до того.",
    "due_disk": "{name} на {host} заповниться за {in_}.",
    "nobody_acted": "На {rule} ніхто не реагував ({times}): усуньте причину або приберіть правило.",
    "unused_scenario": "Сценарієм «{name}» останнім часом не користувалися.",
    "freeze": "«{name}» стримує зміни.",
    "new_hosts": "Додалися: {names} ({hosts}).",
}
TEMPLATES = {"en": _EN, "uk": _UK}

_NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "changes": ("change", "changes"),
        "incidents": ("incident", "incidents"),
        "hosts": ("host", "hosts"),
        "checklists": ("checklist", "checklists"),
        "rounds": ("round", "rounds"),
        "loads": ("load", "loads"),
        "times": ("time", "times"),
    },
    "uk": {
        "changes": ("зміна", "зміни", "змін"),
        "incidents": ("інцидент", "інциденти", "інцидентів"),
        "hosts": ("сервер", "сервери", "серверів"),
        "checklists": ("контрольний список", "контрольні списки", "контрольних списків"),
        "rounds": ("обхід", "обходи", "обходів"),
        "loads": ("навантаження", "навантаження", "навантажень"),
        "times": ("раз", "рази", "разів"),
    },
}
_TERMS = {
    "uk": {
        "critical": "критично",
        "warning": "попередження",
        "info": "до відома",
        "agent": "випуск агента",
        "config": "налаштування агента",
        "rules": "правила",
        "script": "скрипт",
        "external": "зовнішня",
        "draft": "чернетка",
        "planned": "заплановано",
        "running": "триває",
        "held": "затримано",
        "reverting": "повертається",
        "reported": "триває",
        "cpu": "процесор",
        "memory": "пам'ять",
        "disk": "диск",
        "network": "мережа",
    },
    "en": {
        "agent": "agent release",
        "config": "agent configuration",
        "rules": "rules",
        "script": "script",
        "external": "external",
        "reported": "running",
        "draft": "a draft",
        "cpu": "the processor's load",
        "memory": "memory in use",
        "disk": "the disks' load",
        "network": "the network's traffic",
    },
}
_UNITS = {"en": ("s", "min", "h", "d"), "uk": ("с", "хв", "год", "д")}
_JOINS = {
    "en": {
        "to_hosts": " to {hosts}",
        "by_owner": ", owned by {owner}",
        "because": ": {reason}",
        "blamed": "; blamed for incident {ids}",
        "still_open": "; {open} not finished",
        "before": ", {value} the week before",
        "before_count": ", {value} the week before",
        "new": "",
        "same": ", as before",
        "shorter": ", shorter than {value}",
        "longer": ", longer than {value}",
    },
    "uk": {
        "to_hosts": ", {hosts}",
        "by_owner": ", відповідає {owner}",
        "because": ": {reason}",
        "blamed": "; причина інциденту {ids}",
        "still_open": "; не завершено: {open}",
        "before": ", попереднього тижня {value}",
        "before_count": ", попереднього тижня {value}",
        "new": "",
        "same": ", як і раніше",
        "shorter": ", було довше: {value}",
        "longer": ", було коротше: {value}",
    },
}


def heading(language: str, code: str, **values: object) -> str:
    """One of the page's fixed texts."""
    return TEMPLATES[language][code].format(**values)


def sentence(entry: Entry, language: str) -> str:
    """The sentence of an entry, without what it cites."""
    return TEMPLATES[language][entry.code].format(**_shown(entry, language))


def _shown(entry: Entry, language: str) -> dict[str, str]:
    given = entry.values
    if language == "uk" and given.get("title_uk"):
        given = {**given, "title": given["title_uk"]}
    joins = _JOINS[language]
    shown: dict[str, str] = {}
    for name, value in given.items():
        shown[name] = _plain(name, value, language)
        if name.endswith("_s"):
            stem = name.removesuffix("_s")
            shown["in_" if stem == "in" else stem] = shown[name]
    count = given.get("count")
    if isinstance(count, int):
        for noun in ("changes", "incidents", "rounds", "loads", "times", "hosts"):
            shown.setdefault(noun, counted(count, noun, language))
    if entry.code == "incidents_count":
        before = given["before"]
        shown["before_count"] = joins["before_count"].format(value=before) if before else ""
    for name, kind in (("failed_ratio", share), ("lead_time", _duration_of(language))):
        if entry.code == name:
            shown["now"] = kind(given["now"])
            before = given.get("before")
            shown["before"] = "" if before is None else joins["before"].format(value=kind(before))
    if "trend" in given:
        before = given.get("before_s")
        value = "" if before is None else duration(before, language)
        shown["trend"] = joins[given["trend"]].format(value=value)
        shown["now"] = duration(given["now_s"], language)
    hosts = given.get("hosts")
    to_hosts = counted(hosts, "hosts", language) if isinstance(hosts, int) and hosts else ""
    shown["to_hosts"] = joins["to_hosts"].format(hosts=to_hosts) if to_hosts else ""
    for join, name in (("by_owner", "owner"), ("because", "reason")):
        value = given.get(name, "")
        text = str(value).rstrip(".")
        if language == "uk":
            text = rollout_said(text, language)
        shown[join] = joins[join].format(**{name: text}) if value else ""
    blamed = given.get("incidents")
    ids = ", ".join(str(one) for one in blamed) if isinstance(blamed, list) else ""
    unfinished = given.get("open")
    shown["still_open"] = joins["still_open"].format(open=unfinished) if unfinished else ""
    shown["blamed"] = joins["blamed"].format(ids=ids) if ids else ""
    return shown


def _plain(name: str, value: Any, language: str) -> str:
    if value is None:
        return ""
    if name in ("severity", "kind", "state", "resource"):
        return _TERMS[language].get(str(value), str(value))
    if name == "hosts" and isinstance(value, int):
        return counted(value, "hosts", language)
    if name == "done" and isinstance(value, int):
        return counted(value, "checklists", language)
    if name in ("ratio", "least", "median", "value") and isinstance(value, float):
        return share(value)
    if name.endswith("_s") and isinstance(value, int | float):
        return duration(float(value), language)
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value)


def _duration_of(language: str) -> Any:
    return lambda seconds: duration(seconds, language)


def share(ratio: float) -> str:
    """A share in per cent; what is not quite whole never reads as 100 %."""
    percent = 100.0 * ratio
    if percent >= 99.0 and percent < 100.0:
        return f"{int(percent * 100) / 100:.2f}\u00a0%"
    return f"{percent:.0f}\u00a0%"


def duration(seconds: float, language: str) -> str:
    """A length of time in its two largest units: `2 d 5 h`."""
    s, m, h, d = _UNITS[language]
    if seconds < 10:
        text = f"{seconds:.1f}"
        return f"{text.replace('.', ',') if language == 'uk' else text}\u00a0{s}"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\u00a0{s}"
    for size, unit, small, small_unit in ((86_400, d, 3_600, h), (3_600, h, 60, m), (60, m, 1, s)):
        if whole >= size:
            rest = whole % size // small
            tail = f" {rest}\u00a0{small_unit}" if rest and whole < 30 * size else ""
            return f"{whole // size}\u00a0{unit}{tail}"
    raise AssertionError(seconds)


def counted(count: int, noun: str, language: str) -> str:
    """`1 change`, `5 змін`: the number with the noun's right form (CLDR plural rules)."""
    forms = _NOUNS[language][noun]
    if language == "en":
        return f"{count:,}\u00a0{forms[0] if count == 1 else forms[1]}"
    tail, tens = count % 10, count % 100
    form = (
        0
        if tail == 1 and tens != 11
        else 1
        if tail in (2, 3, 4) and tens not in (12, 13, 14)
        else 2
    )
    return f"{count:,}".replace(",", "\u00a0") + f"\u00a0{forms[form]}"
