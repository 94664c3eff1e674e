"""Forecasts: what load is usual, what comes, how well that can be known, and what fills up when.

Owns the forecast of each host's and group's load (cpu, memory, network, disk), its score against
what came, and what is made of it: predictability, calm windows, a chart's usual range, the time at
which a file system is full, how far a load is off its forecast. In: history, by the query room.
Out: series (`vezha_load_…`, `vezha_disk_full_…`) through a function that the server gives, and
figures for the API. Refuses: to say anything of a series whose history is too short.

`model`, `score`, `calm`, `fill`, `usual` are pure; `history` keeps what was read and what was
forecast on disk; `loop` acts.
"""
