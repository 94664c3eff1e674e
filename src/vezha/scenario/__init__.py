"""Scenarios: saved walks through the pages, and the rounds in which they are walked.

Owns scenario files (YAML, a set ships in `packs/`), their versions, and rounds. In: files, what
people tick and sign, and answers of the query engine. Out: rows of `scenario_version`,
`scenario_round` and `scenario_look`. A round is *run* by people, *watched* on a wall, or *played*:
then the server looks by itself, and a round that is all as expected takes nobody's time.
Refuses: to sign a round that has not been looked through, and to forget one.
"""
