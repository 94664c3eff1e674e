"""`/api/v1/rule-files`: the operator's rule files: checked, rehearsed, saved, versioned.

A change states what it would have done before it is saved: `dry_run` says it and saves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.alerting.errors import (
    ChangedMeanwhile,
    NoSuchRuleFile,
    OperatorError,
    RuleError,
)
from vezha.alerting.limits import RULE_FILE_BYTES_MAX
from vezha.alerting.rehearse import as_document, rehearse
from vezha.alerting.rule import Group
from vezha.alerting.saved import (
    SavedFile,
    Version,
    hash_of,
    list_saved,
    list_versions,
    parse_text,
    read_saved,
    save_file,
)
from vezha.api.checklists import sentence
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.api.limits import REHEARSAL_S_MAX
from vezha.api.route import Call, Route, seconds
from vezha.api.rules_rehearsal import asking, step_of

FOLDER = "rules_folder"
"""Under this name `Services.extra` holds the folder of the operator's own rule files."""
NOTE_CHARS_MAX = 4_000


class FileView(msgspec.Struct):
    """A rule file. One with problems is not in force."""

    name: str
    hash: str
    groups: int
    rules: int
    problems: list[str]


class FilesView(msgspec.Struct):
    """The operator's rule files."""

    files: list[FileView]


class RuleFileVersionView(msgspec.Struct):
    """A saved version; `text` is null where the file was removed."""

    id: int
    hash: str
    text: str | None
    author: str
    note: str
    rehearsal: list[dict[str, Any]] | None
    at: float | None


class FileDetailView(FileView):
    """A file with its text and its versions, the newest first."""

    text: str = ""
    versions: list[RuleFileVersionView] = []


class RuleFileSaveBody(msgspec.Struct, forbid_unknown_fields=True):
    """Save a file. `before` is the hash of what was edited, empty for a new file.

    It is rehearsed over `last` (`0s` does without); `dry_run` saves nothing.
    """

    text: Annotated[str, msgspec.Meta(max_length=RULE_FILE_BYTES_MAX)]
    before: str = ""
    last: str = "1d"
    note: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    dry_run: bool = False


class SavedView(msgspec.Struct):
    """What came of it: faults (then nothing is saved), and what each alert would have done."""

    name: str
    hash: str
    saved: bool
    problems: list[str]
    rehearsal: list[dict[str, Any]]


class RemoveQuery(msgspec.Struct):
    """The hash of the file that is to go."""

    before: str = ""


def _folder(call: Call) -> str:
    return str(call.services.extra.get(FOLDER, "rules"))


def _view(file: SavedFile) -> dict[str, Any]:
    return {
        "name": file.name, "hash": file.hash, "groups": file.groups, "rules": file.rules,
        "problems": file.problems,
    }  # fmt: skip


def version_view(version: Version) -> dict[str, Any]:
    """A version as the API shows it."""
    return {
        "id": version.id, "hash": version.hash, "text": version.text, "author": version.author,
        "note": version.note, "rehearsal": version.rehearsal, "at": seconds(version.at_ms),
    }  # fmt: skip


def list_all(call: Call) -> dict[str, Any]:
    """Files."""
    return {"files": [_view(f) for f in list_saved(_folder(call))]}


def read(call: Call) -> dict[str, Any]:
    """One file with its versions, also of one that was removed."""
    name = call.path["name"]
    with call.services.ledger.read() as connection:
        versions = list_versions(connection, name)
    try:
        file = read_saved(_folder(call), name)
    except NoSuchRuleFile as fault:
        if not versions:
            raise NotFoundError(sentence(fault)) from None
        file = SavedFile(name, "", "", [], 0, 0)
    except OperatorError as fault:
        raise InvalidError(sentence(fault), "name") from None
    shown = [version_view(v) for v in versions]
    return {**_view(file), "text": file.text, "versions": shown}


async def save(call: Call) -> dict[str, Any]:
    """Check, rehearse, and save."""
    body: RuleFileSaveBody = call.body
    name = call.path["name"]
    out: dict[str, Any] = {
        "name": name, "hash": hash_of(body.text), "saved": False, "problems": [], "rehearsal": [],
    }  # fmt: skip
    try:
        groups = parse_text(body.text, name)
    except RuleError as fault:
        out["problems"] = fault.problems
        return out
    out["rehearsal"] = await _rehearsed(call, groups, body.last)
    if body.dry_run:
        call.audited = True  # nothing was changed, so nothing is to be told
        return out
    services = call.services
    try:
        with services.ledger.begin() as connection:
            made = save_file(
                connection, _folder(call), name, body.text, body.before, call.subject.name,
                services.now_ms(), body.note, [_brief(r) for r in out["rehearsal"]],
            )  # fmt: skip
            call.audit(connection, target=name, detail={"hash": made.hash, "note": body.note})
    except OperatorError as fault:
        raise _error_of(fault) from None
    services.nudge("rules")
    return {**out, "saved": True}


def remove(call: Call) -> None:
    """Take a file out of force; its versions stay."""
    name = call.path["name"]
    services = call.services
    try:
        with services.ledger.begin() as connection:
            save_file(
                connection, _folder(call), name, None, call.query.before, call.subject.name,
                services.now_ms(),
            )  # fmt: skip
            call.audit(connection, target=name, detail={"removed": True})
    except OperatorError as fault:
        raise _error_of(fault) from None
    services.nudge("rules")


async def _rehearsed(call: Call, groups: list[Group], last: str) -> list[dict[str, Any]]:
    """What each alert would have done over *last*, at most REHEARSAL_STEPS steps of it."""
    try:
        span_ms = parse_duration(last)
    except ValueError as fault:
        raise InvalidError(f"last: {fault}.", "last") from None
    querying = call.services.querying
    if not span_ms or querying is None:
        return []
    end_ms = call.services.now_ms() // 1000 * 1000
    engine = querying.engine

    def work(cancelled: Callable[[], bool]) -> list[dict[str, Any]]:
        step_ms = step_of(groups, span_ms)
        ask = asking(engine, cancelled)
        found = rehearse(groups, ask, end_ms - span_ms, end_ms, step_ms)
        return [as_document(one, end_ms) for one in found]

    return await querying.run(work, "rehearsal", timeout_s=REHEARSAL_S_MAX)


def _brief(document: dict[str, Any]) -> dict[str, Any]:
    """What a version keeps of a rehearsal: the figures, not each firing."""
    return {k: v for k, v in document.items() if k != "firings"}


def _error_of(fault: OperatorError) -> ApiError:
    if isinstance(fault, NoSuchRuleFile):
        return NotFoundError(sentence(fault))
    if isinstance(fault, ChangedMeanwhile):
        return ConflictError(sentence(fault), "before")
    return InvalidError(sentence(fault))


_FILE = "/api/v1/rule-files/{name}"
ROUTES = (
    Route("GET", "/api/v1/rule-files", Action.RULE_READ, list_all,
          "The operator's own rule files.", result=FilesView),
    Route("GET", _FILE, Action.RULE_READ, read,
          "One rule file with its versions.", result=FileDetailView),
    Route("PUT", _FILE, Action.RULE_CHANGE, save,
          "Check a rule file, say what it would have done, save it.", body=RuleFileSaveBody,
          result=SavedView, body_bytes_max=2 * RULE_FILE_BYTES_MAX),
    Route("DELETE", _FILE, Action.RULE_CHANGE, remove,
          "Take a rule file out of force.", query=RemoveQuery, status=204),
)  # fmt: skip
