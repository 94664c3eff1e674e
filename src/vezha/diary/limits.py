"""Named limits of the diary, each with its unit."""

from __future__ import annotations

CITED_MAX = 12
"""Ids that one sentence names; more are counted."""
LISTED_MAX = 8
"""Sentences of one kind in a section; more are counted in one."""
INCIDENTS_READ_MAX = 5_000
CHANGES_READ_MAX = 5_000
PAGES_KEPT = 520
"""Weeks that are kept: ten years."""
SOON_S = 30 * 86_400.0
"""What expires or fills within this time belongs under "what comes next"."""
COMPLETE_RATIO = 0.9999
"""A host whose data is less complete over the week stands under "where the risk is"."""
PREDICTABLE_LEAST = 0.5
"""A load that is less predictable stands under "where the risk is"."""
CHANGED_LEAST = 0.1
"""Times that moved by less than this share against the week before are called the same."""
MAKE_AFTER_MS = 6 * 3_600_000
"""A week's page is made by itself so long after the week's end: at six on Monday."""
LOOK_EVERY_S = 60.0
"""How often the loop looks whether a week is over."""
SUSPECTED_SHARE = 0.5
"""From this share on a change that nobody judged is named beside its incident."""
FRESH_MS = 10 * 60_000
"""The page of the week that lasts is made anew when it is this old."""
TELL_WITHIN_MS = 3 * 86_400_000
"""A finished page that could not be told of within this time after its week is not told of."""
FRESH_LEAST_MS = 50_000
"""It is made anew before that where something happened, but no sooner than this."""
