"""Named limits of on-call, each with its unit."""

from __future__ import annotations

NAME_CHARS = 63
SCHEDULES_MAX = 200
LAYERS_MAX = 20
"""Layers of one schedule."""
PEOPLE_MAX = 100
"""People in one layer, or members of one team."""
WINDOWS_MAX = 20
"""Weekly windows that one layer is limited to."""
ROTATION_HOURS_MAX = 24 * 366
"""Longest turn."""
OVERRIDE_MS_MAX = 366 * 86_400_000
RENDER_MS_MAX = 400 * 86_400_000
"""Longest range for which shifts are worked out at once."""
TURNS_MAX = 20_000
"""Turns that one layer may have within that range."""
GAPS_AHEAD_MS = 28 * 86_400_000
"""How far ahead gaps are looked for and shown."""
NEXT_AHEAD_MS = 92 * 86_400_000
"""How far ahead the next person on call is looked for."""
CALENDAR_BACK_MS = 28 * 86_400_000
CALENDAR_AHEAD_MS = 182 * 86_400_000
"""What a calendar shows, before and after now."""
CALENDARS_MAX = 1_000
TEAMS_MAX = 500
POLICIES_MAX = 200
STEPS_MAX = 20
TARGETS_MAX = 20
"""Targets of one step."""
STEP_MS_MAX = 7 * 86_400_000
REPEATS_MAX = 50
ACK_TIMEOUT_MS_MAX = 7 * 86_400_000
ESCALATIONS_PER_STEP_MAX = 500
"""Escalations that one transaction brings on."""
CONTACTS_MAX = 20
"""Ways to reach one person."""
ADDRESS_CHARS_MAX = 2_000
QUIET_WINDOWS_MAX = 10
HANDOVERS_LISTED_MAX = 200
HANDOVER_ITEMS_MAX = 100
"""Lines of each kind on a hand-over page."""
DOCUMENT_BYTES_MAX = 1_000_000
"""A file with everything of on-call."""
