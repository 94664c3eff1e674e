"""A simulated fleet: N hosts from a seed that speak the real protocol.

Owns: hosts with sites and roles, the values that they report (the names are node_exporter's, so
charts and rules see what they know), and two drivers. `sockets` opens many real connections in
one process, cheap enough that one core makes 10,000 hosts at one frame a second. `simulation`
runs the real spool, link, session and gateway in memory under virtual time, with crashes, cuts,
power losses, full disks and set clocks, all from one seed, and checks that nothing is lost.

Comes in: a seed and a size. Goes out: frames, and a report of what was sent, acknowledged and
stored. Refuses: to be imported by any room of the product but `cli` (for `vezha demo`).

    python -m vezha.testing.fleet --seed 7      replays one simulated run
"""
