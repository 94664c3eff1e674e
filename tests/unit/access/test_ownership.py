"""What is a team's own: by its name, for its operators, and for nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.access import ACTIONS, NOBODY, Action, Role, Subject, SubjectKind, decide
from vezha.access.decision import Reason
from vezha.access.ownership import asks_whose, decide_owned, owner_of

TEAMS = {"web": ("olena", "petro"), "web-shop": ("iryna",), "db": ("petro",), "empty": ()}
OWNED = [action for action in Action if ACTIONS[action].own_role is not None]
GUARDED = [action for action in Action if ACTIONS[action].others_role is not None]


def person(name: str, role: Role = Role.OPERATOR) -> Subject:
    return Subject(SubjectKind.USER, name, role)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("web", "web"),
        ("web-primary", "web"),
        ("web.yml", "web"),
        ("web_rules.yml", "web"),
        ("web-shop", "web-shop"),
        ("web-shop-esc", "web-shop"),
        ("web-shopping", "web"),
        ("webby", ""),
        ("my-web", ""),
        ("default", ""),
        ("", ""),
    ],
)
def test_a_thing_is_whose_name_it_begins_with(name: str, owner: str) -> None:
    assert owner_of(name, TEAMS) == owner


def test_these_may_be_a_teams_own() -> None:
    assert set(OWNED) == {
        Action.RULE_CHANGE,
        Action.ONCALL_CHANGE,
        Action.RECEIVER_CHANGE,
        Action.RECEIVER_OPTIONS,
    }
    assert GUARDED == [Action.CHECKLIST_CHANGE]
    assert ACTIONS[Action.TEAM_CHANGE].own_role is None  # or one could join any team


@pytest.mark.parametrize("action", OWNED)
def test_an_operator_changes_the_own_teams_and_no_others(action: Action) -> None:
    assert decide_owned(person("olena"), action, "web-primary", TEAMS).allowed
    for subject, name, why in (
        (person("olena"), "db-primary", "db-primary is the team db's; olena is in web"),
        (person("olena"), "web-shop", "web-shop is the team web-shop's; olena is in web"),
        (person("olena"), "default", "default is no team's own"),
        (person("ivan"), "web", "ivan is in no team"),
        (person("olena"), "", "is no team's own"),
    ):
        refused = decide_owned(subject, action, name, TEAMS)
        assert not refused.allowed
        assert refused.reason is Reason.NOT_YOUR_TEAMS
        assert why in refused.sentence


@pytest.mark.parametrize("action", OWNED)
def test_others_are_decided_as_ever(action: Action) -> None:
    token = Subject(SubjectKind.TOKEN, "olena", Role.OPERATOR)  # by that name, and yet not her
    assert not decide_owned(token, action, "web", TEAMS).allowed
    viewer = decide_owned(person("olena", Role.VIEWER), action, "web", TEAMS)
    assert viewer.reason is Reason.ROLE_TOO_LOW
    assert decide_owned(person("root", Role.ADMIN), action, "db", TEAMS).allowed
    assert not decide_owned(NOBODY, action, "web", TEAMS).allowed
    fresh = Subject(SubjectKind.USER, "olena", Role.OPERATOR, must_change_password=True)
    assert decide_owned(fresh, action, "web", TEAMS).reason is Reason.MUST_CHANGE_PASSWORD
    looking = Subject(SubjectKind.USER, "olena", Role.OPERATOR, seen_by="root")
    assert not decide_owned(looking, action, "web", TEAMS).allowed


@pytest.mark.parametrize("action", GUARDED)
def test_what_is_a_teams_only_its_members_change_and_what_is_nobodys_every_operator(
    action: Action,
) -> None:
    token = Subject(SubjectKind.TOKEN, "olena", Role.OPERATOR)
    for subject, name, allowed in (
        (person("olena"), "web-disks", True),
        (person("olena"), "nobodys", True),
        (person("ivan"), "nobodys", True),
        (token, "nobodys", True),
        (person("olena"), "db-disks", False),
        (person("ivan"), "web", False),
        (token, "web", False),
        (person("root", Role.ADMIN), "db-disks", True),
        (Subject(SubjectKind.TOKEN, "robot", Role.ADMIN), "db-disks", True),
        (person("olena", Role.VIEWER), "web-disks", False),
        (NOBODY, "nobodys", False),
    ):
        assert decide_owned(subject, action, name, TEAMS).allowed is allowed, (subject, name)
    refused = decide_owned(person("olena"), action, "db-disks", TEAMS)
    assert refused.reason is Reason.NOT_YOUR_TEAMS
    assert "one must be admin, or a member of the team" in refused.sentence


@given(
    st.sampled_from(Action), st.text("webdshop-._", max_size=12),
    st.sampled_from(["olena", "petro", "iryna", "ivan"]), st.sampled_from(Role),
)  # fmt: skip
def test_it_changes_the_table_only_where_a_thing_is_a_teams(
    action: Action, name: str, who: str, role: Role
) -> None:
    subject = person(who, role)
    before, after = decide(subject, action), decide_owned(subject, action, name, TEAMS)
    if before.allowed and not after.allowed:
        assert asks_whose(before, subject, action)
        owner = owner_of(name, TEAMS)
        assert action in GUARDED
        assert owner
        assert who not in TEAMS[owner]
        assert role is not Role.ADMIN
    elif after.allowed and not before.allowed:
        assert asks_whose(before, subject, action)
        assert who in TEAMS[owner_of(name, TEAMS)]
