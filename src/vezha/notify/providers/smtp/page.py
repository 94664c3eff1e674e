"""What a mail says: subject, plain text, HTML. Pure."""

from __future__ import annotations

import html

from vezha.notify.message import OTHERS, Message
from vezha.notify.words import details_of, status_of, word

_COLOURS = {"critical": "#b3261e", "warning": "#9a5b00", "info": "#475467"}
_RESOLVED = "#1b6e3c"


def subject(message: Message) -> str:
    """One line; the same words for the whole thread, so that mail programs keep it together."""
    title = " ".join(message.title.split())
    if message.kind in OTHERS:
        return f"[Vezha] {title}"
    state = word(message.language, message.kind)
    severity = word(message.language, message.severity)
    return f"[Vezha #{message.incident} · {severity}] {state}: {title}"


def plain_page(message: Message) -> str:
    """The text part."""
    parts = [message.title]
    if message.kind not in OTHERS:
        parts.append(status_of(message))
    if message.summary:
        parts += ["", message.summary]
    if details := details_of(message):
        parts += ["", *details]
    if len(message.hosts) > 1:
        parts += ["", _hosts(message)]
    if message.link:
        parts += ["", message.link]
    return "\n".join(parts) + "\n"


def _hosts(message: Message) -> str:
    more = message.hosts_count - len(message.hosts)
    return ", ".join(message.hosts) + (f" … +{more}" if more > 0 else "")


def html_page(message: Message) -> str:
    """The HTML part: plain, without anything from outside."""
    colour = _RESOLVED if message.state == "resolved" else _COLOURS.get(message.severity, "#475467")
    say = html.escape
    rows = []
    if message.kind not in OTHERS:
        rows.append(f'<p style="color:{colour};margin:0 0 12px">{say(status_of(message))}</p>')
    if message.summary:
        rows.append(f'<p style="margin:0 0 12px">{say(message.summary)}</p>')
    rows += [f'<p style="margin:0 0 6px">{say(line)}</p>' for line in details_of(message)]
    if len(message.hosts) > 1:
        rows.append(f'<p style="margin:12px 0 0;color:#475467">{say(_hosts(message))}</p>')
    if message.link:
        label = word(message.language, "open")
        rows.append(
            f'<p style="margin:16px 0 0"><a href="{say(message.link, quote=True)}">{say(label)}</a></p>'
        )
    body = "".join(rows)
    return (
        f'<!doctype html><html lang="{message.language}"><body style="margin:0;padding:16px;'
        'font:15px/1.5 system-ui,sans-serif;color:#101828">'
        f'<div style="border-left:4px solid {colour};padding:4px 0 4px 14px">'
        f'<h1 style="font-size:18px;margin:0 0 8px">{say(message.title)}</h1>{body}'
        "</div></body></html>"
    )
