"""What gates say, in Ukrainian: the sentence of a verdict as it is kept, in other words. Pure.

Verdicts keep their sentence in English, and old ones are read for years; so a sentence is recognised by its
form. One that is not known (what an outside gate says in its own words) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_N = r"([\d,]+)"
_FORMS: tuple[tuple[str, str], ...] = (
    # proof
    (rf"{_N} of {_N} hosts did not prove it: (.+)", "{0} з {1} серверів не довели роботу: {2}"),
    (rf"{_N} hosts have not proven it yet", "{0} серверів ще не довели роботу"),
    (r"no host has proven it", "жоден сервер не довів роботу"),
    (rf"{_N} of {_N} hosts run it", "{0} з {1} серверів працюють із цим"),
    # health
    (
        r"new alerts on hosts that got it: (.+)",
        "нові сповіщення на серверах, що її отримали: {0:on}",
    ),
    (r"hosts that got it are down: (.+)", "сервери, що її отримали, не працюють: {0}"),
    (r"samples are missing since on (.+)", "відтоді бракує вимірів на {0}"),
    (r"there are no samples of the hosts that got it", "немає вимірів із серверів, що її отримали"),
    (
        rf"{_N} hosts are up, complete and without new alerts",
        "{0} серверів працюють, дані повні, нових сповіщень немає",
    ),
    # promql
    (r"the query gives no series of these hosts", "запит не дає рядів цих серверів"),
    (r"(\S+) is not ([<>=!]+) (\S+?)(?: for (.+))?", "{0} не {1} {2}{3: для }"),
    (rf"{_N} series are ([<>=!]+) (\S+)", "рядів, що {1} {2}: {0}"),
    # budget, predictability
    (r"nothing is known of the service level", "про рівень послуги нічого не відомо"),
    (r"(\S+) of the error budget of (.+) is left", "лишилося {0} бюджету помилок за {1}"),
    (r"there is no load predictability yet", "передбачуваності навантаження ще немає"),
    (
        r"(\w+) load predictability is (\S+) \(median of (\d+)\)",
        "передбачуваність навантаження ({0:resource}): {1} (медіана {2})",
    ),
    # approval, outside
    (r"(\S+) said no", "{0}: ні"),
    (rf"{_N} of {_N} said yes(?:: (.+))?", "{0} з {1} погодилися{2:: }"),
    (
        r"the outside did not say pass, fail or no_evidence",
        "зовнішня перевірка не сказала pass, fail або no_evidence",
    ),
    (r"the outside says (\w+)", "зовнішня перевірка каже {0}"),
    (r"(.+): the outside has not answered yet", "{0}: зовнішня перевірка ще не відповіла"),
    (r"(.+): the outside takes too long to answer", "{0}: зовнішня перевірка відповідає задовго"),
    (r"(.+): the outside answered (\d+)", "{0}: зовнішня перевірка відповіла {1}"),
    # canary
    (r"there are no hosts, or no samples, to compare", "немає серверів або вимірів для порівняння"),
    (
        r"(\d+) samples since the change; the first look needs (\d+)\.",
        "Після зміни {0} вимірів; для першого порівняння треба {1}.",
    ),
    (
        r"(\d+) canaries and (\d+) controls have data before and after\.",
        "Дані до і після мають {0} канаркових і {1} контрольних серверів.",
    ),
    (
        r"(\d+) canaries against (\d+) controls are too few to tell at (\S+) error, whatever they show\.",
        "{0} канаркових проти {1} контрольних замало для висновку з похибкою {2}, хоч би що вони показали.",
    ),
    (
        r"The canaries changed by (\S+) against the controls \((.+)\): more than (\S+)\.",
        "Канаркові сервери змінилися на {0} проти контрольних ({1:span}): більше ніж {2}.",
    ),
    (
        r"The canaries changed by (\S+) against the controls \((.+)\): no more than (\S+)\.",
        "Канаркові сервери змінилися на {0} проти контрольних ({1:span}): не більше ніж {2}.",
    ),
    (
        r"The canaries changed by (\S+) against the controls \((.+)\): (\S+) is neither shown nor excluded\.",
        "Канаркові сервери змінилися на {0} проти контрольних ({1:span}): {2} не доведено й не виключено.",
    ),
    (
        r"(\d+) of (\d+) canaries failed: more than (\S+) of hosts would\.",
        "Відмовили {0} з {1} канаркових: відмовило б понад {2} серверів.",
    ),
    (
        r"(\d+) of (\d+) canaries failed: fewer than (\S+) of hosts would\.",
        "Відмовили {0} з {1} канаркових: відмовило б менше ніж {2} серверів.",
    ),
    (
        r"(\d+) of (\d+) canaries failed: too few to tell\.",
        "Відмовили {0} з {1} канаркових: замало для висновку.",
    ),
)
_SPANS: tuple[tuple[str, str], ...] = (
    (r"unbounded", "без меж"),
    (r"at most (\S+)", "щонайбільше {0}"),
    (r"at least (\S+)", "щонайменше {0}"),
    (r"between (\S+) and (\S+)", "від {0} до {1}"),
)
_RESOURCES = {"cpu": "процесор", "memory": "пам'ять", "network": "мережа", "disk": "диск"}
_HOLE = re.compile(r"\{(\d)(?::([^}]*))?\}")
_REST = re.compile(r" and (\d+) more")


def gate_said(sentence: str, language: str) -> str:
    """A verdict's sentence in *language*: `en` as it is, `uk` where its form is known."""
    if language != "uk":
        return sentence
    return in_forms(_FORMS, sentence)


def in_forms(forms: tuple[tuple[str, str], ...], sentence: str) -> str:
    """The words of the first form (a regular expression) that *sentence* has; else as it is.

    `{0}` stands for what its first group matched, `{0:word}` for that with the word before it where it
    matched anything, or in the way that `span`, `resource`, `on`, `gate` say.
    """
    for form, said in forms:
        if found := re.fullmatch(form, sentence):
            return _HOLE.sub(_filler(found), said)
    return sentence


def _filler(found: re.Match[str]) -> Callable[[re.Match[str]], str]:
    def fill(hole: re.Match[str]) -> str:
        part, before = found[int(hole[1]) + 1], hole[2] or ""
        if part is None:
            return ""
        if before == "span":
            return in_forms(_SPANS, part)
        if before == "gate":
            return in_forms(_FORMS, part)
        if before == "resource":
            return _RESOURCES.get(part, part)
        if before == "on":
            part, before = re.sub(r"(?<=\S) on (?=\S)", " на ", part), ""
        return before + _REST.sub(r" і ще \1", part)

    return fill
