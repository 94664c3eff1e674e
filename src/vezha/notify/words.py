"""The fixed words of messages, in English and Ukrainian."""

from __future__ import annotations

from vezha.notify.message import Message, show_time

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "opened": "Open",
        "worse": "Worse",
        "grew": "Spreads",
        "reopened": "Again",
        "eased": "Eased",
        "resolved": "Resolved",
        "acknowledged": "Acknowledged",
        "snoozed": "Snoozed",
        "merged": "Merged",
        "reminded": "Still open",
        "escalated": "For you",
        "step": "Step {step} of {policy}, round {round}",
        "diary": "Diary",
        "cause": "Probably change {id} ({title}): {why}",
        "handover": "Hand-over",
        "handover_title": "Hand-over of {schedule}: {from_} → {to}",
        "handover_text": "{open} open, {silenced} silenced, {resolved} resolved in this shift, {fragile} fragile",
        "handover_look_at": "Look at first",
        "handover_open": "Open",
        "handover_silenced": "Silenced",
        "handover_changed": "Changed",
        "handover_fragile": "Fragile",
        "nobody": "nobody",
        "taken_by": "taken by {actor}",
        "ends": "ends {time}",
        "flapping": "flapping",
        "incomplete": "data incomplete",
        "relapsed": "relapsed",
        "silence": "silence",
        "silence_ends": "silence",
        "silenced": "silenced",
        "change": "change",
        "change_running": "under way",
        "change_held": "held",
        "change_done": "done",
        "change_reverting": "being taken back",
        "change_reverted": "taken back",
        "change_cancelled": "cancelled",
        "change_reported": "reported",
        "change_success": "succeeded",
        "change_failure": "failed",
        "updated": "Open",
        "test": "Test",
        "digest": "Digest",
        "critical": "critical",
        "warning": "warning",
        "info": "info",
        "next": "Next",
        "since": "since {time}",
        "lasted": "lasted {duration}",
        "by": "by {actor}",
        "unknown": "no data from {n}",
        "acknowledge": "Acknowledge",
        "snooze": "Snooze 1 h",
        "until": "until {time}",
        "open": "Open",
        "recovered": "{n} of {all} recovered",
        "test_text": "This is a test from Vezha: receiver “{receiver}” works.",
        "digest_text": "{n} more messages in the last minutes:",
        "done": "Acknowledged",
        "put_off": "Snoozed until {time}",
        "not_done": "Not possible: {why}",
    },
    "uk": {
        "opened": "Відкрито",
        "worse": "Погіршення",
        "grew": "Поширюється",
        "reopened": "Знову",
        "eased": "Полегшало",
        "resolved": "Вирішено",
        "acknowledged": "Прийнято",
        "snoozed": "Відкладено",
        "merged": "Об’єднано",
        "reminded": "Досі відкрито",
        "escalated": "Для вас",
        "step": "Крок {step} з {policy}, коло {round}",
        "diary": "Щоденник",
        "cause": "Імовірно, зміна {id} ({title}): {why}",
        "handover": "Передача зміни",
        "handover_title": "Передача зміни {schedule}: {from_} → {to}",
        "handover_text": "відкрито {open}, приглушено {silenced}, вирішено за зміну {resolved}, крихкого {fragile}",
        "handover_look_at": "Спершу погляньте",
        "handover_open": "Відкрито",
        "handover_silenced": "Приглушено",
        "handover_changed": "Змінилося",
        "handover_fragile": "Крихке",
        "nobody": "ніхто",
        "taken_by": "взято: {actor}",
        "ends": "до {time}",
        "flapping": "блимає",
        "incomplete": "дані неповні",
        "relapsed": "повернулося",
        "silence": "тиша",
        "silence_ends": "тиша",
        "silenced": "приглушено",
        "change": "зміна",
        "change_running": "триває",
        "change_held": "зупинена",
        "change_done": "виконана",
        "change_reverting": "відкликається",
        "change_reverted": "відкликана",
        "change_cancelled": "скасована",
        "change_reported": "повідомлена",
        "change_success": "вдалася",
        "change_failure": "не вдалася",
        "updated": "Відкрито",
        "test": "Перевірка",
        "digest": "Зведення",
        "critical": "критично",
        "warning": "попередження",
        "info": "до відома",
        "next": "Далі",
        "since": "з {time}",
        "lasted": "тривало {duration}",
        "by": "{actor}",
        "unknown": "немає даних: {n}",
        "acknowledge": "Прийняти",
        "snooze": "Відкласти на 1 год",
        "until": "до {time}",
        "open": "Відкрити",
        "recovered": "відновилося {n} з {all}",
        "test_text": "Це перевірка від Vezha: отримувач «{receiver}» працює.",
        "digest_text": "Ще повідомлень за останні хвилини: {n}",
        "done": "Прийнято",
        "put_off": "Відкладено до {time}",
        "not_done": "Неможливо: {why}",
    },
}
_STATES = ("resolved", "acknowledged", "snoozed", "merged")
"""States that are told by their own word, whatever the message is about."""
_ENDED = ("resolved", "merged")
_UNITS = {"en": ("s", "min", "h", "d"), "uk": ("с", "хв", "год", "д")}


