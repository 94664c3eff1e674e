"""Rings: what was read and what was forecast, on disk, so that a restart knows it.

    NAME.json   {"version": 1, "columns": c, "newest": step, "rows": [[word, …], …]}
    NAME.f32    float32, little-endian, [rows' room, columns]; step s lies in column s mod c

One process writes, others may read. Values are written before the JSON that speaks of them, which is
replaced whole; a step that is not told of is overwritten by the same values again. History can be read
anew from the store at any time; forecasts that were made cannot, so a broken file loses those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.world import World

F32 = npt.NDArray[np.float32]
Key = tuple[str, ...]
VERSION = 1
ROOM_FIRST = 64


class Ring:
    """float32 [rows, steps], the newest `columns` steps; NaN where nothing was written."""

    def __init__(
        self, world: World, folder: str, name: str, columns: int, *, readonly: bool = False
    ) -> None:
        """Open or, if not *readonly*, make it. A file that does not fit begins anew."""
        self.columns = columns
        self.newest = -1
        self.rows: dict[Key, int] = {}
        self._world = world
        self._readonly = readonly
        self._told = f"{folder}/{name}.json"
        self._path = f"{folder}/{name}.f32"
        self._free: list[int] = []
        self._data: F32 = np.empty((0, columns), np.float32)
        if not readonly:
            world.disk.make_folder(folder)
        self.load()

    def load(self) -> bool:
        """Read what is told on disk; whether there is something."""
        disk = self._world.disk
        try:
            told = json.loads(disk.read(self._told))
            keys = [tuple(key) for key in told["rows"]]
            # without a row yet there are no values, and still it is known up to where all was read
            room = disk.size(self._path) // (4 * self.columns) if keys else 0
            if told["version"] != VERSION or told["columns"] != self.columns or room < len(keys):
                return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self.newest = int(told["newest"])
        self.rows = {key: i for i, key in enumerate(keys) if key}
        self._free = [i for i, key in enumerate(keys) if not key]
        self._map(room)
        return True

    def _map(self, room: int) -> None:
        if not room:
            return
        mode = "r" if self._readonly else "r+"
        shape = (room, self.columns)
        self._data = np.memmap(self._path, np.dtype("<f4"), mode, shape=shape)  # type: ignore[call-overload]

    def place(self, keys: Iterable[Key]) -> npt.NDArray[np.int64]:
        """int64[keys]: their rows, new ones where there were none."""
        out = []
        for key in keys:
            row = self.rows.get(key)
            if row is None:
                row = self._free.pop() if self._free else len(self.rows)
                self._grow(row + 1)
                self._data[row] = np.nan
                self.rows[key] = row
            out.append(row)
        return np.array(out, np.int64)

    def _grow(self, rows: int) -> None:
        had = len(self._data)
        if rows <= had:
            return
        room = max(ROOM_FIRST, 2 * had, rows)
        with Path(self._path).open("ab") as file:
            file.truncate(room * self.columns * 4)
        self._map(room)

    def write(self, step: int, rows: npt.NDArray[np.int64], values: F32) -> None:
        """Set *step* of rows; a newer step than any before empties what lay between."""
        self.reach(step)
        if step > self.newest - self.columns:
            self._data[rows, step % self.columns] = values

    def reach(self, step: int) -> None:
        """Let *step* be the newest, if it is newer."""
        if step <= self.newest:
            return
        first = max(self.newest + 1, step - self.columns + 1) if self.newest >= 0 else None
        if first is None:
            self._data[:] = np.nan
        else:
            self._data[:, np.arange(first, step + 1) % self.columns] = np.nan
        self.newest = step

    def window(self, end: int, count: int, rows: npt.NDArray[np.int64]) -> F32:
        """float32 [rows, count]: the steps that end with *end*; NaN where nothing is kept."""
        steps = np.arange(end - count + 1, end + 1)
        kept = (steps <= self.newest) & (steps > self.newest - self.columns) & (steps >= 0)
        out = np.full((len(rows), count), np.nan, np.float32)
        if kept.any() and len(rows):
            out[:, kept] = self._data[np.ix_(rows, steps[kept] % self.columns)]
        return out

    def drop(self, keys: Sequence[Key]) -> None:
        """Forget rows; their room is used again."""
        for key in keys:
            self._free.append(self.rows.pop(key))

    def clear(self) -> None:
        """Forget every value; rows stay."""
        self.newest = -1
        self._data[:] = np.nan

    def save(self) -> None:
        """Tell on disk what was written."""
        if isinstance(self._data, np.memmap):
            self._data.flush()
        keys: list[Key] = [()] * (len(self.rows) + len(self._free))
        for key, row in self.rows.items():
            keys[row] = key
        told = {"version": VERSION, "columns": self.columns, "newest": self.newest, "rows": keys}
        self._world.disk.write_whole(self._told, json.dumps(told).encode())
