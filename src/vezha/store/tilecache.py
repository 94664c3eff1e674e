"""Opened tiles, kept as long as there is room for them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from vezha.store.tile import Tile

Key = tuple[str, int]


class TileCache:
    """Opened tiles by (file, number); the least recently used out first. Thread-safe."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._tiles: OrderedDict[Key, Tile] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes_used = 0
        self.hits = 0
        self.misses = 0

    def known(self, path: str, numbers: list[int]) -> dict[int, Tile | None]:
        """Tiles of a file, in this order; None for those that are not here."""
        found: dict[int, Tile | None] = {}
        with self._lock:
            tiles = self._tiles
            for number in numbers:
                key = (path, number)
                tile = found[number] = tiles.get(key)
                if tile is None:
                    self.misses += 1
                else:
                    self.hits += 1
                    tiles.move_to_end(key)
        return found

    def get(self, key: Key) -> Tile | None:
        """A tile, if it is here."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is None:
                self.misses += 1
            else:
                self.hits += 1
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: Key, tile: Tile) -> None:
        """Keep a tile."""
        with self._lock:
            old = self._tiles.pop(key, None)
            if old is not None:
                self.bytes_used -= old.size_bytes
            self._tiles[key] = tile
            self.bytes_used += tile.size_bytes
            while self.bytes_used > self._bytes_max and self._tiles:
                self.bytes_used -= self._tiles.popitem(last=False)[1].size_bytes
