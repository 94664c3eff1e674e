"""Reading: the one way in which samples are found, in the store's process and in any other.

Order matters. The head's slabs are listed first and the tiles second: a generation that becomes
tiles in between is then seen twice (which `gather` mends), never missed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from vezha.model.columns import STALE_BITS, Matcher, Refs, Selection, SeriesData, TooManySamples
from vezha.model.labels import Labels
from vezha.store import slab as slab_words
from vezha.store.days import CELL, FLUSH, MAX_TS, MIN_TS, DayFile, Days, day_of
from vezha.store.errors import StoreCorrupt
from vezha.store.gather import Gathering
from vezha.store.index import Match, SeriesIndex
from vezha.store.limits import (
    COLUMNS_PER_TILE,
    DAY_MS,
    HOSTS_PER_TILE,
    PLAN_CACHE_ENTRIES,
    ROSTER_LAYOUTS_KNOWN_MAX,
)
from vezha.store.newest import (
    FlatLayouts,
    Newest,
    newest_in_head,
    newest_in_tiles,
    samples_of_frames,
)
from vezha.store.rollup import Choice, fingerprints, plane_for
from vezha.store.settings import StoreSettings
from vezha.store.slab import LOOSE, Slab
from vezha.store.thinning import Thinning, thinning_of
from vezha.store.tile import Tile, decode
from vezha.store.tombstone import Tombstone, without_deleted

log = structlog.get_logger(__name__)
I64 = npt.NDArray[np.int64]
_TABLE_FROM = 20_000
BULK_BLOCKS_MIN = 64
BULK_ROWS_MAX = 64
"""From so many blocks with so few rows each, one sort is cheaper than a loop over blocks."""


def cells_of(index: SeriesIndex, refs: Refs) -> I64:
    """The cell (block of columns x block of hosts) of each series, int64."""
    columns = index.column_of[refs].astype(np.int64) // COLUMNS_PER_TILE
    hosts = index.host_of[refs].astype(np.int64) // HOSTS_PER_TILE
    return (columns << 32) | hosts


class TileCache:
    """Opened tiles by (day, number), the least recently used out first. Thread-safe."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._tiles: OrderedDict[tuple[int, int], Tile] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes_used = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: tuple[int, int]) -> Tile | None:
        """A tile, if it is here."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is None:
                self.misses += 1
            else:
                self.hits += 1
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple[int, int], tile: Tile) -> None:
        """Keep a tile."""
        with self._lock:
            old = self._tiles.pop(key, None)
            if old is not None:
                self.bytes_used -= old.size_bytes
            self._tiles[key] = tile
            self.bytes_used += tile.size_bytes
            while self.bytes_used > self._bytes_max and self._tiles:
                self.bytes_used -= self._tiles.popitem(last=False)[1].size_bytes


@dataclass(slots=True)
class _Plan:
    """What is worked out once per match and used by every select of it."""

    match: Match
    refs: Refs
    series_seen: int
    cells: I64
    layouts: dict[int, tuple[I64, list[int]]]
    layouts_seen: int = 0
    flat: FlatLayouts | None = None
    rosters: dict[int, tuple[I64, I64]] = field(default_factory=dict)

    def roster(self, slab: Slab, entry: I64) -> tuple[I64, I64]:
        """Which columns of a roster's block are wanted, and their positions."""
        layout = int(entry[slab_words.LAYOUT])
        found = self.rosters.get(layout)
        if found is None:
            positions = _positions(self, slab.roster(entry))
            columns = np.flatnonzero(positions >= 0)
            if len(self.rosters) > ROSTER_LAYOUTS_KNOWN_MAX:
                self.rosters = {}
            found = self.rosters[layout] = (columns, positions[columns])
        return found


