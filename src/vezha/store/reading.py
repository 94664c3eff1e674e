"""Reading: the one way in which samples are found, in the store's process and in any other.

Order matters. The head's slabs are listed first and the tiles second: a generation that becomes
tiles in between is then seen twice (which `gather` mends), never missed.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Matcher, Refs, Selection, SeriesData, TooManySamples
from vezha.model.labels import Labels
from vezha.store import slab as slab_words
from vezha.store.damage import Damage
from vezha.store.days import CELL, FLUSH, MAX_TS, MIN_TS, DayFile, Directory, day_name, day_of
from vezha.store.errors import StoreCorrupt
from vezha.store.flat import FlatLayouts
from vezha.store.gather import Gathering
from vezha.store.gather_tile import Wanted, gather_tile, gather_tiles
from vezha.store.index import Match, SeriesIndex
from vezha.store.limits import (
    DAY_MS,
    PLAN_CACHE_ENTRIES,
    PLAN_DAYS_KNOWN_MAX,
    PLAN_RUNS_KNOWN_MAX,
    PLAN_SLABS_KNOWN_MAX,
    PLAN_TILES_KNOWN_MAX,
    PLAN_TILES_LISTED_MAX,
    ROSTER_LAYOUTS_KNOWN_MAX,
    TILE_SPAN_MS,
)
from vezha.store.newest import (
    Newest,
    newest_in_head,
    newest_in_tiles,
    samples_of_frames,
)
from vezha.store.packed import AnySlab, PackedSlab, snapshot
from vezha.store.packed_runs import Runs, gather_packed, runs_of_frames, runs_of_rosters
from vezha.store.partition import Partitions
from vezha.store.rolled import hours_of
from vezha.store.rolledreading import Looking, RolledReading
from vezha.store.rolling import runs
from vezha.store.rollup import TIERS_MS, planes_for, planes_without_samples, strip_of
from vezha.store.settings import StoreSettings
from vezha.store.slab import LOOSE, Slab
from vezha.store.thinning import Thinning, thinning_of
from vezha.store.tile import Tile, decode
from vezha.store.tilecache import TileCache
from vezha.store.tombstone import Tombstone, without_deleted

I64 = npt.NDArray[np.int64]
_Days = OrderedDict[str, tuple["weakref.ref[Directory]", Directory, list[list[int]] | None]]
"""By file: a state of its directory, and what of it is wanted; as lists, too, where that is little."""
BULK_BLOCKS_MIN = 64
BULK_ROWS_MAX = 64
"""From so many blocks with so few rows each, one sort is cheaper than a loop over blocks."""


@dataclass(slots=True)
class _Plan:
    """What is worked out once per match and used by every select of it."""

    match: Match
    refs: Refs
    series_seen: int
    cells: I64
    wanted: Wanted
    layouts: dict[int, tuple[I64, list[int]]]
    layouts_seen: int = 0
    flat: FlatLayouts | None = None
    rosters: dict[int, tuple[I64, I64]] = field(default_factory=dict)
    ordered: tuple[list[int], list[Labels]] = field(default_factory=lambda: ([], []))
    days: _Days = field(default_factory=OrderedDict)
    packed: dict[str, tuple[FlatLayouts, Runs, Runs]] = field(default_factory=dict)

    def of_day(self, day: DayFile) -> tuple[Directory, list[list[int]] | None]:
        """Rows of the day's directory that may have wanted samples, in the order in which these
        came in; worked out once for each state of it. As lists, too, if they are few."""
        directory = day.directory()
        known = self.days.get(day.path)  # replaced as a whole: other threads ask, too
        if known is not None and known[0]() is directory:
            return known[1], known[2]
        rows = _rows_of(self.cells, directory)
        listed: list[list[int]] | None = None
        if len(rows) <= PLAN_TILES_KNOWN_MAX:
            listed = rows.tolist() if len(rows) <= PLAN_TILES_LISTED_MAX else None
            self.days[day.path] = (weakref.ref(directory), rows, listed)
            while len(self.days) > PLAN_DAYS_KNOWN_MAX:
                with contextlib.suppress(KeyError):
                    self.days.popitem(last=False)
        return rows, listed

    def roster(self, slab: AnySlab, entry: I64) -> tuple[I64, I64]:
        """Which columns of a roster's block are wanted, and their positions."""
        layout = int(entry[slab_words.LAYOUT])
        found = self.rosters.get(layout)
        if found is None:
            positions = self.wanted.positions(slab.roster(entry))
            columns = np.flatnonzero(positions >= 0)
            if len(self.rosters) > ROSTER_LAYOUTS_KNOWN_MAX:
                self.rosters = {}
            found = self.rosters[layout] = (columns, positions[columns])
        return found

    def packed_runs(self, flat: FlatLayouts, slab: PackedSlab) -> tuple[Runs, Runs]:
        """What of a packed slab's frames is wanted, and of its rosters; worked out once."""
        known = self.packed.get(slab.path)
        if known is not None and known[0] is flat:
            return known[1:]
        directory = slab.directory()
        of_rosters = directory[:, slab_words.LAYOUT] < LOOSE
        frames = runs_of_frames(flat, directory[~of_rosters])
        rosters = runs_of_rosters(self.roster, slab, directory[of_rosters])
        if len(frames.columns) + len(rosters.columns) <= PLAN_RUNS_KNOWN_MAX:
            kept = list(self.packed.items())[-PLAN_SLABS_KNOWN_MAX:]
            self.packed = {**dict(kept), slab.path: (flat, frames, rosters)}  # others ask, too
        return frames, rosters

    def labels(self, order: list[int]) -> list[Labels]:
        """The label sets at *order*; those that ask each second ask for the same ones."""
        known = self.ordered  # replaced as a whole: other threads ask, too
        if known[0] != order:
            known = self.ordered = (order, [self.match.labels(i) for i in order])
        return list(known[1])


