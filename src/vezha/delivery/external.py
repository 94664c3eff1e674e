"""Changes made elsewhere, as others tell of them. Pure: bytes and headers in, reports out.

A deploy, a migration or a change of the network happens outside of Vezha; CI says so. Each of the
four ways of saying it becomes the same `Report`:

| From | What counts | Source of the format |
|---|---|---|
| `vezha change report`, REST | the body is the report | docs/how-to/report-changes.md |
| CDEvents over HTTP | `service.deployed`, `upgraded`, `rolledback`, `removed`, `environment.modified` | CDEvents 0.4, CloudEvents 1.0 HTTP binding (binary and structured mode) |
| GitHub | `deployment`, `deployment_status` | GitHub's web hook events and payloads |
| GitLab | `Deployment Hook` | GitLab's web hook events |

What is well-formed but no change (a ping, a build) gives None and is answered with yes, so that
the sender does not try again. The key of a report names the same change each time that its
sender speaks of it: `running` first, `done` or `failed` later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vezha.delivery.errors import ReportError
from vezha.delivery.limits import (
    REPORT_HOSTS_MAX,
    REPORT_LABELS_MAX,
    REPORT_LINKS_MAX,
    REPORT_TEXT_CHARS_MAX,
)

RUNNING, DONE, FAILED, ROLLED_BACK = "running", "done", "failed", "rolled_back"
OUTCOMES = (RUNNING, DONE, FAILED, ROLLED_BACK)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that somebody says of one change. Times in ms; None where nobody said."""

    source: str
    key: str
    title: str
    outcome: str
    began_ms: int
    ended_ms: int | None = None
    committed_ms: int | None = None
    """When the work that is delivered was committed: lead time counts from it."""
    why: str = ""
    author: str = ""
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Where: `service`, `environment`, and whatever else hosts' labels know."""
    hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def from_body(body: Mapping[str, Any], now_ms: int, author: str) -> Report:
    """Our own format: `title` is all that must be there. Raises ReportError.

    `outcome` is `done` by default; one that runs has no end.
    """
    known = {
        "key", "title", "why", "author", "version", "service", "environment", "labels", "hosts",
        "links", "outcome", "began_at", "ended_at", "committed_at", "source",
    }  # fmt: skip
    for name in body:
        if name not in known:
            raise ReportError(
                f"{name} is not a field of a report; known are {', '.join(sorted(known))}"
            )
    title = _text(body, "title")
    if not title:
        raise ReportError("a report needs a title: what changed, in one line")
    outcome = _text(body, "outcome") or DONE
    if outcome not in OUTCOMES:
        raise ReportError(f"outcome must be one of {', '.join(OUTCOMES)}, not {outcome!r}")
    ended_ms = _moment(body, "ended_at")
    began_ms = _moment(body, "began_at")
    if began_ms is None:
        began_ms = now_ms if ended_ms is None else ended_ms
    if outcome != RUNNING and ended_ms is None:
        ended_ms = max(began_ms, now_ms)
    if ended_ms is not None and ended_ms < began_ms:
        raise ReportError("ended_at lies before began_at")
    labels = dict(_labels(body.get("labels") or {}))
    for name in ("service", "environment"):
        if text := _text(body, name):
            labels[name] = text
    source = _text(body, "source") or "report"
    links = _texts(body, "links", REPORT_LINKS_MAX)
    for link in links:
        if not _web([link]):
            raise ReportError(f"links has {link[:60]!r}, which is neither http:// nor https://")
    key = _text(body, "key") or f"{title}@{began_ms}"
    return Report(
        source=source,
        key=key,
        title=title,
        outcome=outcome,
        began_ms=began_ms,
        ended_ms=None if outcome == RUNNING else ended_ms,
        committed_ms=_moment(body, "committed_at"),
        why=_text(body, "why"),
        author=_text(body, "author") or author,
        version=_text(body, "version"),
        labels=labels,
        hosts=_texts(body, "hosts", REPORT_HOSTS_MAX),
        links=links,
    )


# CDEvents -------------------------------------------------------------------------------------------

_CD_TYPE = re.compile(r"dev\.cdevents\.([a-z]+)\.([a-z]+)\.\d+\.\d+\.\d+(?:-[\w.]+)?")
_CD_WORDS = {
    ("service", "deployed"): ("deployed", DONE),
    ("service", "upgraded"): ("upgraded", DONE),
    ("service", "rolledback"): ("rolled back", ROLLED_BACK),
    ("service", "removed"): ("removed", DONE),
    ("environment", "modified"): ("modified", DONE),
}


