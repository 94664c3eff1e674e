"""The two sessions against each other: an unreliable world, and nothing lost or doubled.

A state machine holds an agent (with its spool), a server (with what is durable) and the two pipes
between them. Connections break, the server crashes and forgets what was not durable, the agent
restarts and continues in a new epoch; in the end everything arrives exactly once.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vezha.wire import message as m
from vezha.wire.agent_session import AgentSession, Phase
from vezha.wire.ranges import Ranges
from vezha.wire.server_session import ServerSession

EPOCH = 1 << 8


class Spool:
    """The spool as the session sees it: numbers only."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.next_seq = 0

    def stored_from(self, seq: int) -> int | None:
        return next((s for s in self.stored if s >= seq), None)

    def trim(self, durable: Ranges) -> None:
        self.stored = [s for s in self.stored if s not in durable]


class Channel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.spool = Spool()
        self.produced: set[int] = set()
        self.agent: AgentSession | None = None
        self.server: ServerSession | None = None
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.received = Ranges()  # shared by the server's connections until it crashes
        self.written: list[int] = []
        self.durable: list[int] = []
        self.window = 4

    @rule(n=st.integers(1, 6))
    def sample(self, n: int) -> None:
        for _ in range(n):
            self.spool.stored.append(self.spool.next_seq)
            self.produced.add(self.spool.next_seq)
            self.spool.next_seq += 1

    @precondition(lambda self: self.agent is None)
    @rule()
    def connect(self) -> None:
        self.up, self.down = [], []
        hello = m.Hello(1, 1, "a", "s", "c", self.spool.next_seq, 0)
        self.agent, self.server = AgentSession(hello), ServerSession()
        self.up.append(self.agent.start())

    @precondition(lambda self: self.agent is not None)
    @rule()
    def cut(self) -> None:
        self.agent = self.server = None
        self.up, self.down = [], []

    @rule()
    def server_crashes(self) -> None:
        self.cut_if_any()
        self.written = []
        self.received = Ranges((s, s) for s in self.durable)

    @rule()
    def agent_restarts(self) -> None:
        self.cut_if_any()
        self.spool.next_seq = (self.spool.next_seq // EPOCH + 1) * EPOCH

    def cut_if_any(self) -> None:
        if self.agent is not None:
            self.cut()

    @precondition(lambda self: self.agent is not None)
    @rule(n=st.integers(1, 8))
    def agent_sends(self, n: int) -> None:
        assert self.agent is not None
        for _ in range(n):
            found = self.agent.next_frame(self.spool)
            if found is None:
                return
            seq, lane = found
            assert seq not in self.agent.durable
            self.up.append(lane + seq.to_bytes(8, "little"))
            self.agent.sent(seq)
            assert len(self.agent.in_flight) <= self.window

    @precondition(lambda self: self.server is not None and self.up)
    @rule(n=st.integers(1, 8))
    def server_reads(self, n: int) -> None:
        assert self.server is not None
        for data in self.up[:n]:
            if data[0] in (m.LIVE, m.BACKLOG):
                seq = int.from_bytes(data[1:], "little")
                if self.server.fresh(seq):
                    self.written.append(seq)
            else:
                self.server.receive(data)
                durable = list(Ranges((s, s) for s in self.durable))
                self.down.append(
                    self.server.welcome(self.received, durable, self.window, "h", [], 0)
                )
        del self.up[:n]

    @rule()
    def commit(self) -> None:
        marked = self.server is not None and self.server.mark()
        self.durable += self.written
        self.written = []
        if marked and self.server is not None:
            self.down.append(self.server.ack(self.window, 0))

    @precondition(lambda self: self.agent is not None and self.down)
    @rule(n=st.integers(1, 4))
    def agent_reads(self, n: int) -> None:
        assert self.agent is not None
        for data in self.down[:n]:
            self.agent.receive(data, 0)
        del self.down[:n]
        self.spool.trim(self.agent.durable)

    @invariant()
    def nothing_doubled_nothing_lost(self) -> None:
        assert len(self.durable) == len(set(self.durable))
        assert set(self.durable) <= self.produced
        # what the agent threw away is durable
        assert self.produced - set(self.spool.stored) <= set(self.durable)

    def teardown(self) -> None:
        self.cut_if_any()
        self.connect()
        for _ in range(10_000):
            self.server_reads(100)
            self.commit()
            if self.down:
                self.agent_reads(100)
            self.agent_sends(100)
            assert self.agent is not None
            if not self.up and not self.spool.stored and self.agent.phase is Phase.OPEN:
                break
        assert set(self.durable) == self.produced
        assert len(self.durable) == len(self.produced)


TestChannel = Channel.TestCase
TestChannel.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_live_goes_ahead_of_the_backlog() -> None:
    spool = Spool()
    spool.stored, spool.next_seq = list(range(100)), 100
    agent = AgentSession(m.Hello(1, 1, "a", "s", "c", 100, 0))
    agent.start()
    agent.receive(m.pack(m.Welcome(1, 0, 10, "h", [], [])), 0)
    sent = []
    while (found := agent.next_frame(spool)) is not None:
        agent.sent(found[0])
        sent.append(found[0])
    assert sent == [0, 1]  # the rest of the window is kept for live frames
    spool.stored.append(100)
    spool.next_seq = 101
    assert agent.next_frame(spool) == (100, m.LIVE_PREFIX)
