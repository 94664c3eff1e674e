"""Incidents → people: who is told what, by which way, and the proof that it left.

Owns receivers, routes, the outbox and the providers (one folder each under `providers/`, found by
registry). In: rows of `incident_event`, followed by a durable cursor, `notify.toml`, and receivers and
routes that were saved. Out: messages at mail servers, Telegram, web hooks; rows of `message`, whose
state anyone can look at; what people press on messages goes back to the incident desk. Refuses: to lose a message (at least
once, retried), to let one dead provider hold up another, and to write a secret anywhere.
"""
