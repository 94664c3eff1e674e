"""The launcher: starts the agent, watches it, and goes back by itself.

It is a program of its own (standard library, nothing else of Vezha), installed as one file beside
the agent's file and never changed by a release: what watches must not be what is being tried. It
knows three places for the agent's file: two slots, and the file that was installed (the factory's).

Rules:
1. What runs is a pair: a slot and a signed configuration. A change is tried as a new pair, and both
   go back together. A request to stay as it is (`as_is`) is answered at once: nothing is started.
2. `state.json` is written, whole and synced, before each step; what a step leaves half done, the
   next start of the launcher takes up from there.
3. A new pair is first started beside the old one, until it says that it is ready; the old one ends
   only then, and the lock of the agent's folder hands over. What cannot start costs no sample.
4. It is proven when it was alive for the watch period, costs what it may, is the build and the
   configuration that was meant, is connected, and has its frames acknowledged without a gap. The
   agent says so in `proof.json`; that it lives, and what it costs, the launcher sees by itself.
5. Otherwise it goes back, also without a server, and never tries that hash again unless forced. A
   server that is away for everybody, or that sends agents away, extends the watch, up to a limit,
   and is not blamed on the change: it goes back without quarantine.
6. Each start of a trial is counted, so that a reboot or a kill in the middle ends in one of the
   two ways as well. A pair that was proven and later does not stay up falls back, too.

`state` and `verdict` are pure and decide; `keeper` acts on a `machine`, whose agents are `child`
processes; `probe` asks the server.
"""
