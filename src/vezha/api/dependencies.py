"""`/api/v1/dependencies`: what depends on what; and what history suggests."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.api.checklists import sentence
from vezha.api.errors import InvalidError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.dependency import LABEL, Target, of_label
from vezha.incidents.dependency_file import DependencyFile
from vezha.incidents.dependency_rows import (
    DISMISSED,
    DependencyRow,
    add_dependency,
    dismiss,
    list_rows,
    read_dependencies,
    remove_dependency,
)
from vezha.incidents.errors import DependencyError
from vezha.incidents.limits import (
    DEPENDENCY_CHARS_MAX,
    DEPENDENCY_PARENTS_MAX,
    NOTE_CHARS_MAX,
)
from vezha.incidents.rows import read_place
from vezha.incidents.suggestion import Learned, SharedFate, Suggestion, learn, read_failures

FILE = "dependency_file"
"""Under this name `Services.extra` holds the path of `dependencies.toml`."""

End = Annotated[str, msgspec.Meta(min_length=1, max_length=DEPENDENCY_CHARS_MAX)]


class DependencyView(msgspec.Struct):
    """A dependency. `source`: person, learned, file, label; only the first two have an `id`."""

    id: int | None
    child: str
    parents: list[str]
    why: str
    source: str
    author: str
    created_at: float | None
    evidence: dict[str, Any] | None


class DependenciesView(msgspec.Struct):
    """All in force, the file's inhibition rules as text, and what is wrong with the file."""

    dependencies: list[DependencyView]
    inhibitions: list[dict[str, Any]]
    problem: str


class DependencyBody(msgspec.Struct, forbid_unknown_fields=True):
    """`child` cannot work without one of `parents`: hosts' names, or matchers as site="kyiv"."""

    child: End
    parents: Annotated[list[End], msgspec.Meta(min_length=1, max_length=DEPENDENCY_PARENTS_MAX)]
    why: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""


class SuggestionView(msgspec.Struct):
    """A suggestion with its evidence, in figures and as a sentence."""

    child: str
    parent: str
    sentence: str
    together: int
    parent_outages: int
    child_outages: int
    parent_first: int
    median_lead_s: float
    examples_at: list[float]


class SuggestionsView(msgspec.Struct):
    """Suggestions, the strongest first; groups fail together for want of something unwatched."""

    suggestions: list[SuggestionView]
    groups: list[SharedFate]


class JudgeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Accept a suggestion, or dismiss it for good."""

    child: End
    parent: End
    accept: bool
    why: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""


def row_view(row: DependencyRow) -> dict[str, Any]:
    """A kept dependency as the API shows it."""
    return {
        "id": row.id,
        "child": row.child,
        "parents": row.parents,
        "why": row.why,
        "source": row.source,
        "author": row.author,
        "created_at": seconds(row.created_ms),
        "evidence": row.evidence,
    }


def file_of(call: Call) -> DependencyFile:
    """The file as it is now."""
    file = DependencyFile(str(call.services.extra.get(FILE, "")))
    file.refresh()
    return file


def everything(call: Call) -> dict[str, Any]:
    """What depends on what, from all sources."""
    file = file_of(call)
    with call.services.ledger.read() as connection:
        shown = [row_view(row) for row in list_rows(connection)]
        place = read_place(connection)
    others = list(file.dependencies)
    for host, labels in sorted(place.labels.items()):
        others += of_label(Target(host=host), labels.get(LABEL, ""))
    shown += [
        {
            "id": None, "child": str(d.child), "parents": [str(p) for p in d.parents],
            "why": d.why, "source": d.source, "author": "", "created_at": None, "evidence": None,
        }
        for d in others
    ]  # fmt: skip
    inhibitions = [
        {
            "source": ", ".join(map(str, i.source)),
            "target": ", ".join(map(str, i.target)),
            "equal": list(i.equal),
        }
        for i in file.inhibitions
    ]
    return {"dependencies": shown, "inhibitions": inhibitions, "problem": file.problem}


def create(call: Call) -> dict[str, Any]:
    """Keep a dependency."""
    body: DependencyBody = call.body
    services = call.services
    known = file_of(call).dependencies
    try:
        with services.ledger.begin() as connection:
            made = add_dependency(
                connection, body.child, body.parents, body.why, call.subject.name,
                services.now_ms(), known=known,
            )  # fmt: skip
            call.audit(
                connection, target=str(made.id),
                detail={"child": made.child, "parents": made.parents},
            )  # fmt: skip
    except DependencyError as fault:
        raise InvalidError(sentence(fault), fault.field or None) from None
    services.nudge("incidents")
    return row_view(made)


def remove(call: Call) -> None:
    """Take a dependency out of force."""
    id_ = path_id(call)
    services = call.services
    with services.ledger.begin() as connection:
        if not remove_dependency(connection, id_, services.now_ms()):
            raise NotFoundError(f"There is no dependency {id_} in force.")
        call.audit(connection, target=str(id_))
    services.nudge("incidents")


def suggestion_view(one: Suggestion) -> dict[str, Any]:
    """A suggestion as the API shows it."""
    out = asdict(one)
    out["examples_at"] = [ms / 1000 for ms in out.pop("examples_ms")]
    out["sentence"] = one.sentence
    return out


def learned(call: Call) -> Learned:
    """What history suggests beyond what is known or dismissed."""
    file = file_of(call)
    with call.services.ledger.read() as connection:
        known = [
            (str(d.child), str(p))
            for d in [*read_dependencies(connection), *file.dependencies]
            for p in d.parents
        ]
        known += [(r.child, p) for r in list_rows(connection, DISMISSED) for p in r.parents]
        failures = read_failures(connection, call.services.now_ms())
    return learn(failures, known=known)


def suggest(call: Call) -> dict[str, Any]:
    """What history suggests."""
    found = learned(call)
    return {
        "suggestions": [suggestion_view(s) for s in found.suggestions],
        "groups": found.groups,
    }


def judge(call: Call) -> dict[str, Any]:
    """A person accepts or dismisses what was suggested; the evidence of now is kept with it."""
    body: JudgeBody = call.body
    services = call.services
    found = [
        s for s in learned(call).suggestions if (s.child, s.parent) == (body.child, body.parent)
    ]
    if not found:
        raise NotFoundError(f"It is not suggested that {body.child} depends on {body.parent}.")
    evidence = suggestion_view(found[0])
    who, now_ms = call.subject.name, services.now_ms()
    try:
        with services.ledger.begin() as connection:
            if body.accept:
                made = add_dependency(
                    connection, body.child, [body.parent], body.why or found[0].sentence, who,
                    now_ms, source="learned", evidence=evidence, known=file_of(call).dependencies,
                )  # fmt: skip
            else:
                made = dismiss(connection, body.child, body.parent, who, now_ms, evidence)
            detail = {"child": body.child, "parent": body.parent, "accepted": body.accept}
            call.audit(connection, target=str(made.id), detail=detail)
    except DependencyError as fault:
        raise InvalidError(sentence(fault)) from None
    services.nudge("incidents")
    return row_view(made)


ROUTES = (
    Route("GET", "/api/v1/dependencies", Action.DEPENDENCY_READ, everything,
          "What depends on what: kept, from the file, from hosts' labels.",
          result=DependenciesView),
    Route("POST", "/api/v1/dependencies", Action.DEPENDENCY_CHANGE, create,
          "Say that something depends on something.", body=DependencyBody, result=DependencyView),
    Route("DELETE", "/api/v1/dependencies/{id}", Action.DEPENDENCY_CHANGE, remove,
          "Take a dependency out of force.", status=204),
    Route("GET", "/api/v1/dependency-suggestions", Action.DEPENDENCY_READ, suggest,
          "Dependencies that history suggests, with the evidence.", result=SuggestionsView),
    Route("POST", "/api/v1/dependency-suggestions", Action.DEPENDENCY_CHANGE, judge,
          "Accept a suggestion, or dismiss it for good.", body=JudgeBody, result=DependencyView),
)  # fmt: skip
