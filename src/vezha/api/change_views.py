"""How changes and rollouts look in JSON. `delivery.views` fills these in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.delivery import limits
from vezha.delivery.errors import DeliveryError, NoSuchChange, NotAllowed, WrongState


class ChangeView(msgspec.Struct):
    """A change in a list. `hosts` are the first of `hosts_count`."""

    id: int
    kind: str
    state: str
    title: str
    target: str
    sha256: str
    why: str
    owner: str
    checklist: str
    risk: str
    selector: str
    reason: str
    reason_uk: str
    mends: int | None
    source: str
    external_key: str | None
    links: list[str]
    labels: dict[str, str]
    hosts: list[str]
    hosts_count: int
    outcome: str
    ready_at: float | None
    began_at: float | None
    ended_at: float | None
    created_at: float | None
    created_by: str
    updated_at: float | None
    revision: int


class ChangesView(msgspec.Struct):
    """Changes, the newest first."""

    changes: list[ChangeView]


class RolloutView(msgspec.Struct):
    """A rollout in a list. `counts` are hosts by state; `pace` is how many times its usual time a
    wave is watched, null where the pace holds."""

    id: int
    change_id: int
    kind: str
    title: str
    target: str
    state: str
    wave: int
    phase: str
    phase_since: float | None
    reason: str
    reason_uk: str
    reason_code: str
    wish: str
    wish_by: str
    break_glass_until: float | None
    break_glass_by: str
    break_glass_why: str
    pace: float | None
    forced: bool
    generation: int
    counts: dict[str, int]
    hosts_count: int
    created_at: float | None
    created_by: str
    ended_at: float | None
    updated_at: float | None
    revision: int


class RolloutsView(msgspec.Struct):
    """Rollouts, the newest first."""

    rollouts: list[RolloutView]


class TimelineView(msgspec.Struct):
    """One line of a change's timeline."""

    at: float | None
    kind: str
    actor: str
    text: str
    text_uk: str
    data: dict[str, Any]


class PlanListView(msgspec.Struct):
    """A plan in a list."""

    number: int
    sha256: str
    created_at: float | None
    created_by: str


class ApprovalView(msgspec.Struct):
    """An answer to a plan (wave -1) or to one of its waves, counted from 0."""

    plan: int
    wave: int
    user: str
    role: str
    answer: str
    comment: str
    at: float | None


class ChangeDetailView(ChangeView):
    """One change. `lacks` says in sentences what keeps it from being started."""

    gates: list[dict[str, Any]] = []
    waves: list[dict[str, Any]] = []
    policy: dict[str, Any] = {}
    params: dict[str, Any] = {}
    lacks: list[str] = []
    timeline: list[TimelineView] = []
    plans: list[PlanListView] = []
    approvals: list[ApprovalView] = []
    rollouts: list[RolloutView] = []


class PlanView(msgspec.Struct):
    """A plan. `text` is the diff that a person reads; `kept` is false for a dry run."""

    number: int
    change_id: int
    sha256: str
    created_at: float | None
    created_by: str
    document: dict[str, Any]
    text: str
    kept: bool = True


class VerdictView(msgspec.Struct):
    """What a gate said: pass, fail or no_evidence."""

    id: int
    rollout_id: int
    wave: int
    gate: str
    kind: str
    shadow: bool
    result: str
    sentence: str
    sentence_uk: str
    measured: float | None
    allowed: float | None
    at: float | None


class VerdictDetailView(VerdictView):
    """A verdict with the gate as it was set and all that it was made of. `recomputed` is what
    judging the same samples again gives, `agrees` whether that is the same."""

    spec: dict[str, Any] = {}
    samples: dict[str, Any] = {}
    recomputed: dict[str, Any] | None = None
    agrees: bool | None = None


class VerdictsView(msgspec.Struct):
    """Verdicts, the oldest first."""

    verdicts: list[VerdictView]


class WaveView(msgspec.Struct):
    """A wave of a rollout; `late` is for hosts that joined or came back later."""

    name: str
    hosts_count: int
    bake_s: float
    counts: dict[str, int]
    is_active: bool


class RolloutDetailView(RolloutView):
    """One rollout with its waves, gates, and the newest verdict of each gate in each wave."""

    plan: int = 0
    policy: dict[str, Any] = {}
    waves: list[WaveView] = []
    gates: list[dict[str, Any]] = []
    verdicts: list[VerdictView] = []


class AttemptView(msgspec.Struct):
    """A host in a rollout. `result` is a script's."""

    host: str
    wave: int
    state: str
    reason: str
    detail: str
    from_version: str
    from_target: str
    generation: int | None
    result: dict[str, Any] | None
    offered_at: float | None
    since: float | None
    updated_at: float | None


class AttemptsView(msgspec.Struct):
    """Hosts of a rollout, by wave and name."""

    attempts: list[AttemptView]


class StepView(msgspec.Struct):
    """One step of a host's history."""

    at: float | None
    from_state: str
    to_state: str
    reason: str
    detail: str


class AttemptDetailView(AttemptView):
    """A host in a rollout, with its history."""

    history: list[StepView] = []


