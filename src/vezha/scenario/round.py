"""Rounds: a scenario walked once, by people (`run`), on a wall (`watch`) or by us (`play`).

Several people may tick the same round: each look is a row of its own, and the last word counts.
A round of people ends when somebody signs it, which needs a word on every view. A play ends at
once: `expected` where all is as it should be, else it is `odd` until somebody signs it or the next
play of that scenario finds all well again.

| kind | begins as | becomes |
|---|---|---|
| run | open | signed, left |
| watch | open | left |
| play | expected or odd | signed (an odd one, by a person), left (by the next play) |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vezha.ledger.tables import scenario_look, scenario_round, scenario_version
from vezha.scenario import limits
from vezha.scenario.errors import NoSuchRound, WrongRound
from vezha.scenario.file import Scenario, scenario_of
from vezha.scenario.look import EXPECTED, ODD, UNKNOWN, WAITING, Look

RUN, WATCH, PLAY = "run", "watch", "play"
OPEN, SIGNED, LEFT = "open", "signed", "left"
ITSELF = "vezha"
"""Under this name the server plays."""


@dataclass(frozen=True, slots=True)
class Use:
    """How a scenario was used within `limits.UNUSED_MS`."""

    run: int = 0
    watch: int = 0
    play: int = 0
    last_ms: int | None = None

    @property
    def is_unused(self) -> bool:
        """Nobody ran or watched it, and the server did not play it."""
        return self.run + self.watch + self.play == 0


def keep_version(connection: Connection, scenario: Scenario, now_ms: int) -> str:
    """The scenario's version, written down when it is seen first."""
    version = scenario.version
    table = scenario_version
    here = (table.c.name == scenario.name) & (table.c.version == version)
    if connection.execute(select(table.c.name).where(here)).first() is None:
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(table).values(
                        name=scenario.name, version=version,
                        document=scenario.document(), first_ms=now_ms,
                    )
                )  # fmt: skip
        except IntegrityError:
            pass  # another process was first
    return version


def begin_round(connection: Connection, scenario: Scenario, kind: str, by: str, now_ms: int) -> int:
    """Begin a round of people; its number. Raises `WrongRound`."""
    open_now = connection.execute(
        select(func.count()).where(scenario_round.c.state == OPEN, scenario_round.c.kind == RUN)
    ).scalar_one()
    if kind == RUN and open_now >= limits.OPEN_ROUNDS_MAX:
        raise WrongRound(f"{open_now} rounds are under way; sign or leave some of them first.")
    number = _insert(connection, scenario, kind, OPEN, by, now_ms, None, 0)
    _write_looks(connection, number, [Look(WAITING)] * len(scenario.views), "", None)
    return number


def keep_play(
    connection: Connection, scenario: Scenario, looks: Sequence[Look], now_ms: int,
    *, by: str = ITSELF, slot: int | None = None,
) -> int | None:  # fmt: skip
    """Write down a play; its number, or None where another process has played this slot.

    Views that only a person can judge stay `waiting` and do not make a play odd.
    """
    odd = sum(one.state in (ODD, UNKNOWN) for one in looks)
    state = ODD if odd else EXPECTED
    try:
        with connection.begin_nested():
            number = _insert(connection, scenario, PLAY, state, by, now_ms, now_ms, odd, slot)
    except IntegrityError:
        return None
    _write_looks(connection, number, looks, by, now_ms)
    older = scenario_round.c
    connection.execute(
        update(scenario_round)
        .where(older.name == scenario.name, older.kind == PLAY, older.state == ODD)
        .where(older.id < number)
        .values(state=LEFT)
    )
    return number


def _insert(
    connection: Connection, scenario: Scenario, kind: str, state: str, by: str, now_ms: int,
    ended_ms: int | None, odd: int, slot: int | None = None,
) -> int:  # fmt: skip
    version = keep_version(connection, scenario, now_ms)
    done = connection.execute(
        insert(scenario_round).values(
            name=scenario.name, version=version, kind=kind, state=state, by=by, began_ms=now_ms,
            ended_ms=ended_ms, ended_by=None, note="", odd=odd, slot=slot,
        )
    )  # fmt: skip
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def _write_looks(
    connection: Connection, number: int, looks: Sequence[Look], by: str, at_ms: int | None
) -> None:
    rows = [
        {"round_id": number, "view": view, "state": one.state, "said": one.said,
         "evidence": list(one.evidence), "by": "" if one.state == WAITING else by,
         "at_ms": None if one.state == WAITING else at_ms}
        for view, one in enumerate(looks)
    ]  # fmt: skip
    connection.execute(insert(scenario_look), rows)


def judge(connection: Connection, number: int, looks: Mapping[int, Look], now_ms: int) -> None:
    """Write what the server sees at views of an open round; what a person said stays."""
    for view, one in looks.items():
        if one.state == WAITING:
            continue
        connection.execute(
            update(scenario_look)
            .where(scenario_look.c.round_id == number, scenario_look.c.view == view)
            .where(scenario_look.c.by.in_(("", ITSELF)))
            .values(
                state=one.state, said=one.said, evidence=list(one.evidence), by=ITSELF, at_ms=now_ms
            )
        )


