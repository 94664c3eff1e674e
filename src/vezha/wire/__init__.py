"""What an agent and a server say to each other, and what each may say when.

Owns: schemas, frames, messages, the WebSocket client's bytes, and the two sides of a session as
sans-I/O objects. Bytes come in, values and bytes go out. Refuses: any I/O, any clock, any import
beyond the standard library (the agent carries this room to its hosts). Everything malformed
raises `ProtocolError`, and nothing else.

The format's page is `docs/reference/formats/wire.md`; its golden bytes are in
`tests/unit/wire/golden/`.
"""
