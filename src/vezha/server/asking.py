"""How a contour that does not own the store asks it: an engine over a read-only view."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vezha.alerting.ask import Ask, ask_of
from vezha.alerting.errors import EvaluationError
from vezha.incidents.shift import AskRange
from vezha.model.columns import TooManySamples
from vezha.model.labels import Labels
from vezha.query.engine import Engine
from vezha.query.errors import QueryError
from vezha.server.limits import ASKING_CACHE_BYTES_MAX
from vezha.server.settings import Settings
from vezha.server.source import Reading
from vezha.world import World


class Asking:
    """An engine of one's own over the store of the data contour. `close` when done."""

    def __init__(self, settings: Settings) -> None:
        reading = Reading.of(settings)
        self._source = reading.reader(ASKING_CACHE_BYTES_MAX)
        source = reading.joined(self._source, World())
        self.engine = Engine(source, reading.limits, reading.options)

    @property
    def instant(self) -> Ask:
        """Asks for a vector; what fails is an EvaluationError."""
        return ask_of(self.engine)

    @property
    def range(self) -> AskRange:
        """Asks for a matrix; what fails is an EvaluationError."""

        def ask(
            expr: str, start_ms: int, end_ms: int, step_ms: int
        ) -> tuple[list[Labels], npt.NDArray[np.float64]]:
            try:
                result = self.engine.range(expr, start_ms, end_ms, step_ms)
            except (QueryError, TooManySamples) as fault:
                raise EvaluationError(str(fault)) from fault
            return result.labels, result.filled()

        return ask

    def close(self) -> None:
        """Let go of the store's files."""
        self._source.close()