def say(
    connection: Connection, number: int, view: int, state: str, by: str, text: str, now_ms: int
) -> None:
    """What a person says of a view: `expected`, `odd`, or `waiting` to take the word back.

    Raises `NoSuchRound`, `WrongRound`.
    """
    _open_round(connection, number)
    if state not in (EXPECTED, ODD, WAITING):
        raise WrongRound("A view is expected, odd or waiting.")
    if state == ODD and not text.strip():
        raise WrongRound("Say in a few words what is odd.")
    back = state == WAITING
    done = connection.execute(
        update(scenario_look)
        .where(scenario_look.c.round_id == number, scenario_look.c.view == view)
        .values(
            state=state, by="" if back else by, at_ms=None if back else now_ms,
            said=text.strip()[: limits.NOTE_CHARS_MAX], evidence=[],
        )
    )  # fmt: skip
    if done.rowcount == 0:
        raise NoSuchRound(f"Round {number} has no view {view}.")


def sign(connection: Connection, number: int, by: str, note: str, now_ms: int) -> None:
    """End a round with one's name. Raises `NoSuchRound`, `WrongRound`."""
    row = _round(connection, number)
    if row.kind == WATCH or row.state not in (OPEN, ODD):
        raise WrongRound(f"Round {number} is {row.state}; only an open one is signed.")
    looks = read_looks(connection, number)
    if row.kind == RUN:
        waiting = sum(one.state in (WAITING, UNKNOWN) for one in looks)
        if waiting:
            raise WrongRound(f"{waiting} of {len(looks)} views have not been looked at.")
    odd = sum(one.state in (ODD, UNKNOWN) for one in looks)
    _end(connection, number, row.state, SIGNED, by, note, now_ms, odd)


def leave(connection: Connection, number: int, by: str, note: str, now_ms: int) -> None:
    """End a round without signing it. Raises `NoSuchRound`, `WrongRound`."""
    row = _open_round(connection, number)
    odd = sum(one.state == ODD for one in read_looks(connection, number))
    _end(connection, number, row.state, LEFT, by, note, now_ms, odd)


def _end(
    connection: Connection, number: int, was: str, state: str, by: str, note: str, now_ms: int,
    odd: int,
) -> None:  # fmt: skip
    done = connection.execute(
        update(scenario_round)
        .where(scenario_round.c.id == number, scenario_round.c.state == was)
        .values(
            state=state, ended_ms=now_ms, ended_by=by, odd=odd,
            note=note.strip()[: limits.NOTE_CHARS_MAX],
        )
    )  # fmt: skip
    if done.rowcount == 0:
        raise WrongRound(f"Somebody else has just ended round {number}.")


def _round(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(select(scenario_round).where(scenario_round.c.id == number)).first()
    if row is None:
        raise NoSuchRound(f"There is no round {number}.")
    return row


def _open_round(connection: Connection, number: int) -> Row[Any]:
    row = _round(connection, number)
    if row.state != OPEN:
        raise WrongRound(f"Round {number} is over.")
    return row


def read_round(connection: Connection, number: int) -> tuple[Row[Any], Scenario, list[Row[Any]]]:
    """A round, the scenario as it was then, and its looks. Raises `NoSuchRound`."""
    row = _round(connection, number)
    version = scenario_version.c
    document = connection.execute(
        select(version.document).where(version.name == row.name, version.version == row.version)
    ).scalar_one()
    return row, scenario_of(document), read_looks(connection, number)


def read_looks(connection: Connection, number: int) -> list[Row[Any]]:
    """The looks of a round, in the order of its views."""
    table = scenario_look
    found = select(table).where(table.c.round_id == number).order_by(table.c.view)
    return list(connection.execute(found))


def read_rounds(
    connection: Connection, name: str = "", limit: int = limits.ROUNDS_LISTED_MAX
) -> list[Row[Any]]:
    """Rounds but for watches, the newest first; of one scenario, or of all."""
    table = scenario_round
    wanted = select(table).where(table.c.kind != WATCH).order_by(table.c.id.desc()).limit(limit)
    return list(connection.execute(wanted.where(table.c.name == name) if name else wanted))


def read_versions(connection: Connection, name: str) -> list[tuple[str, int]]:
    """Versions of a scenario that were used, and since when (ms), the newest first."""
    table = scenario_version
    rows = connection.execute(
        select(table.c.version, table.c.first_ms)
        .where(table.c.name == name)
        .order_by(table.c.first_ms.desc())
    )
    return [(row.version, row.first_ms) for row in rows]


def read_uses(connection: Connection, now_ms: int) -> dict[str, Use]:
    """By name how each scenario was used of late; one that was not used is not there."""
    table = scenario_round.c
    rows = connection.execute(
        select(table.name, table.kind, func.count(), func.max(table.began_ms))
        .where(table.began_ms > now_ms - limits.UNUSED_MS)
        .group_by(table.name, table.kind)
    )
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, int] = {}
    for name, kind, count, began_ms in rows:
        counts.setdefault(name, {})[kind] = count
        last[name] = max(last.get(name, 0), began_ms)
    return {
        name: Use(by.get(RUN, 0), by.get(WATCH, 0), by.get(PLAY, 0), last[name])
        for name, by in counts.items()
    }


def unused(connection: Connection, names: Sequence[str], now_ms: int) -> list[str]:
    """Those of *names* that nobody used for `limits.UNUSED_MS`, for the diary."""
    uses = read_uses(connection, now_ms)
    return sorted(name for name in names if uses.get(name, Use()).is_unused)
