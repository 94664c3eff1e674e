"""The operator's rule files, saved through Vezha: checked, rehearsed, versioned.

The file in the rules folder is what counts; each save leaves a row with the whole text, who saved it,
and what the rehearsal said, so that any version can be looked at and put back. A file that was edited by
hand since is not overwritten unseen: whoever saves names the hash of what they edited.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from vezha.alerting.ask import check_expression
from vezha.alerting.errors import (
    ChangedMeanwhile,
    NoSuchRuleFile,
    OperatorError,
    RuleError,
)
from vezha.alerting.limits import RULE_FILE_BYTES_MAX, RULE_VERSIONS_LISTED_MAX
from vezha.alerting.rule import Group
from vezha.alerting.rulefile import parse_rule_file
from vezha.ledger.tables import rule_file_version
from vezha.world import World

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.(?:yml|yaml|rules)")


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of the folder."""

    name: str
    hash: str
    text: str
    problems: list[str]
    groups: int
    rules: int


@dataclass(frozen=True, slots=True)
class Version:
    """One saved version; `text` None where the file was removed. Times in ms."""

    id: int
    name: str
    hash: str
    text: str | None
    author: str
    note: str
    rehearsal: Any
    at_ms: int


def hash_of(text: str) -> str:
    """16 hexadecimal characters that name a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checked_name(name: str) -> str:
    """*name*, if it is one that a rule file may have. Raises OperatorError."""
    if not _NAME.fullmatch(name) or name.endswith((".test.yml", ".test.yaml")):
        raise OperatorError(
            f'"{name[:64]}" cannot be the name of a rule file; use letters, digits, . _ - and .yml'
        )
    return name


def parse_text(text: str, name: str) -> list[Group]:
    """The groups in *text*. Raises RuleError with all faults."""
    if len(text.encode()) > RULE_FILE_BYTES_MAX:
        raise RuleError([f"{name}: larger than {RULE_FILE_BYTES_MAX} bytes; split it"])
    groups = parse_rule_file(text, name, check_expression)
    if not any(group.rules for group in groups):
        raise RuleError([f"{name}: there is no rule in it; to end its rules, remove the file"])
    return groups


def read_saved(folder: str | Path, name: str) -> SavedFile:
    """A file of the folder. Raises OperatorError."""
    path = Path(folder) / checked_name(name)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise NoSuchRuleFile(f"there is no rule file {name}") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise OperatorError(f"{name} cannot be read: {fault}") from None
    try:
        groups = parse_rule_file(text, name, check_expression)
        problems: list[str] = []
    except RuleError as fault:
        groups, problems = [], fault.problems
    rules = sum(len(g.rules) for g in groups)
    return SavedFile(name, hash_of(text), text, problems, len(groups), rules)


def list_saved(folder: str | Path) -> list[SavedFile]:
    """All files of the folder that Vezha could have saved."""
    root = Path(folder)
    names = sorted(p.name for p in root.glob("*") if p.is_file() and _NAME.fullmatch(p.name))
    return [read_saved(folder, n) for n in names if not n.endswith((".test.yml", ".test.yaml"))]


def save_file(
    connection: Connection,
    folder: str | Path,
    name: str,
    text: str | None,
    before: str,
    author: str,
    now_ms: int,
    note: str = "",
    rehearsal: Any = None,
) -> Version:
    """Put *text* in force (None: remove the file); *before* is the hash of what stood there, or "".

    The row is written first and the file put in its place before the transaction ends, so that a
    crash leaves at most a row whose text is not in force. Raises OperatorError; then nothing changed.
    """
    path = Path(folder) / checked_name(name)
    try:
        standing = hash_of(path.read_text("utf-8")) if path.exists() else ""
    except (OSError, UnicodeDecodeError) as fault:
        raise OperatorError(f"{name} cannot be read: {fault}") from None
    if text is None and not standing:
        raise NoSuchRuleFile(f"there is no rule file {name}")
    if standing != before:
        raise ChangedMeanwhile(f"{name} was changed meanwhile; look at it again first")
    if text is not None:
        parse_text(text, name)
    row = {
        "name": name,
        "hash": "" if text is None else hash_of(text),
        "text": text,
        "author": author,
        "note": note,
        "rehearsal": rehearsal,
        "at_ms": now_ms,
    }
    made = connection.execute(insert(rule_file_version).values(row)).inserted_primary_key
    assert made is not None
    try:
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # beside it and renamed, so that no reader sees half a file
            World().disk.write_whole(str(path), text.encode())
    except OSError as fault:
        raise OperatorError(f"{name} cannot be written: {fault.strerror}") from None
    return Version(id=int(made[0]), **row)


def list_versions(connection: Connection, name: str) -> Sequence[Version]:
    """Versions of a file, the newest first."""
    columns = [rule_file_version.c[c] for c in Version.__dataclass_fields__]
    rows = connection.execute(
        select(*columns)
        .where(rule_file_version.c.name == name)
        .order_by(rule_file_version.c.id.desc())
        .limit(RULE_VERSIONS_LISTED_MAX)
    )
    return [Version(**row._mapping) for row in rows]
