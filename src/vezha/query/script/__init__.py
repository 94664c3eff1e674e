"""Test scripts for PromQL: `load`, `clear`, `eval` and `expect`.

Owns the upstream project's script language: parses it, runs it against an engine over
memory, and reports each mismatch with file, line, expected and got. Refuses text that it does
not understand (`ScriptError` with the line).
"""
