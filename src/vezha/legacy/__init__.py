"""Other people's protocols, kept working: what they send becomes columns and goes to the feed.

Owns the decoding of Prometheus remote write (1.0 and 2.0), OTLP metrics over HTTP, and the
Prometheus text format, pushed or scraped. In come request bodies; out go label sets, times and
values in columns, to the data contour through the feed (`wire.feed`), and an HTTP status once
they are durable. Refuses: bodies over a limit, malformed data (400, never retried by senders),
and more than the store takes (429 or 503, retried).
"""
