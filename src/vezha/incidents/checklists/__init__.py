"""Checklists: what to do about an alert, step by step, and the runs in which people do it.

In: Markdown-like files (shipped ones, and the operator's own over them) and what people answer.
Out: rows of `checklist_run` and `checklist_event`, how long each step takes and which are skipped.
Refuses: a file with a fault (with the line of each), an answer of the wrong type, an answer to a
step that somebody else has answered meanwhile, a signature while a step is open.
"""