class Reading:
    """A `SampleSource` over an index, the head's slabs and the day files."""

    def __init__(
        self,
        index: SeriesIndex,
        layout_refs: list[np.ndarray[tuple[int], np.dtype[np.int64]]],
        slabs: Callable[[], list[AnySlab]],
        partitions: Partitions,
        settings: StoreSettings,
        tombstones: list[Tombstone],
        damage: Damage,
    ) -> None:
        self._tombstones = tombstones
        self._index = index
        self._thins = settings.thin_to_steps
        self._rolls = settings.roll_ups
        self._layout_refs = layout_refs
        self._slabs = slabs
        self._partitions = partitions
        self.cache = TileCache(settings.cache_bytes_max)
        self._roll_ups = RolledReading(self.cache)
        self._plans: OrderedDict[tuple[Matcher, ...], _Plan] = OrderedDict()
        self._lock = threading.Lock()
        self._damage = damage

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
                known_days: _Days = OrderedDict()
                if plan is not None and plan.refs is match.refs:
                    cells, wanted, known_days = plan.cells, plan.wanted, plan.days
                else:
                    wanted = Wanted(match.refs)
                    cells = np.unique(self._index.cell_of[match.refs])
                plan = _Plan(
                    match, match.refs, match.series_seen, cells, wanted, layouts, seen,
                    days=known_days,
                )  # fmt: skip
                self._plans[matchers] = plan
                while len(self._plans) > PLAN_CACHE_ENTRIES:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(matchers)
            known = self._layout_refs
            while plan.layouts_seen < len(known):
                number = plan.layouts_seen
                if int(known[number].max(initial=-1)) >= plan.series_seen:
                    break  # a layout that came while we looked; the next time
                positions = plan.wanted.positions(known[number])
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
        start, end = selection.start_ms, selection.end_ms
        looking = self._looking(plan, selection, slabs)
        gathering = Gathering(selection.samples_max, looking.planes)
        self._gather_days(plan, looking, gathering)
        self._gather_head(plan, slabs, start, end, gathering, looking.thinning)
        order = plan.match.sorted(gathering.present())
        data = gathering.result(order, plan.labels(order))
        if self._tombstones and order:
            refs = plan.match.refs[np.array(order)]
            data = without_deleted(data, refs, self._tombstones)
        data.notes["tiles"], data.notes["bytes_read"] = looking.tiles, looking.bytes_read
        _warn(data, looking)
        if looking.rolled:
            data.notes["resolution"] = {f"{t // 1000} s": n for t, n in looking.rolled.items()}
        else:
            data.rolled = None  # nothing but samples
        return data

    def _looking(self, plan: _Plan, selection: Selection, slabs: list[AnySlab]) -> Looking:
        """How the days of a selection are looked at."""
        start, end = selection.start_ms, selection.end_ms
        looking = Looking(start, end, thinning_of(selection) if self._thins else None)
        choice = planes_for(selection) if self._rolls else None
        if choice is not None and self._hides_any(plan, start, end):
            choice = None  # what is deleted cannot be taken out of a roll-up
        nearest = None
        if choice is not None:
            looking.spans = _spans_of(plan, slabs)
        first, last = day_of(start), day_of(end)
        for partition in self._partitions.all():
            found = partition.days.between(first, last)
            if choice is None and len(found) > last - first:
                # the samples of every day are there, and no roll-up would be used
                looking.days += [(partition, file.day, file, ()) for file in found]
                continue
            files = {file.day: file for file in found}
            by_day = partition.rolled.there(first, last, TIERS_MS)
            beyond = [day for day in by_day if day not in files]
            if beyond and nearest is None:
                nearest = planes_without_samples(selection)
            for day in sorted(files.keys() | beyond) if beyond else files:
                use = choice if day in files else nearest
                tiers = () if use is None else use.tiers_ms
                there = tuple(t for t in tiers if t in by_day.get(day, ()))
                looking.days.append((partition, day, files.get(day), there))
        for use in (choice, nearest):
            if use is not None:
                looking.choice = use
                looking.planes = use.planes if use.named else ()
                break
        return looking

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

    def _select_newest(self, plan: _Plan, slabs: list[AnySlab], selection: Selection) -> SeriesData:
        start, end = selection.start_ms, selection.end_ms
        newest = Newest(len(plan.refs))
        flat = self._flat(plan)

        def positions_of(refs: Refs) -> I64:
            return plan.wanted.positions(refs)

        newest_in_head(newest, flat, positions_of, plan.roster, slabs, start, end)
        opened: list[Tile] = []
        looking = Looking(start, end, None)
        for day in self._files(start, end):
            near = _near(plan.of_day(day)[0], start, end)
            if not len(near):
                continue
            # only series whose newest sample may be in a tile: the live ones are in the head
            behind = newest.ts <= int(near[:, MAX_TS].max())
            if behind.any():
                cells: I64 | _Plan = plan
                if not behind.all():
                    cells = np.unique(self._index.cell_of[plan.refs[behind]])
                there = self._tiles(cells, day, start, end, looking=looking)
                opened += [tile for _, tile, _ in there]
        tiles = newest_in_tiles(newest, plan.wanted, opened, start, end)
        found = newest.found
        if len(found) > selection.samples_max:
            raise TooManySamples(f"the selection has more than {selection.samples_max} samples")
        order = plan.match.sorted(found.tolist())
        places = np.array(order, np.int64)
        data = SeriesData(
            plan.labels(order),
            newest.ts[places],
            newest.values[places],
            np.arange(len(order) + 1, dtype=np.int64),
            notes={"tiles": tiles, "bytes_read": looking.bytes_read},
        )
        _warn(data, looking)
        return data

    def _flat(self, plan: _Plan) -> FlatLayouts:
        flat = plan.flat
        if flat is None or flat.seen != plan.layouts_seen:
            with self._lock:
                flat = plan.flat = FlatLayouts.of(plan)
        return flat

    # Tiles

    def _files(self, start: int, end: int) -> list[DayFile]:
        """Files with samples of the days of [start, end], of every partition."""
        first, last = day_of(start), day_of(end)
        return [
            file
            for partition in self._partitions.all()
            for file in partition.days.between(first, last)
        ]

    def _gather_days(self, plan: _Plan, looking: Looking, gathering: Gathering) -> None:
        for partition, day, file, tiers in looking.days:
            strips = covered = None
            if tiers:
                strips = np.unique(strip_of(plan.cells))
                directory = None if file is None else file.directory()
                covered = self._roll_ups.gather(
                    plan.wanted, strips, partition.rolled, day, tiers, directory, looking, gathering
                )
            if file is not None:
                self._gather_samples(plan, file, strips, covered, looking, gathering)

    def _gather_samples(
        self,
        plan: _Plan,
        file: DayFile,
        strips: I64 | None,
        covered: I64 | None,
        looking: Looking,
        gathering: Gathering,
    ) -> None:
        """Samples of the hours that roll-ups do not cover."""
        start, end, begin = looking.start, looking.end, file.day * DAY_MS
        tiles = self._tiles(plan, file, start, end, strips, covered, looking)
        looking.tiles += len(tiles)
        if covered is None or all(hours is None for _, _, hours in tiles):
            named = [(cell, tile) for cell, tile, _ in tiles]
            gather_tiles(plan.wanted, named, start, end, gathering, looking.thinning)
            return
        for _, tile, hours in tiles:
            for first, last in [(0, 0)] if hours is None else runs(hours):
                low, high = start, end
                if hours is not None:
                    low = max(start, begin + first * TILE_SPAN_MS - 1)
                    high = min(end, begin + last * TILE_SPAN_MS - 1)
                if low < high:
                    gather_tile(plan.wanted, tile, low, high, gathering, looking.thinning)

    def _tiles(
        self,
        cells: I64 | _Plan,
        day: DayFile,
        start: int,
        end: int,
        strips: I64 | None = None,
        covered: I64 | None = None,
        looking: Looking | None = None,
    ) -> list[tuple[int, Tile, int | None]]:
        """Tiles of cells (of a plan: of all its cells) that may have samples in (start, end], in
        the order in which these came in: the cell of each, the tile, and the hours (bits) of it that
        are wanted, None being all. *covered* are hours of each strip that are not."""
        parts: dict[int, int] = {}
        if covered is not None and not covered.any():
            covered = None
        for _ in range(3):
            listed = None
            if isinstance(cells, _Plan):
                rows, listed = cells.of_day(day)
                if listed is None or covered is not None:
                    rows, listed = _near(rows, start, end), None
            else:
                rows = _rows_of(cells, _near(day.directory(), start, end))
            if covered is not None and strips is not None:
                hours = hours_of(day.day, rows[:, MIN_TS], rows[:, MAX_TS] + 1)
                left = hours & ~covered[np.searchsorted(strips, strip_of(rows[:, CELL]))]
                some = (left != hours) & (left != 0)
                parts = dict(zip(rows[some, 0].tolist(), left[some].tolist(), strict=True))
                rows = rows[left != 0]
            if listed is None:
                named = rows[:, :2].tolist()
            else:
                named = [r[:2] for r in listed if r[MIN_TS] <= end and r[MAX_TS] > start]
            tiles = self.cache.known(day.path, [number for number, _ in named])
            missing = [number for number, tile in tiles.items() if tile is None]
            if not missing:
                break
            blobs = day.fetch(missing)
            for number in missing:
                blob = blobs.get(number)
                if blob is not None:
                    tiles[number] = self._open(day, number, blob)
                if looking is not None and isinstance(blob, bytes):
                    looking.bytes_read += len(blob)
                if looking is not None and blob is not None and tiles[number] is None:
                    looking.damaged.add(day.day)
            if len(blobs) == len(missing):
                break
            # a merge replaced tiles between looking and fetching: look again
        return [
            (cell, tile, parts.get(number))
            for number, cell in named
            if (tile := tiles[number]) is not None
        ]

    def _open(self, day: DayFile, number: int, blob: bytes | StoreCorrupt) -> Tile | None:
        try:
            if isinstance(blob, StoreCorrupt):
                raise blob
            tile = decode(blob)
        except StoreCorrupt as error:
            self._damage.note(day.path, number, error)
            return None
        self.cache.put((day.path, number), tile)
        return tile

    # Head

    def _gather_head(
        self,
        plan: _Plan,
        slabs: list[AnySlab],
        start: int,
        end: int,
        gathering: Gathering,
        thinning: Thinning | None,
    ) -> None:
        generations: dict[int, list[tuple[AnySlab, I64]]] = {}
        for slab, directory in snapshot(slabs):
            generations.setdefault(slab.generation, []).append((slab, directory))
        for generation in sorted(generations):
            loose: list[tuple[Slab, I64]] = []
            rosters: list[tuple[Slab, I64]] = []
            packed: list[tuple[PackedSlab, Runs]] = []
            for slab, directory in generations[generation]:
                if isinstance(slab, PackedSlab):
                    if slab.lowest <= end and slab.highest > start:
                        of_frames, of_rosters = plan.packed_runs(self._flat(plan), slab)
                        gather_packed(slab, of_frames, start, end, gathering)
                        packed.append((slab, of_rosters))
                    continue
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
            for older, of_rosters in packed:
                gather_packed(older, of_rosters, start, end, gathering)
            for slab, entry in rosters:
                columns, places = plan.roster(slab, entry)
                if len(columns):
                    wanted = (columns, places.tolist())
                    _gather_block(wanted, slab, entry, start, end, gathering, thinning)
            for slab, entry in loose:
                refs, ts, values = slab.loose(entry)
                positions = plan.wanted.positions(refs)
                keep = np.flatnonzero((positions >= 0) & (ts > start) & (ts <= end))
                gathering.add_loose(positions[keep], ts[keep], values[keep])

    # Names

    def _live(self, matchers: Sequence[Matcher], start: int, end: int) -> tuple[_Plan, list[int]]:
        """Positions of series in the plan that have samples in [start, end], ascending."""
        slabs = self._slabs()
        plan = self._plan(tuple(matchers))
        partitions = self._partitions.all()
        days = sorted({day for partition in partitions for day in partition.days.days()})
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
                    assert isinstance(slab, Slab)
                    refs, ts, _ = slab.loose(entry)
                    positions = plan.wanted.positions(refs[(ts >= start) & (ts <= end)])
                    seen[positions[positions >= 0]] = True
                elif layout < LOOSE:
                    ts = slab.times(entry)
                    if ((ts >= start) & (ts <= end)).any():
                        seen[plan.roster(slab, entry)[1]] = True
                elif layout in plan.layouts:
                    ts = slab.times(entry)
                    if ((ts >= start) & (ts <= end)).any():
                        seen[plan.layouts[layout][1]] = True
        for day in sorted(self._files(start, end), key=lambda file: -file.day):
            if seen.all():
                break
            # only where unseen series may be; most are in the head, or in the first tiles looked at
            cells = np.unique(self._index.cell_of[plan.refs[~seen]])
            for _, tile, _ in self._tiles(cells, day, start - 1, end):
                positions = plan.wanted.positions(tile.refs)
                rows = np.flatnonzero(positions >= 0)
                reach = (tile.clock.firsts <= end) & (tile.clock.lasts >= start)
                seen[positions[rows[reach[tile.groups[rows]]]]] = True
        for partition in partitions:
            kept, rolled = partition.days.days(), partition.rolled
            self._roll_ups.note_present(plan.wanted, rolled, kept, seen, start, end)
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


