"""The composition root: settings become objects, objects run.

Owns the settings, the state folder, the three contours (data, ops, web), the bus between them
and the supervisor that keeps them running. In come settings (file, environment, flags), out go
running processes. It decides nothing about samples, alerts or people: the rooms below do, and
this room only joins them. It refuses settings that it does not know, a state folder that
another supervisor holds, and ports that are taken, each with one sentence that says what to do.
"""