class Reading:
    """A `SampleSource` over an index, the head's slabs and the day files."""

    def __init__(
        self,
        index: SeriesIndex,
        layout_refs: list[np.ndarray[tuple[int], np.dtype[np.int64]]],
        slabs: Callable[[], list[Slab]],
        days: Days,
        settings: StoreSettings,
        tombstones: list[Tombstone],
    ) -> None:
        self._tombstones = tombstones
        self._index = index
        self._thins = settings.thin_to_steps
        self._rolls = settings.roll_ups
        self._layout_refs = layout_refs
        self._slabs = slabs
        self._days = days
        self.cache = TileCache(settings.cache_bytes_max)
        self._plans: OrderedDict[tuple[Matcher, ...], _Plan] = OrderedDict()
        self._lock = threading.Lock()
        self.corrupt_tiles = 0
        self._told: set[tuple[int, int]] = set()

    def _plan(self, matchers: tuple[Matcher, ...]) -> _Plan:
        with self._lock:
            match = self._index.match(matchers)
            plan = self._plans.get(matchers)
            if plan is None or plan.match is not match or plan.series_seen != match.series_seen:
                layouts: dict[int, tuple[I64, list[int]]] = {}
                seen = 0
                if plan is not None and plan.match is match:
                    # positions stay when series are added; layouts seen before have none of them
                    layouts, seen = plan.layouts, plan.layouts_seen
                if plan is not None and plan.refs is match.refs:
                    cells = plan.cells
                else:
                    cells = np.unique(cells_of(self._index, match.refs))
                plan = _Plan(match, match.refs, match.series_seen, cells, layouts, seen)
                self._plans[matchers] = plan
                while len(self._plans) > PLAN_CACHE_ENTRIES:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(matchers)
            known = self._layout_refs
            while plan.layouts_seen < len(known):
                number = plan.layouts_seen
                if int(known[number].max()) >= plan.series_seen:
                    break  # a layout that came while we looked; the next time
                positions = _positions(plan, known[number])
                columns = np.flatnonzero(positions >= 0)
                if len(columns):
                    plan.layouts[number] = (columns, positions[columns].tolist())
                plan.layouts_seen += 1
            return plan

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        slabs = self._slabs()
        plan = self._plan(tuple(selection.matchers))
        if not len(plan.refs) or selection.end_ms <= selection.start_ms:
            return SeriesData.empty()
        if selection.newest_only and not self._hides(selection.start_ms, selection.end_ms):
            return self._select_newest(plan, slabs, selection)
        gathering = Gathering(selection.samples_max)
        start, end = selection.start_ms, selection.end_ms
        thinning = thinning_of(selection) if self._thins else None
        choice = plane_for(selection) if self._rolls else None
        if self._hides_any(plan, start, end):
            choice = None
        rolled: dict[int, int] = {}
        spans = _spans_of(slabs) if choice else None
        tiles = self._gather_tiles(plan, start, end, gathering, thinning, choice, spans, rolled)
        self._gather_head(plan, slabs, start, end, gathering, thinning)
        order = plan.match.sorted(gathering.present())
        data = gathering.result(order, [plan.match.labels(i) for i in order])
        if self._tombstones and order:
            refs = plan.match.refs[np.array(order)]
            data = without_deleted(data, refs, self._tombstones)
        data.notes["tiles"] = tiles
        if rolled:
            data.notes["resolution"] = {f"{t // 1000} s": n for t, n in rolled.items()}
        return data

    def _hides(self, start: int, end: int) -> bool:
        """Whether a tombstone lies in (start, end]; then the newest sample may be a deleted one."""
        return any(s.start_ms <= end and s.end_ms > start for s in self._tombstones)

    def _hides_any(self, plan: _Plan, start: int, end: int) -> bool:
        """Whether a tombstone hides samples of these series on the days of (start, end]."""
        low, high = start // DAY_MS * DAY_MS, (end // DAY_MS + 1) * DAY_MS
        return any(
            s.start_ms < high and s.end_ms >= low and bool(s.covers(plan.refs).any())
            for s in self._tombstones
        )

    def _select_newest(self, plan: _Plan, slabs: list[Slab], selection: Selection) -> SeriesData:
        start, end = selection.start_ms, selection.end_ms
        newest = Newest(len(plan.refs))
        flat = self._flat(plan)

        def positions_of(refs: Refs) -> I64:
            return _positions(plan, refs)

        newest_in_head(newest, flat, positions_of, plan.roster, slabs, start, end)
        opened: list[Tile] = []
        for day in self._days.between(day_of(start), day_of(end)):
            directory = day.directory()
            near = directory[(directory[:, MIN_TS] <= end) & (directory[:, MAX_TS] > start)]
            if not len(near):
                continue
            # only series whose newest sample may be in a tile: the live ones are in the head
            behind = newest.ts <= int(near[:, MAX_TS].max())
            if behind.any():
                cells = np.unique(cells_of(self._index, plan.refs[behind]))
                opened += self._tiles(cells, day, start, end)
        tiles = newest_in_tiles(newest, positions_of, opened, start, end)
        found = newest.found
        if len(found) > selection.samples_max:
            raise TooManySamples(f"the selection has more than {selection.samples_max} samples")
        order = plan.match.sorted(found.tolist())
        places = np.array(order, np.int64)
        return SeriesData(
            [plan.match.labels(i) for i in order],
            newest.ts[places],
            newest.values[places],
            np.arange(len(order) + 1, dtype=np.int64),
            notes={"tiles": tiles},
        )

    def _flat(self, plan: _Plan) -> FlatLayouts:
        flat = plan.flat
        if flat is None or flat.seen != plan.layouts_seen:
            with self._lock:
                flat = plan.flat = FlatLayouts.of(plan)
        return flat

    # Tiles

    def _gather_tiles(
        self,
        plan: _Plan,
        start: int,
        end: int,
        gathering: Gathering,
        thinning: Thinning | None,
        choice: Choice | None,
        spans: I64 | None,
        rolled: dict[int, int],
    ) -> int:
        count = 0
        for day in self._days.between(day_of(start), day_of(end)):
            cells = plan.cells
            tiles: list[tuple[Tile, int]] = []
            if choice is not None and spans is not None:
                for until, done, rolls in self._rolled(cells, day, choice, spans, rolled):
                    tiles += ((tile, start) for tile in rolls)
                    cells = np.setdiff1d(cells, done)
                    if until < (day.day + 1) * DAY_MS and until <= end:
                        rest = max(start, until - 1)
                        tiles += ((tile, rest) for tile in self._tiles(done, day, rest, end))
            if len(cells):
                tiles += ((tile, start) for tile in self._tiles(cells, day, start, end))
            for tile, low in tiles:
                count += 1
                _gather_tile(plan, tile, low, end, gathering, thinning)
        return count

    def _rolled(
        self, cells: I64, day: DayFile, choice: Choice, spans: I64, rolled: dict[int, int]
    ) -> list[tuple[int, I64, list[Tile]]]:
        """Roll-ups of a day: until when they reach, of which cells, and their planes."""
        found: list[tuple[int, I64, list[Tile]]] = []
        for tier in choice.tiers_ms:
            made = day.roll_ups(tier, choice.plane)  # before the directory: never newer than it
            directory = day.directory()
            directory = directory[np.isin(directory[:, CELL], cells)]
            for until in sorted({made[c][1].until for c in cells.tolist() if c in made}):
                # samples in the head may double those of tiles, and a roll-up cannot tell
                if ((spans[:, 0] < until) & (spans[:, 1] >= day.day * DAY_MS)).any():
                    continue
                before = directory[directory[:, MIN_TS] < until]
                present = fingerprints(before[:, CELL], before[:, 0], until)
                numbers: dict[int, int] = {}
                for cell in cells.tolist():
                    number, made_of, size = made.get(cell, (0, None, 0))
                    if size and present.get(cell) == made_of:
                        numbers[cell] = number
                opened = self._open_roll_ups(day, numbers, choice.no_stale)
                if opened:
                    rolled[tier] = rolled.get(tier, 0) + len(opened)
                    done = np.array(sorted(opened), np.int64)
                    found.append((until, done, list(opened.values())))
                    cells = np.setdiff1d(cells, done)
        return found

    def _open_roll_ups(
        self, day: DayFile, numbers: dict[int, int], no_stale: bool
    ) -> dict[int, Tile]:
        """Planes by cell, as far as they are whole; *numbers* of them by cell."""
        # in the cache, tiles have the numbers above zero
        known = {cell: self.cache.get((day.day, -number)) for cell, number in numbers.items()}
        missing = [numbers[cell] for cell, tile in known.items() if tile is None]
        blobs = day.fetch_roll_ups(missing) if missing else {}
        opened: dict[int, Tile] = {}
        for cell, tile in known.items():
            blob = blobs.get(numbers[cell])
            if tile is None and blob is not None:
                tile = self._open(day, -numbers[cell], blob)
            if tile is not None and not (no_stale and tile.holds(STALE_BITS)):
                opened[cell] = tile
        return opened

    def _wanted(self, cells: I64, day: DayFile, start: int, end: int) -> I64:
        """Rows of the day's directory whose tiles may have samples in (start, end]."""
        directory = day.directory()
        near = directory[(directory[:, MIN_TS] <= end) & (directory[:, MAX_TS] > start)]
        if not len(near):
            return near
        at = np.searchsorted(cells, near[:, CELL])
        at[at == len(cells)] = 0
        near = near[cells[at] == near[:, CELL]]
        wanted: I64 = near[np.lexsort((near[:, 0], near[:, FLUSH]))]
        return wanted

    def _tiles(self, cells: I64, day: DayFile, start: int, end: int) -> list[Tile]:
        for _ in range(3):
            wanted = self._wanted(cells, day, start, end)[:, 0].tolist()
            keys = [(day.day, number) for number in wanted]
            tiles: dict[int, Tile | None] = {k[1]: self.cache.get(k) for k in keys}
            missing = [number for number, tile in tiles.items() if tile is None]
            if not missing:
                return [t for t in tiles.values() if t is not None]
            blobs = day.fetch(missing)
            for number in missing:
                blob = blobs.get(number)
                if blob is not None:
                    tiles[number] = self._open(day, number, blob)
            if len(blobs) == len(missing):
                return [t for t in tiles.values() if t is not None]
            # a merge replaced tiles between looking and fetching: look again
        return [t for t in tiles.values() if t is not None]

    def _open(self, day: DayFile, number: int, blob: bytes | StoreCorrupt) -> Tile | None:
        try:
            if isinstance(blob, StoreCorrupt):
                raise blob
            tile = decode(blob)
        except StoreCorrupt as error:
            key = (day.day, number)
            if key not in self._told:
                self._told.add(key)
                self.corrupt_tiles += 1
                log.error("a tile is damaged and is left out", file=day.path, error=str(error))
            return None
        self.cache.put((day.day, number), tile)
        return tile

    # Head

    def _gather_head(
        self,
        plan: _Plan,
        slabs: list[Slab],
        start: int,
        end: int,
        gathering: Gathering,
        thinning: Thinning | None,
    ) -> None:
        generations: dict[int, list[tuple[Slab, I64]]] = {}
        for slab, directory in Slab.snapshot(slabs):
            generations.setdefault(slab.generation, []).append((slab, directory))
        for generation in sorted(generations):
            loose: list[tuple[Slab, I64]] = []
            rosters: list[tuple[Slab, I64]] = []
            for slab, directory in generations[generation]:
                near = (
                    (directory[:, slab_words.COUNT] > 0)
                    & (directory[:, slab_words.LOWEST] <= end)
                    & (directory[:, slab_words.HIGHEST] > start)
                )
                entries = directory[near]
                flat = self._flat(plan)
                short = _short_runs(flat, entries, start, end)
                if len(short) >= BULK_BLOCKS_MIN:
                    gathering.add_bulk(*samples_of_frames(flat, slab, entries[short], start, end))
                    entries = np.delete(entries, short, axis=0)
                for entry in entries:
                    layout = int(entry[slab_words.LAYOUT])
                    if layout == LOOSE:
                        loose.append((slab, entry))
                    elif layout < LOOSE:
                        rosters.append((slab, entry))
                    elif layout in plan.layouts:
                        wanted = plan.layouts[layout]
                        _gather_block(wanted, slab, entry, start, end, gathering, thinning)
            for slab, entry in rosters:
                columns, places = plan.roster(slab, entry)
                if len(columns):
                    wanted = (columns, places.tolist())
                    _gather_block(wanted, slab, entry, start, end, gathering, thinning)
            for slab, entry in loose:
                refs, ts, values = slab.loose(entry)
                positions = _positions(plan, refs)
                keep = np.flatnonzero((positions >= 0) & (ts > start) & (ts <= end))
                gathering.add_loose(positions[keep], ts[keep], values[keep])

    # Names

    def _live(self, matchers: Sequence[Matcher], start: int, end: int) -> tuple[_Plan, list[int]]:
        """Positions of series in the plan that have samples in [start, end], ascending."""
        slabs = self._slabs()
        plan = self._plan(tuple(matchers))
        days = self._days.days()
        if days and start <= days[0] * DAY_MS and end >= days[-1] * DAY_MS:
            # of all time: whatever is known
            return plan, self._undeleted(plan, np.ones(len(plan.refs), np.bool_), start, end)
        seen = np.zeros(len(plan.refs), np.bool_)
        for slab in slabs:
            for entry in slab.directory():
                count = int(entry[slab_words.COUNT])
                if not count or entry[slab_words.LOWEST] > end or entry[slab_words.HIGHEST] < start:
                    continue
                layout = int(entry[slab_words.LAYOUT])
                if layout == LOOSE:
                    refs, ts, _ = slab.loose(entry)
                    positions = _positions(plan, refs[(ts >= start) & (ts <= end)])
                    seen[positions[positions >= 0]] = True
                elif layout < LOOSE:
                    ts, _ = slab.rows(entry)
                    if ((ts >= start) & (ts <= end)).any():
                        seen[plan.roster(slab, entry)[1]] = True
                elif layout in plan.layouts:
                    ts, _ = slab.rows(entry)
                    if ((ts >= start) & (ts <= end)).any():
                        seen[plan.layouts[layout][1]] = True
        for day in reversed(self._days.between(day_of(start), day_of(end))):
            if seen.all():
                break
            # only where unseen series may be; most are in the head, or in the first tiles looked at
            cells = np.unique(cells_of(self._index, plan.refs[~seen]))
            for tile in self._tiles(cells, day, start - 1, end):
                positions = _positions(plan, tile.refs)
                rows = np.flatnonzero(positions >= 0)
                reach = (tile.clock.firsts <= end) & (tile.clock.lasts >= start)
                seen[positions[rows[reach[tile.groups[rows]]]]] = True
        return plan, self._undeleted(plan, seen, start, end)

    def _undeleted(
        self, plan: _Plan, seen: npt.NDArray[np.bool_], start: int, end: int
    ) -> list[int]:
        for stone in self._tombstones:
            if stone.start_ms <= start and stone.end_ms >= end:
                seen &= ~stone.covers(plan.refs)
        return np.flatnonzero(seen).tolist()

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`."""
        plan, live = self._live(matchers, start_ms, end_ms)
        order = plan.match.sorted(live)
        return [plan.match.labels(i) for i in (order[:limit] if limit else order)]

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See `SampleSource.label_names`."""
        found = self.series(matchers, start_ms, end_ms)
        return sorted({name for labels in found for name, _ in labels})

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """See `SampleSource.label_values`."""
        found = self.series(matchers, start_ms, end_ms)
        return sorted({value for labels in found for n, value in labels if n == name})


def _spans_of(slabs: list[Slab]) -> I64:
    """Lowest and highest time of each block of the head, int64[n, 2]."""
    found = [d[d[:, slab_words.COUNT] > 0] for _, d in Slab.snapshot(slabs)]
    if not found:
        return np.empty((0, 2), np.int64)
    return np.concatenate(found)[:, [slab_words.LOWEST, slab_words.HIGHEST]]


def _positions(plan: _Plan, refs: Refs) -> I64:
    """The position of each series in the plan's match, or -1."""
    mine = plan.refs
    if not len(mine) or not len(refs):
        return np.full(len(refs), -1, np.int64)
    if len(refs) > _TABLE_FROM:
        table = np.full(max(int(refs.max()), int(mine[-1])) + 1, -1, np.int64)
        table[mine] = np.arange(len(mine))
        return table[refs]
    at = np.searchsorted(mine, refs)
    at[at == len(mine)] = 0
    return np.where(mine[at] == refs, at, -1)


def _gather_tile(
    plan: _Plan,
    tile: Tile,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning | None,
) -> None:
    rows, positions = tile.rows_of(plan.refs, lambda refs: _positions(plan, refs))
    if not len(rows):
        return
    clock, groups = tile.clock, tile.groups[rows]
    if thinning is not None and not thinning.range_ms:
        _gather_last(rows, positions, tile, start, end, gathering, thinning)
        return
    bounds = clock.until(np.array([start, end]))
    low, high = bounds[:, 0], bounds[:, 1]
    until = int(high.max())
    size = high - low
    if not until or not size.any():
        return
    values = tile.values(rows, until)
    if thinning is None:
        gathering.add_table(positions, groups, tile.table(until), size, values, low)
        return
    for group in np.unique(groups).tolist():
        at = int(low[group])
        ts = clock.each[group][at : int(high[group])]
        picked = thinning.picks(ts)
        if len(picked):
            mine = groups == group
            gathering.add_rows(positions[mine], ts[picked], values[mine][:, at + picked])


def _gather_last(
    rows: I64,
    positions: I64,
    tile: Tile,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning,
) -> None:
    """Of each step the newest sample."""
    clock, groups = tile.clock, tile.groups[rows]
    first, last = max(int(clock.firsts.min()), start + 1), min(int(clock.lasts.max()), end)
    if first > last:
        return
    edges = np.minimum(thinning.edges(first, last), end)
    last_at = clock.until(edges) - 1
    before = int(clock.until(np.array([start])).max()) - 1
    lowest = clock.until(np.array([start])) - 1
    fresh = np.diff(last_at, axis=1, prepend=-1) > 0
    if before >= 0:
        fresh &= last_at > lowest
    size = fresh.sum(axis=1)
    longest = int(size.max())
    if not longest:
        return
    if fresh.all():
        places = last_at
    else:
        # what counts to the front; padded with the last that does
        order = np.argsort(~fresh, axis=1, kind="stable")[:, :longest]
        order = np.take_along_axis(
            order, np.minimum(np.arange(longest), np.maximum(size - 1, 0)[:, None]), axis=1
        )
        places = np.maximum(np.take_along_axis(last_at, order, axis=1), 0)
    times = tile.table(tile.columns)
    stamps = np.take_along_axis(times, places, axis=1)
    values = tile.picked(rows, places[groups])
    gathering.add_table(positions, groups, stamps, size, values)


def _short_runs(flat: FlatLayouts, entries: I64, start: int, end: int) -> I64:
    """Which blocks are ordered, wanted, and have few rows in (start, end]."""
    layouts = entries[:, slab_words.LAYOUT]
    inside = (layouts >= 0) & (layouts < flat.seen)
    wanted = inside & (flat.size[np.where(inside, layouts, 0)] > 0)
    span = entries[:, slab_words.HIGHEST] - entries[:, slab_words.LOWEST] + 1
    asked = np.minimum(entries[:, slab_words.HIGHEST], end) - np.maximum(
        entries[:, slab_words.LOWEST] - 1, start
    )
    rows = entries[:, slab_words.COUNT] * asked / span
    short: I64 = np.flatnonzero(
        wanted & (entries[:, slab_words.DISORDER] == 0) & (rows <= BULK_ROWS_MAX)
    )
    return short


def _gather_block(
    wanted: tuple[I64, list[int]],
    slab: Slab,
    entry: I64,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning | None,
) -> None:
    columns, positions = wanted
    places = np.array(positions, np.int64)
    ts, values = slab.rows(entry)
    if entry[slab_words.DISORDER]:
        order = np.argsort(ts, kind="stable")
        order = order[(ts[order] > start) & (ts[order] <= end)]
        if len(order):
            gathering.add_rows(places, ts[order], values[np.ix_(order, columns)].T)
        return
    low, high = 0, len(ts)
    if entry[slab_words.LOWEST] <= start:
        low = int(np.searchsorted(ts, start, "right"))
    if entry[slab_words.HIGHEST] > end or ts[-1] > end:
        high = int(np.searchsorted(ts, end, "right"))
    if low >= high:
        return
    if thinning is not None:
        rows = low + thinning.picks(ts[low:high])
        if len(rows):
            gathering.add_rows(places, ts[rows], values[np.ix_(rows, columns)].T)
    else:
        gathering.add_rows(places, ts[low:high], values[low:high, columns].T)


__all__ = ["Reading", "TileCache", "cells_of"]
