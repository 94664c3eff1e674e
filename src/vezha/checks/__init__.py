"""Checks from outside: does what people use answer, rightly, in time?

Owns the format `checks.yml`, the probes (HTTP, TCP, TLS, ping, DNS, PostgreSQL, MySQL, Redis,
heartbeats, Nagios plugins) and the loop that runs each target in its own time. In comes the
text of `checks.yml`; out go figures under the names of Prometheus's blackbox_exporter, handed
to whoever stores them. Refuses: an unknown key, an interval that PromQL could not see, a
plugin where plugins are not allowed. Knows neither store nor ledger; imports world and model.
"""
