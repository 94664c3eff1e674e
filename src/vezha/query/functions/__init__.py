"""PromQL's functions, one file per family.

A function takes the evaluated arguments and gives a block; `signatures` says which there are
and what they take, `registry` which code answers.
"""
