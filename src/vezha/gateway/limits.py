"""Limits of the gateway, with their units."""

from __future__ import annotations

COMMIT_INTERVAL_S = 0.15
"""How long received frames gather before one group commit: most of an ack's delay."""
ACKS_PER_SLICE = 500
"""Acks sent before the loop may do something else: 2,000 at once block it for 25 ms."""
CONNECTS_PER_S = 1_200.0
"""New TLS connections a second; over it the answer is 503 with Retry-After. A core does about
1,000 to 1,550 ECDSA handshakes a second."""
CONNECTS_BURST = 3_000.0
RETRY_AFTER_MAX_S = 20.0
LISTEN_BACKLOG = 4_096
UPGRADE_TIMEOUT_S = 60.0
READ_BUFFER_BYTES = 2_048
WRITE_BUFFER_BYTES_MAX = 256 << 10
"""An agent that reads so little that this much waits for it is hung up on."""
ENROLMENTS_RUNNING_MAX = 32
STREAMS_PER_AGENT_MAX = 16
"""Spools that one agent may have in memory; the least recent is forgotten (the store knows)."""
SCHEMAS_PER_HOUR = 1_200
"""New schemas that one agent may announce in an hour: one every three seconds, as containers come and
go. Each is kept for good."""
SCHEMA_SERIES_PER_HOUR = 2_000_000
"""Series in all of them."""
SCHEMA_BYTES_PER_HOUR = 64 << 20
"""Bytes of all of them, as sent."""
SCHEMA_BUDGETS_MAX = 20_000
"""Agents whose spending is remembered; the least recent is forgotten."""
SETTLE_S = 15.0
"""After a start, how long an agent may take to come back before its host counts as silent."""
SKEW_SHIFTED_MS = 5_000
"""A host's clock that is further off is corrected by whole seconds; nearer is left alone."""
COMPLETENESS_SPAN_S = 3_600
COMPLETENESS_STEP_S = 60
WINDOW_SLOW_COMMIT_S = 1.0
WINDOW_SLOW = 16
WINDOW_FAILING = 4
STRAIN_KEPT_S = 15.0
"""For how long after the last sign the gateway counts as slowing agents down."""
STRAIN_COMMIT_S = 3.0
"""A commit that takes longer makes a proof late that is asked for within seconds."""
COMMIT_RETRY_S = 1.0
"""How long to wait after a failed commit (a full disk) before the same batch is tried again."""
WAITING_USUAL_FRAMES = 4
"""So many frames wait in a healthy agent's spool for their ack; they are not missing."""
AGENT_FILE_BYTES_MAX = 16 << 20
"""The agent's zipapp, which new hosts fetch from the channel."""
FEED_NUMBERS_MAX = 1 << 24
"""Series that one feeding process may announce."""
FETCH_BYTES_PER_S_EACH = 512 << 10
"""What one agent downloads of published files, so that live data keeps its place on a thin line."""
FETCH_BYTES_PER_S = 16 << 20
"""What all agents together download."""
FETCH_BURST_BYTES = 512 << 10
FETCH_WAIT_MAX_S = 10.0
"""A piece that would wait longer is answered with "later"."""
PROGRESS_GATHER_S = 0.05
"""How long progress of many agents gathers before one transaction."""
PROGRESS_RETRY_S = 1.0
PROGRESS_PENDING_MAX = 50_000
PUSHES_PER_SLICE = 200
"""Messages sent before the loop may do something else."""
SILENCE_LOOK_S = 0.1
"""How often it is looked whether a host fell silent."""
LOOP_LATE_S = 0.25
"""A look that comes so late judges nobody: what hosts sent meanwhile waits to be read."""
ROWS_ONE_BY_ONE_MAX = 50
"""Hosts that turned silent at once and are reported one by one; more are a report of all."""
