"""The weekly page: what was delivered, what is stable, where the risk is, what comes next.

Owns the diary's pages. In: rows of changes, incidents, checklists and rounds, and a few questions
to the query room. Out: one page for each ISO week as Markdown, HTML and text, in English and
Ukrainian, kept as facts in the ledger, so that a week reads the same when its samples are gone.
Refuses: opinions. Each sentence is made from rows and names them; a week in which nothing was
says so.
"""