def _near(directory: Directory, start: int, end: int) -> Directory:
    """Rows whose tiles may have samples in (start, end]."""
    mask = directory[:, MIN_TS] <= end
    mask &= directory[:, MAX_TS] > start
    near: Directory = directory[mask]
    return near


def _rows_of(cells: I64, directory: Directory) -> Directory:
    """Rows of some cells (ascending), in the order in which their samples came in."""
    if not len(directory):
        return directory
    at = np.searchsorted(cells, directory[:, CELL])
    at[at == len(cells)] = 0
    rows = directory[cells[at] == directory[:, CELL]]
    wanted: Directory = rows[np.lexsort((rows[:, 0], rows[:, FLUSH]))]
    return wanted


def _warn(data: SeriesData, looking: Looking) -> None:
    """Say in the answer that some of it is missing."""
    if looking.damaged:
        days = ", ".join(day_name(day).removesuffix(".db") for day in sorted(looking.damaged))
        data.notes["warning"] = (
            f"samples of {days} are missing: a tile is damaged; see `vezha store check`"
        )


def _spans_of(plan: _Plan, slabs: list[AnySlab]) -> I64:
    """Lowest and highest time of each block of the head that may have wanted samples,
    int64[n, 2]."""
    found = [np.empty((0, 2), np.int64)]
    layouts = np.array(list(plan.layouts), np.int64)
    for slab, directory in snapshot(slabs):
        rows = directory[directory[:, slab_words.COUNT] > 0]
        mine = np.isin(rows[:, slab_words.LAYOUT], layouts)
        mine |= rows[:, slab_words.LAYOUT] == LOOSE  # which series it has is not known here
        for i in np.flatnonzero(rows[:, slab_words.LAYOUT] < LOOSE).tolist():
            mine[i] = len(plan.roster(slab, rows[i])[0]) > 0
        found.append(rows[mine][:, [slab_words.LOWEST, slab_words.HIGHEST]])
    return np.concatenate(found)


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


__all__ = ["Reading", "TileCache"]