def from_cdevent(headers: Mapping[str, str], raw: bytes, now_ms: int) -> Report | None:
    """A CDEvent in either mode of CloudEvents' HTTP binding. Raises ReportError.

    *headers* have lower-case names.
    """
    body = _object(raw)
    if headers.get("content-type", "").startswith("application/cloudevents+json"):
        if not isinstance(body.get("data"), dict):
            raise ReportError("a structured CloudEvent has its CDEvent under data")
        body = body["data"]
    context, subject = body.get("context"), body.get("subject")
    if not isinstance(context, dict) or not isinstance(subject, dict):
        raise ReportError("a CDEvent has the objects context and subject")
    match = _CD_TYPE.fullmatch(_text(context, "type"))
    if match is None:
        raise ReportError(
            "context.type is not a CDEvents type such as dev.cdevents.service.deployed.0.2.0"
        )
    said = _CD_WORDS.get((match[1], match[2]))
    if said is None:
        return None
    word, outcome = said
    content = subject.get("content")
    content = content if isinstance(content, dict) else {}
    name = _text(subject, "id")
    if not name:
        raise ReportError("subject.id is empty")
    at_ms = _iso(_text(context, "timestamp"), "context.timestamp", now_ms)
    artifact = _text(content, "artifactId")
    environment = content.get("environment")
    place = _text(environment, "id") if isinstance(environment, dict) else ""
    labels = {"service": name} if match[1] == "service" else {"environment": name}
    if place:
        labels["environment"] = place
    version = artifact.partition("@")[2].partition("?")[0] if "@" in artifact else ""
    where = f" in {place}" if place else ""
    source = _text(context, "source")
    return Report(
        source="cdevents",
        key=f"{source} {_text(context, 'id') or at_ms}",
        title=f"{name} {word}{f' to {version}' if version and outcome == DONE else ''}{where}",
        outcome=outcome,
        began_ms=at_ms,
        ended_ms=at_ms,
        author=source,
        version=version,
        labels=labels,
        links=(artifact,) if artifact.startswith(("http://", "https://")) else (),
    )


# GitHub ---------------------------------------------------------------------------------------------

_GITHUB_STATES = {
    "success": DONE,
    "failure": FAILED,
    "error": FAILED,
    "in_progress": RUNNING,
    "queued": RUNNING,
    "pending": RUNNING,
}


def github_signed(secret: str, raw: bytes, signature: str) -> bool:
    """Whether `X-Hub-Signature-256` is HMAC-SHA256 of the body; compared in constant time."""
    wanted = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


def from_github(event: str, raw: bytes, now_ms: int) -> Report | None:
    """A web hook's body of the event in `X-GitHub-Event`. Raises ReportError."""
    if event not in ("deployment", "deployment_status"):
        return None
    body = _object(raw)
    deployment, repository = body.get("deployment"), body.get("repository")
    if not isinstance(deployment, dict) or not isinstance(repository, dict):
        raise ReportError(f"GitHub's event {event} has the objects deployment and repository")
    number = deployment.get("id")
    if not isinstance(number, int):
        raise ReportError("deployment.id is not a number")
    repo = _text(repository, "full_name")
    began_ms = _iso(_text(deployment, "created_at"), "deployment.created_at", now_ms)
    outcome, ended_ms = RUNNING, None
    status = body.get("deployment_status")
    links = [_text(deployment, "url")]
    if event == "deployment_status":
        if not isinstance(status, dict):
            raise ReportError("GitHub's event deployment_status has the object deployment_status")
        state = _GITHUB_STATES.get(_text(status, "state"))
        if state is None:
            return None
        outcome = state
        if outcome != RUNNING:
            at = _text(status, "updated_at") or _text(status, "created_at")
            ended_ms = max(began_ms, _iso(at, "deployment_status.updated_at", now_ms))
        links = [_text(status, "log_url") or _text(status, "target_url"), *links]
    environment = _text(deployment, "environment")
    sha, ref = _text(deployment, "sha")[:12], _text(deployment, "ref")
    version = ref or sha
    creator = deployment.get("creator")
    service = repo.rpartition("/")[2]
    return Report(
        source="github",
        key=f"{repo}#{number}",
        title=f"{service} {version}{f' to {environment}' if environment else ''}",
        outcome=outcome,
        began_ms=began_ms,
        ended_ms=ended_ms,
        committed_ms=_head_commit_ms(body),
        why=_text(deployment, "description"),
        author=_text(creator, "login") if isinstance(creator, dict) else "",
        version=version,
        labels=_where(service, environment),
        links=_web(links),
    )


