"""Named limits of the API, each with its unit."""

from __future__ import annotations

BODY_BYTES_MAX = 256 * 1024
"""Body of an ordinary request."""
FORM_BYTES_MAX = 1024 * 1024
"""Form body of a Prometheus query: Grafana sends long `match[]` lists."""
FORM_FIELDS_MAX = 1_000
"""Fields of such a form."""
ANSWERS_NOTED_MAX = 2_000
"""Answers and queries that are noted before they are counted, if nobody looks at the figures."""
ESCAPED_KEPT = 1_024
"""Parameters of query strings that are kept as they were written and as they were meant ..."""
ESCAPED_KEPT_CHARS_MAX = 1_024
"""... if they are no longer than this."""
LIST_ITEMS_DEFAULT = 100
LIST_ITEMS_MAX = 10_000
"""`limit` of lists."""
LABELS_MAX = 32
"""Labels on one host or invitation."""
LABEL_CHARS_MAX = 128
"""Characters in a label's name or value."""
HANDLER_THREADS = 8
"""Threads for handlers that talk to the ledger."""
QUERY_THREADS = 2
"""Queries evaluated at the same time; more wait."""
QUERY_WORKERS = 2
"""Processes for heavy queries; more queries wait."""
LIGHT_SAMPLES_MAX = 150_000
"""Samples read, and values made, up to which a query is evaluated in the serving process."""
LIGHT_SECONDS_MAX = 0.25
"""Time after which such a query is handed to a worker, too."""
QUICK_SECONDS_MAX = 0.003
"""A query that took a thread no longer than this is evaluated by the event loop the next time."""
QUICK_SAMPLES_MAX = 50_000
"""Samples read, and values made, up to which it may be."""
SHAPES_REMEMBERED = 1_000
"""Queries known to be heavy, which are not tried in the serving process first; and those known to be
quick."""
LISTING_SERIES_MAX = 50_000
"""Series of the store up to which names and values are listed in the serving process."""
WORKER_POLL_S = 0.05
"""How soon a withdrawn question is noticed."""
WORKER_GRACE_S = 2.0
"""How long a worker may go on with a withdrawn question before it is killed."""
WORKER_NICENESS = 10
"""Ingest, detection and pages come before heavy queries ..."""
WORKER_PATIENCE_S = 0.5
"""... that take longer than this."""
STREAM_FROM_BYTES = 1 << 20
"""From about this length on the answer of a worker is passed on in pieces, and not kept."""
STREAM_STALL_S = 20.0
"""How long a client may take nothing of such an answer before it is cut off."""
QUERIES_WAITING_MAX = 64
"""Queries that may wait for a thread before new ones are refused with 503."""
ANSWER_PART_MAX = 8
"""Answers larger than one part in so many of the memory for answers are not kept."""
QUESTIONS_SEEN_MAX = 1_000
"""Questions that are quick to answer of which it is known that they were asked; their answers are
kept from the second time on."""
QUERY_TIMEOUT_S = 30.0
"""Longest time for one query, waiting included."""
QUERY_SLOW_S = 1.0
"""Queries slower than this are logged."""
EXEMPLARS_SHOWN_MAX = 10_000
"""Exemplars in one answer."""
RANGE_POINTS_MAX = 11_000
"""Steps of one range query, as in Prometheus."""
CHART_POINTS_MAX = 3_600
"""Steps of a host's chart history."""
LIVE_VIEWERS_MAX = 500
"""WebSockets of viewers on one web contour."""
LIVE_QUEUE_FRAMES_MAX = 4
"""Messages waiting for one slow viewer before it is told everything anew."""
LIVE_MESSAGE_BYTES_MAX = 4 * 1024
"""Text that a viewer sends."""
SIGN_IN_THREADS = 4
"""Threads in which passwords are checked, apart from the other handlers'."""
SIGN_INS_WAITING_MAX = 32
"""Sign-ins that may wait for such a thread before new ones are refused with 503."""
REQUEST_SLOW_S = 2.0
"""Requests slower than this are logged."""
LIVE_RECHECK_S = 30.0
"""How often an open live stream's session is looked at again."""
HOSTS_REREAD_S = 20.0
"""How old the list of hosts may be where no nudge told of a change."""
RECENT_S = 15.0
"""How long after its last sample the map still shows a host's value."""
SNAPSHOT_SHARED_S = 0.9
"""How long one snapshot of the fleet answers all who ask."""
SLOW_LOADS_SHARED_S = 5.0
"""How old the slowly moving part of the map (space, sizes, speeds of links) may be."""
EXTERNAL_BODY_BYTES_MAX = 4 * 1024 * 1024
"""Body of alerts that another program sends; Prometheus sends 64 to 256 alerts at a time."""
STAGE_ROWS_MAX = 10_000
"""Transitions, and messages, that one scrape takes into the histograms of stages."""
STAGE_SETTLE_MS = 1_000
"""How old a row must be for that: what commits just now is left for the next scrape."""
RECOGNISED_MS = 10_000
"""How long a caller, once recognised, is known again without asking the ledger, if it has not
changed; expiry and idleness of tokens and sessions are noticed this much later at most."""
RECOGNISED_MAX = 1_000
"""Callers that are kept so."""
USUAL_KEPT_MAX = 500
"""Hosts' usual ranges that are kept until the next quarter of an hour."""

REHEARSAL_STEPS = 2_000
"""Evaluations of each rule in a rehearsal before it is saved; a longer span takes coarser steps."""
REHEARSAL_S_MAX = 60.0
"""How long such a rehearsal may take."""
