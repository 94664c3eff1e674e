"""What a rollout and its change's timeline say, in Ukrainian: sentences as they are kept, by their form. Pure.

As with verdicts (`gate_words`), what is kept is English and stays; a sentence of no known form stays as it is.
"""

from __future__ import annotations

from vezha.delivery.decide import ALL_BACK
from vezha.delivery.gate_words import in_forms
from vezha.gateway.strain import COMMITS, CONNECTS, LEDGER, REASONS, SLOW

_N = r"([\d,]+)"
_STRAINS = {
    CONNECTS: "агентів під'єднується більше, ніж можна водночас",
    COMMITS: "те, що надсилають агенти, не вдається зберегти",
    SLOW: "те, що надсилають агенти, зберігається повільно",
    LEDGER: "журнал не встигає за тим, що агенти кажуть про зміни",
}
_FORMS: tuple[tuple[str, str], ...] = (
    # the timeline
    (r"wave (.+) begins", "починається хвиля {0}"),
    (r"all hosts of wave (.+) are through; it is watched", "усі сервери хвилі {0} готові; за нею стежать"),
    (r"wave (.+) held its ground", "хвиля {0} встояла"),
    (r"nothing keeps it any more", "більше нічого не заважає"),
    (rf"{_N} hosts run it", "серверів, що працюють із цим: {0}"),
    (rf"plan (\d+): {_N} hosts?, {_N} left out", "план {0}: серверів {1}, поза ним {2}"),
    (r"rollout (\d+) of plan (\d+)", "розгортання {0} за планом {1}"),
    (r"told again to go back: (.+)", "повторно наказано повернутися: {0:on}"),
    # gates
    (r"gate (.+?): (.+)", "ворота {0}: {1:gate}"),
    # people
    (r"taken back(?: by (.+))?", "відкочено{0: за рішенням }"),
    (r"paused(?: by (.+))?", "зупинено{0: за рішенням }"),
    (
        r"ended(?: by (.+))?; hosts that have it keep it",
        "завершено{0: за рішенням }; хто має це, із цим лишається",
    ),
    (r"(\S+) rejected the plan", "{0} проти плану"),
    (
        r"(\d+) of (\d+) (?:people|person) other than (\S+) \((\w+) or above\) approved the plan",
        "план схвалили {0} з {1} (не {2}; роль {3} або вища)",
    ),
    # our own faults
    (
        r"the server has just started, and agents are still coming back",
        "сервер Vezha щойно запущено, агенти ще повертаються",
    ),
    (
        rf"{_N} of {_N} hosts that did not get it are silent, too: the network or the server is at fault",
        "мовчать і {0} з {1} серверів, що цього не отримали: винні мережа або сама Vezha",
    ),
    (
        rf"{_N} of {_N} hosts are silent at once: the network or the server is at fault",
        "мовчать одразу {0} з {1} серверів: винні мережа або сама Vezha",
    ),
    (
        rf"did not take it {_N} times each, for what is not the version's fault: (.+); resume it to try"
        r" again, or take it back",
        "по {0} рази не взяли не через саму версію: {1:on}; продовжте, щоб спробувати ще, або відкотіть",
    ),
    *((REASONS[reason], said) for reason, said in _STRAINS.items()),
    # windows
    (r"freeze (\d+)((?: \(.+\))?) keeps changes out(?: until (.+))?", "заморозка {0}{1} не пускає змін{2: до }"),
    (
        r"it changes only in maintenance (\d+)((?: \(.+\))?)(?:, which opens (.+))?",
        "змінюється лише у вікні обслуговування {0}{1}{2:, що відкриється }",
    ),
    # the pace
    (
        r"(\S+) of the error budget is left: no more change until that is better",
        "лишилося {0} бюджету помилок: змін не буде, доки не стане краще",
    ),
    (
        r"load predictability is (\S+): no more change until that is better",
        "передбачуваність навантаження {0}: змін не буде, доки не стане краще",
    ),
    # ends
    (r"what ran has ended; nothing is left to take back", "що працювало, завершилося; відкочувати нічого"),
    (ALL_BACK, "усі наявні сервери працюють на тому, що мали до цього"),
    (r"a newer rollout has (\d+) of them", "у новішому розгортанні їх {0}"),
)  # fmt: skip


def rollout_said(sentence: str, language: str) -> str:
    """A reason or a line of a timeline in *language*: `en` as it is, `uk` where its form is known.

    Why something was taken back and how that ended are two sentences in one, with "; " between.
    """
    if language != "uk":
        return sentence
    first, semicolon, last = sentence.rpartition("; ")
    said = in_forms(_FORMS, last)
    if semicolon and said != last:
        return f"{rollout_said(first, language)}; {said}"
    return in_forms(_FORMS, sentence)