def word(language: str, key: str, **values: object) -> str:
    """One of the fixed words, filled in."""
    text = _WORDS.get(language, _WORDS["en"])[key]
    return text.format(**values) if values else text


def is_word(key: str) -> bool:
    """Whether there is a fixed word of that name."""
    return key in _WORDS["en"]


def lasted(ms: int, language: str) -> str:
    """A length of time in the two largest units that matter: `2 h 5 min`."""
    seconds = max(0, ms) // 1000
    s, m, h, d = _UNITS.get(language, _UNITS["en"])
    if seconds < 60:
        return f"{seconds} {s}"
    if seconds < 3600:
        rest = f" {seconds % 60} {s}" if seconds < 600 and seconds % 60 else ""
        return f"{seconds // 60} {m}{rest}"
    if seconds < 86_400:
        rest = f" {seconds % 3600 // 60} {m}" if seconds % 3600 >= 60 else ""
        return f"{seconds // 3600} {h}{rest}"
    rest = f" {seconds % 86_400 // 3600} {h}" if seconds % 86_400 >= 3600 else ""
    return f"{seconds // 86_400} {d}{rest}"


def status_of(message: Message) -> str:
    """`Open · critical · since 23 Nov 14:05:09 UTC`, in the message's language."""
    language = message.language
    shown = message.state if message.state in _STATES else message.kind
    parts = [word(language, shown if shown in _WORDS["en"] else "updated")]
    parts.append(word(language, message.severity))
    if message.state == "resolved" and message.resolved_ms:
        duration = lasted(message.resolved_ms - message.began_ms, language)
        parts.append(word(language, "lasted", duration=duration))
    elif message.began_ms:
        since = show_time(message.began_ms, message.time_zone)
        parts.append(word(language, "since", time=since))
    if message.state == "snoozed" and message.snoozed_until_ms:
        until = show_time(message.snoozed_until_ms, message.time_zone)
        parts.append(word(language, "until", time=until))
    by = message.resolved_by if message.state == "resolved" else message.acknowledged_by
    if by and by != "vezha" and message.state in ("resolved", "acknowledged"):
        parts.append(word(language, "by", actor=by))
    return " · ".join(parts)


def details_of(message: Message) -> list[str]:
    """Further lines: what recovered already, what is not known, the next step."""
    language = message.language
    out = []
    over = message.alerts_count - message.open_count
    if message.state not in _ENDED and over > 0:
        out.append(word(language, "recovered", n=over, all=message.alerts_count))
    if message.state not in _ENDED and message.unknown_count:
        out.append(word(language, "unknown", n=message.unknown_count))
    if message.next and message.state not in _ENDED:
        out.append(f"{word(language, 'next')}: {message.next}")
    return out + message.lines