class HostAttemptView(AttemptView):
    """A host in one of its rollouts."""

    rollout_id: int = 0
    change_id: int = 0
    title: str = ""
    kind: str = ""


class HostAttemptsView(msgspec.Struct):
    """What became of a host, the newest first."""

    attempts: list[HostAttemptView]


class ReleaseView(msgspec.Struct):
    """A published artifact, and how many hosts run it."""

    id: int
    kind: str
    name: str
    version: str
    target: str
    sha256: str
    length: int
    custom: dict[str, Any]
    published_at: float | None
    published_by: str
    hosts_count: int
    quarantined: bool


class ReleasesView(msgspec.Struct):
    """Published artifacts, the newest first."""

    releases: list[ReleaseView]


class QuarantineView(msgspec.Struct):
    """A hash that is not offered: to one host, or everywhere."""

    sha256: str
    host: str
    everywhere: bool
    kind: str
    target: str
    reason: str
    detail: str
    rollout_id: int | None
    at: float | None
    lifted_at: float | None
    lifted_by: str | None
    lifted_why: str | None


class QuarantinesView(msgspec.Struct):
    """Hashes in quarantine, the newest first."""

    quarantine: list[QuarantineView]


class WindowRecursView(msgspec.Struct, forbid_unknown_fields=True):
    """A window that comes back each week: days (mon … sun), `start` as HH:MM, its length."""

    days: list[str]
    start: str
    minutes: int


class WindowView(msgspec.Struct):
    """A freeze or a maintenance window; `opens_at` is when it opens next."""

    id: int
    kind: str
    name: str
    selector: str
    state: str
    starts_at: float | None
    ends_at: float | None
    opens_at: float | None
    recurs: WindowRecursView | None
    time_zone: str
    overrun: str
    comment: str
    author: str
    created_at: float | None
    ended_by: str | None


class WindowsView(msgspec.Struct):
    """Windows, the oldest first."""

    windows: list[WindowView]


# What is sent

Sentence = Annotated[str, msgspec.Meta(max_length=limits.SENTENCE_CHARS_MAX)]


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A change as written: what (`target`, a published artifact), why, whose, for which hosts,
    guarded by what. What it lacks may come later."""

    kind: str
    target: str
    title: Annotated[str, msgspec.Meta(max_length=limits.TITLE_CHARS_MAX)] = ""
    why: Sentence = ""
    owner: Sentence = ""
    checklist: Sentence = ""
    risk: str = "medium"
    selector: str = ""
    gates: list[dict[str, Any]] = []
    waves: list[dict[str, Any]] = []
    policy: dict[str, Any] = {}
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}
    links: list[str] = []
    mends: int | None = None
    ready_at: float | None = None


class PlanBody(msgspec.Struct, forbid_unknown_fields=True):
    """A dry run keeps nothing."""

    dry_run: bool = False


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which plan; 0: the newest."""

    plan: int = 0


class AnswerBody(msgspec.Struct, forbid_unknown_fields=True):
    """`approved` or `rejected`: the plan (0: the newest), or one of its waves by name."""

    answer: str = "approved"
    comment: Sentence = ""
    plan: int = 0
    wave: str = ""


class WhyBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why, for the timeline."""

    why: Sentence = ""


class GlassBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why windows are set aside, and for how long."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.SENTENCE_CHARS_MAX)]
    minutes: Annotated[float, msgspec.Meta(gt=0, le=limits.BREAK_GLASS_MS_MAX / 60_000)] = 60.0


class RehearseBody(msgspec.Struct, forbid_unknown_fields=True):
    """A gate, hosts that are taken for touched, and the past over which it is asked. With `change`
    it is that change's gate of that `name` (or `kind`), over its hosts and under its policy."""

    gate: dict[str, Any]
    start_at: float
    end_at: float
    selector: str = ""
    change: int = 0
    step_s: Annotated[float, msgspec.Meta(ge=1)] = 60.0


class RehearsalView(msgspec.Struct):
    """What a gate would have said: spans of equal answers."""

    counts: dict[str, int]
    spans: list[dict[str, Any]]


class LiftBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why it may be offered again, and to which host (empty: all)."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.SENTENCE_CHARS_MAX)]
    host: str = ""


class WindowBody(msgspec.Struct, forbid_unknown_fields=True):
    """A window from (default now) to, or for `minutes`; `recurs` makes it come back each week
    within that span. `overrun`: finish the wave that has begun, or hold it."""

    kind: str = "freeze"
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    selector: str = ""
    starts_at: float | None = None
    ends_at: float | None = None
    minutes: float | None = None
    recurs: WindowRecursView | None = None
    time_zone: str = "UTC"
    overrun: str = "finish"
    comment: Sentence = ""


def refusal(fault: DeliveryError) -> ApiError:
    """A delivery error as the API tells it."""
    text = str(fault)
    sentence = f"{text[:1].upper()}{text[1:]}."
    if isinstance(fault, NoSuchChange):
        return NotFoundError(sentence)
    if isinstance(fault, WrongState):
        return ConflictError(sentence)
    if isinstance(fault, NotAllowed):
        return ApiError(403, "not_allowed", sentence)
    return InvalidError(sentence, fault.field or None)
