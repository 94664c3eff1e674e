"""What all tables share: the one `metadata` and the names of constraints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def part_of(name: str, owner: str, **options: Any) -> Column[int]:
    """The column *name* of rows that are a part of the row *owner* (`table.id`) and go with it."""
    return Column(name, Integer, ForeignKey(owner, ondelete="CASCADE"), **options)
