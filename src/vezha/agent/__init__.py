"""The agent: collects on a host each second, spools, and sends over one connection.

Comes in: the kernel's files, systemd, the text-file folder, `agent.toml`; from the server,
acknowledgements and desired configuration. Goes out: frames of float64 values in the order of
an announced list of series (`vezha.wire`). Refuses: anything that needs a package on the host
(standard library only, Python 3.10 or later), plain text beyond loopback, unknown settings.

`collect` reads the host, `ticker` says when, `spool`, `link` and `run` carry it away.
"""
