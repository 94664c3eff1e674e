"""Named limits of incidents, each with its unit."""

from __future__ import annotations

TRANSITIONS_PER_STEP_MAX = 2_000
"""Transitions taken in per transaction."""
HOST_WINDOW_MS = 10 * 60_000
"""An alert of a host joins an incident of that host that was active within this time."""
KIND_WINDOW_MS = 2 * 60_000
"""The same alert of another host joins an incident that was active within this time."""
RELAPSE_WINDOW_MS = 10 * 60_000
"""An alert that fires again within this time opens its incident again instead of a new one."""
TITLE_CHARS_MAX = 200
NOTE_CHARS_MAX = 4_000
HOSTS_NAMED_MAX = 3
"""Hosts called by name in a title; beyond it they are counted."""
HOSTS_KEPT_MAX = 2_000
"""Host names that an incident's row carries."""
FINGERPRINTS_KEPT_MAX = 1_000
"""Alerts that one line of a timeline knows by fingerprint, so that it can be undone."""
SNOOZE_MS_LEAST = 60_000
SNOOZE_MS_MAX = 7 * 86_400_000
SNOOZE_MS_DEFAULT = 3_600_000
"""How long a press on "snooze" puts an incident off."""
SNOOZED_WOKEN_MAX = 500
"""Snoozed incidents that wake in one transaction."""
MERGED_MAX = 50
"""Incidents that one act merges into another."""
SPLIT_ALERTS_MAX = 1_000
"""Alerts, hosts or names that one act splits off by naming them."""
EVENTS_SHOWN_MAX = 1_000
INCIDENTS_LISTED_MAX = 500
MATCHERS_MAX = 20
SILENCE_MS_MAX = 366 * 86_400_000
GROWTH_TOLD_FACTOR = 3
"""Told again when one more host joins and so many times more are in it than when last told …"""
GROWTH_TOLD_GAP_MS = 60_000
"""… and this long after it."""
CLOSED_SILENCES_KEPT_MS = 30 * 86_400_000
"""Silences that ended longer ago are not listed."""
EXTERNAL_RESOLVE_MS = 5 * 60_000
"""How long the word of an alert from elsewhere holds that does not say until when."""
EXTERNAL_HOLD_MS_MAX = 86_400_000
"""How far ahead such an alert may say that it ends."""
EXTERNAL_LATE_MS = 60_000
"""For so long after its end an alert of the same beginning is taken for a late message."""
EXTERNAL_SETTLE_MS = 120_000
"""After a start nothing from elsewhere expires for so long: its senders could not reach us."""
EXTERNAL_KEPT_MS = 86_400_000
"""How long the end of an alert from elsewhere is remembered."""
EXTERNAL_FIRING_MAX = 50_000
"""Alerts from elsewhere that may fire at one time; more are refused."""
EXTERNAL_SWEPT_MAX = 2_000
"""Alerts from elsewhere that expire in one transaction."""
EXTERNAL_LABELS_MAX = 64
"""Labels, and annotations, of an alert from elsewhere."""
EXTERNAL_LABEL_CHARS_MAX = 1_024
EXTERNAL_TEXT_CHARS_MAX = 16_384
"""Characters of an annotation, or of the address of the rule."""
TIMES_INCIDENTS_MAX = 100_000
"""Incidents that the figures of times are made from."""
TIMES_DAYS_MAX = 3_660
"""Days that the figures of times may reach back."""
BLAME_HALF_LIFE_MS = 20 * 60_000
"""A change half as likely explains trouble that began so much later."""
BLAME_WINDOW_MS = 24 * 3_600_000
"""Changes older than this when the trouble began are not asked about."""
BLAME_LATE_MS = 5_000
"""A change that came so little after the trouble may still be its cause: clocks differ."""
BLAME_NOBODY_WEIGHT = 0.15
"""The weight of "none of these" beside the scores of all changes."""
BLAME_SCORE_MIN = 0.02
"""Changes with a smaller share are not listed."""
BLAME_SUSPECTS_MAX = 500
"""Changes that one incident is held against, the newest first."""
BLAME_HOSTS_ASKED_MAX = 20
"""Hosts whose load is looked at for a shift."""
BLAME_LISTED_MAX = 20
"""Changes that are kept for one incident."""
BLAME_FOLLOWED_MS = 3_600_000
"""After its end an incident's blame is kept up to date for so long."""
SHIFT_BEFORE_MS = 30 * 60_000
"""How far back from a change's coming the load is looked at …"""
SHIFT_AFTER_MS = 10 * 60_000
"""… and how far on."""
SHIFT_STEP_MS = 30_000
SHIFT_POINTS_MIN = 4
"""Points that must be there on each side."""
SHIFT_DEVIATIONS_MAX = 20.0
SHIFTS_KEPT_MAX = 2_000
"""Measured shifts that are remembered; then all are measured anew."""
CHECKLIST_CHARS_MAX = 64_000
"""Characters of a checklist's file."""
CHECKLISTS_MAX = 1_000
"""Files in the operator's folder."""
CHECKLIST_STEPS_MAX = 200
CHECKLIST_SIGNATURES_MAX = 5
CHECKLIST_ANSWER_CHARS_MAX = 4_000
CHECKLIST_SERIES_MAX = 20
"""Series of a query's answer that a run keeps; the rest is counted."""
CHECKLIST_HOSTS_MAX = 50
"""Hosts of an incident that `$hosts` names."""
CHECKLIST_EVENTS_MAX = 5_000
"""Events of one run; then it must be ended."""
CHECKLIST_RUNS_LISTED_MAX = 500
CHECKLIST_FIGURES_RUNS_MAX = 20_000
"""Newest runs from which steps are measured."""
CHECKLIST_TRIES_MAX = 5
"""How often a write is tried again when another came between."""
RECHECK_MS = 60_000
"""After a parent recovered its children stay silent for so long: they are judged anew first."""
DEPENDENCIES_MAX = 20_000
DEPENDENCY_CHARS_MAX = 512
"""Characters of one end of a dependency."""
DEPENDENCY_PARENTS_MAX = 16
DEPENDENCY_DEPTH_MAX = 16
"""Levels of parents that are looked up."""
DEPENDENCY_FILE_BYTES_MAX = 4_000_000
SUGGESTION_SPAN_MS = 90 * 86_400_000
"""History that suggestions are learned from."""
SUGGESTION_EVENTS_MAX = 200_000
SUGGESTION_HOSTS_MAX = 2_000
"""Hosts that failed most often; the others are left out."""
SUGGESTION_GAP_MS = 60_000
"""Failures with less time between them are one outage …"""
SUGGESTION_OUTAGE_MS_MAX = 5 * 60_000
"""… which lasts no longer than this."""
SUGGESTION_OUTAGES_MIN = 3
"""Outages of a parent below which nothing is concluded."""
SUGGESTION_SHARE_MIN = 0.8
"""Share of a parent's outages in which the child failed, too."""
SUGGESTION_AHEAD_MIN = 0.2
"""By so much rarer must the parent's failing follow from the child's …"""
SUGGESTION_FIRST_MIN = 0.8
"""… or in such a share of outages the parent failed first."""
SUGGESTION_LUCK_MAX = 0.001
"""Probability below which being first is not taken for luck."""
SUGGESTIONS_MAX = 500
SPREAD_AFTER_MS = 2_000
"""So long after GROWTH_TOLD_GAP_MS an incident is looked at for having grown since it was told."""
SPREAD_WINDOW_MS = 10 * 60_000
"""Older incidents are not looked at for it."""
SHIFTS_ASKED_MAX = 5
"""Changes of one incident, the likeliest by time and place, whose shift of load is measured."""
SHIFT_AGAIN_MS = 60_000
"""While the minutes after a change last, its shift is measured again no sooner than this."""
USAGE_WINDOW_MS = 28 * 86_400_000
"""How far back it is looked at whether people act on a signal."""
USAGE_SPEED_MS = 10 * 60_000
"""An action within this time counts whole."""
USAGE_TOLD_MIN = 5
"""A signal told so often without any action is a candidate for removal."""
USAGE_INCIDENTS_MAX = 50_000
USAGE_FRESH_MS = 5 * 60_000
"""How long scores are kept before they are made again."""
TIMES_SERIES_GROUPS_MAX = 200
"""Teams and services, together, whose times are written as series."""
ONSET_BACK_MS = 3_600_000
"""How far back from the firing the beginning is looked for …"""
ONSET_COARSE_MS = 5_000
"""… by such steps, and then, where it was a step …"""
ONSET_FINE_MS = 1_000
"""… by these."""
ONSETS_PER_STEP_MAX = 20
"""New incidents that are dated back in one round."""
BLAME_TOLD_SHARE = 0.5
"""From this share on the incident's timeline, and its messages, name the change."""
CHECKLIST_SCRIPT_HOSTS_SHOWN = 50
"""Hosts whose output a run's script step shows; the change has them all."""
CHECKLIST_SCRIPT_HOSTS_MAX = 100
"""Hosts on which a script step runs at one time."""