def _head_commit_ms(body: Mapping[str, Any]) -> int | None:
    """When the newest commit of the workflow that deploys was made, where the event says it."""
    run = body.get("workflow_run")
    commit = run.get("head_commit") if isinstance(run, dict) else None
    if not isinstance(commit, dict) or not _text(commit, "timestamp"):
        return None
    return _iso(_text(commit, "timestamp"), "head_commit.timestamp", 0)


# GitLab ---------------------------------------------------------------------------------------------

_GITLAB_STATES = {"success": DONE, "failed": FAILED, "running": RUNNING, "canceled": FAILED}


def gitlab_known(secret: str, token: str) -> bool:
    """Whether `X-Gitlab-Token` is the secret; compared in constant time."""
    return hmac.compare_digest(secret.encode(), token.encode())


def from_gitlab(event: str, raw: bytes, now_ms: int) -> Report | None:
    """A web hook's body of the event in `X-Gitlab-Event`. Raises ReportError."""
    if event != "Deployment Hook":
        return None
    body = _object(raw)
    project, number = body.get("project"), body.get("deployment_id")
    if not isinstance(project, dict) or not isinstance(number, int):
        raise ReportError("GitLab's Deployment Hook has project and deployment_id")
    outcome = _GITLAB_STATES.get(_text(body, "status"))
    if outcome is None:
        return None
    at_ms = _iso(_text(body, "status_changed_at"), "status_changed_at", now_ms)
    path = _text(project, "path_with_namespace")
    service, environment = path.rpartition("/")[2], _text(body, "environment")
    version = _text(body, "ref") or _text(body, "short_sha")
    user = body.get("user")
    return Report(
        source="gitlab",
        key=f"{path}#{number}",
        title=f"{service} {version}{f' to {environment}' if environment else ''}",
        outcome=outcome,
        began_ms=at_ms,
        ended_ms=None if outcome == RUNNING else at_ms,
        why=_text(body, "commit_title"),
        author=_text(user, "username") if isinstance(user, dict) else "",
        version=_text(body, "short_sha") or version,
        labels=_where(service, environment),
        links=_web([_text(body, "deployable_url"), _text(body, "commit_url")]),
    )


# Parts ----------------------------------------------------------------------------------------------


def _where(service: str, environment: str) -> dict[str, str]:
    named = {"service": service, "environment": environment}
    return {name: value for name, value in named.items() if value}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise ReportError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise ReportError("the body is not a JSON object")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    """The text under *name*, cut to the limit; empty where there is none. Raises ReportError."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ReportError(f"{name} must be text")
    return value.strip()[:REPORT_TEXT_CHARS_MAX]


def _texts(body: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ReportError(f"{name} must be a list of texts")
    if len(value) > most:
        raise ReportError(f"{name} has {len(value)} entries, more than {most}")
    return tuple(
        dict.fromkeys(item.strip()[:REPORT_TEXT_CHARS_MAX] for item in value if item.strip())
    )


def _labels(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ReportError("labels must be an object of texts")
    if len(value) > REPORT_LABELS_MAX:
        raise ReportError(f"there are {len(value)} labels, more than {REPORT_LABELS_MAX}")
    for name in value:
        if not _LABEL.fullmatch(name):
            raise ReportError(f"{name!r} is not a label's name: letters, digits and _")
    return {name: text[:REPORT_TEXT_CHARS_MAX] for name, text in value.items() if text}


def _moment(body: Mapping[str, Any], name: str) -> int | None:
    """Seconds since 1970, or ISO 8601, as ms. Raises ReportError."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ReportError(f"{name} must be seconds since 1970 or a time as in ISO 8601")
    if isinstance(value, str):
        return _iso(value, name, 0)
    if not 0 <= value < 1e11:
        raise ReportError(f"{name} is not a time in seconds since 1970")
    return int(value * 1000)


def _iso(text: str, name: str, default_ms: int) -> int:
    if not text:
        return default_ms
    # GitLab writes `2021-04-28 21:50:00 +0200`, which needs its second space away
    text = re.sub(r" ([+-]\d{2}):?(\d{2})$", r"\1:\2", text).replace(" UTC", "+00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ReportError(f"{name} is {text!r}, which is not a time as in ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _web(links: Sequence[str]) -> tuple[str, ...]:
    """Links that a page may show: never `javascript:` or the like."""
    return tuple(dict.fromkeys(x for x in links if x.startswith(("https://", "http://"))))
