"""Change flows down: changes, plans, waves, gates, rollouts, ways back, and their figures.

Owns everything that alters the fleet, and the word of others about what they altered. In: what
people propose, what agents tell (`progress`), what the query room answers, reports from outside.
Out: rows of `change` and `rollout` with their timelines, and `directive` rows, which the gateway
sends. Refuses: a change that lacks one of useful, stable, supported; to count as proof that
something was installed; to go on without evidence, unless told to.
"""
