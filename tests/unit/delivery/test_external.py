"""What others say of their changes, in four formats."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.delivery.errors import ReportError
from vezha.delivery.external import (
    DONE,
    FAILED,
    ROLLED_BACK,
    RUNNING,
    from_body,
    from_cdevent,
    from_github,
    from_gitlab,
    github_signed,
    gitlab_known,
)

NOW = 1_795_740_000_000


def raw(body: Any) -> bytes:
    return json.dumps(body).encode()


def cdevent(what: str = "service.deployed", **content: Any) -> dict[str, Any]:
    return {
        "context": {
            "version": "0.4.1",
            "id": "271069a8-fc18-44f1-b38f-9d70a1695819",
            "source": "/ci/shop",
            "type": f"dev.cdevents.{what}.0.2.0",
            "timestamp": "2026-11-26T23:00:00Z",
        },
        "subject": {"id": "shop", "source": "/ci/shop", "content": content},
    }


def github(event: str, state: str = "", **over: Any) -> tuple[str, bytes]:
    body: dict[str, Any] = {
        "action": "created",
        "deployment": {
            "id": 145988746,
            "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
            "ref": "v3.1",
            "environment": "production",
            "description": "faster search",
            "creator": {"login": "olena"},
            "created_at": "2026-11-26T23:00:00Z",
            "url": "https://api.example.org/deployments/145988746",
        },
        "repository": {"full_name": "acme/shop"},
        **over,
    }
    if state:
        body["deployment_status"] = {
            "state": state, "created_at": "2026-11-26T23:04:00Z",
            "updated_at": "2026-11-26T23:05:00Z", "log_url": "https://ci.example.org/7",
        }  # fmt: skip
    return event, raw(body)


def test_a_title_is_enough() -> None:
    report = from_body({"title": "switch firmware"}, NOW, "olena")
    assert (report.outcome, report.author, report.began_ms, report.ended_ms) == (
        DONE, "olena", NOW, NOW,
    )  # fmt: skip
    assert report.key == f"switch firmware@{NOW}"


def test_a_whole_report() -> None:
    report = from_body(
        {
            "key": "42", "title": "shop v3", "service": "shop", "environment": "production",
            "labels": {"site": "kyiv"}, "hosts": ["web-1", "web-2", "web-1"],
            "began_at": 1_795_739_000, "committed_at": "2026-11-26T12:00:00+02:00",
            "outcome": "running", "links": ["https://ci.example.org/7"], "why": "faster",
        },
        NOW,
        "ci",
    )  # fmt: skip
    assert report.labels == {"site": "kyiv", "service": "shop", "environment": "production"}
    assert report.hosts == ("web-1", "web-2")
    assert report.ended_ms is None
    assert report.committed_ms == 1_795_687_200_000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "title"),
        ({"title": "x", "outcom": "done"}, "outcom is not a field"),
        ({"title": "x", "outcome": "perhaps"}, "outcome must be one of"),
        ({"title": 5}, "title must be text"),
        ({"title": "x", "hosts": "web-1"}, "hosts must be a list"),
        ({"title": "x", "labels": {"a b": "c"}}, "not a label's name"),
        ({"title": "x", "labels": {"a": 1}}, "labels must be"),
        ({"title": "x", "began_at": "yesterday"}, "not a time"),
        ({"title": "x", "began_at": True}, "began_at must be"),
        ({"title": "x", "began_at": 20, "ended_at": 10}, "before began_at"),
        ({"title": "x", "links": ["javascript:alert(1)"]}, "neither http"),
        ({"title": "x", "hosts": ["h"] * 5000}, "more than"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ReportError, match=said):
        from_body(body, NOW, "ci")


def test_a_cdevent_in_binary_mode() -> None:
    event = cdevent(environment={"id": "production"}, artifactId="pkg:oci/shop@3.1?tag=x")
    report = from_cdevent({"content-type": "application/json"}, raw(event), NOW)
    assert report is not None
    assert report.title == "shop deployed to 3.1 in production"
    assert report.labels == {"service": "shop", "environment": "production"}
    assert report.began_ms == 1_795_734_000_000


def test_a_cdevent_in_structured_mode() -> None:
    cloud = {"specversion": "1.0", "id": "1", "type": "x", "source": "y", "data": cdevent()}
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    report = from_cdevent(headers, raw(cloud), NOW)
    assert report is not None
    assert report.labels == {"service": "shop"}
    with pytest.raises(ReportError, match="under data"):
        from_cdevent(headers, raw({**cloud, "data": "x"}), NOW)


def test_what_cdevents_count() -> None:
    back = from_cdevent({}, raw(cdevent("service.rolledback")), NOW)
    assert back is not None
    assert back.outcome == ROLLED_BACK
    assert from_cdevent({}, raw(cdevent("build.finished")), NOW) is None
    for broken in (b"[", b"[]", raw({"context": {}, "subject": {}}), raw({"context": 1})):
        with pytest.raises(ReportError):
            from_cdevent({}, broken, NOW)


def test_a_deployment_on_github_from_beginning_to_end() -> None:
    first = from_github(*github("deployment"), NOW)
    over = from_github(*github("deployment_status", "success"), NOW)
    assert first is not None
    assert over is not None
    assert first.key == over.key == "acme/shop#145988746"
    assert (first.outcome, over.outcome) == (RUNNING, DONE)
    assert over.title == "shop v3.1 to production"
    assert over.ended_ms == over.began_ms + 300_000
    assert over.links == (
        "https://ci.example.org/7", "https://api.example.org/deployments/145988746",
    )  # fmt: skip


def test_when_the_work_was_committed_is_taken_where_github_says_it() -> None:
    run = {"head_commit": {"timestamp": "2026-11-26T20:00:00Z"}}
    report = from_github(*github("deployment_status", "failure", workflow_run=run), NOW)
    assert report is not None
    assert report.outcome == FAILED
    assert report.committed_ms == report.began_ms - 3 * 3_600_000


@pytest.mark.parametrize(
    "said", [("ping", b"{}"), github("deployment_status", "inactive"), ("push", b"not json")]
)
def test_what_is_no_change_is_nothing(said: tuple[str, bytes]) -> None:
    assert from_github(*said, NOW) is None


def test_a_deployment_on_gitlab() -> None:
    body = {
        "object_kind": "deployment", "status": "success", "deployment_id": 15,
        "status_changed_at": "2026-11-26 23:05:00 +0200", "environment": "staging",
        "deployable_url": "https://gitlab.example.org/acme/shop/-/jobs/796",
        "project": {"path_with_namespace": "acme/shop"}, "short_sha": "279484c0", "ref": "main",
        "user": {"username": "taras"}, "commit_title": "Add new file",
        "commit_url": "javascript:alert(1)",
    }  # fmt: skip
    report = from_gitlab("Deployment Hook", raw(body), NOW)
    assert report is not None
    assert report.title == "shop main to staging"
    assert report.links == ("https://gitlab.example.org/acme/shop/-/jobs/796",)
    assert report.began_ms == report.ended_ms == 1_795_727_100_000
    assert from_gitlab("Pipeline Hook", raw(body), NOW) is None
    with pytest.raises(ReportError, match="deployment_id"):
        from_gitlab("Deployment Hook", b"{}", NOW)


def test_signatures_are_checked() -> None:
    body = b'{"zen": 1}'
    good = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert github_signed("s3cret", body, good)
    assert not github_signed("s3cret", body + b" ", good)
    assert not github_signed("s3cret", body, "")
    assert not github_signed("s3cret", body, "sha256=é")
    assert gitlab_known("t0ken", "t0ken")
    assert not gitlab_known("t0ken", "")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    ["context", "subject", "deployment", "repository", "id", "content", "type", "project",
     "deployment_id", "status", "deployment_status", "status_changed_at", "created_at", "title",
     "hosts", "labels", "began_at", "timestamp", "environment"]
)  # fmt: skip


@given(st.dictionaries(_FIELDS, _JSON | st.dictionaries(_FIELDS, _JSON, max_size=4), max_size=6))
def test_hostile_bodies_are_refused_and_never_break_anything(body: dict[str, Any]) -> None:
    packed = raw(body)
    takes: list[Callable[[], object]] = [
        lambda: from_body(body, NOW, "x"),
        lambda: from_cdevent({}, packed, NOW),
        lambda: from_github("deployment_status", packed, NOW),
        lambda: from_gitlab("Deployment Hook", packed, NOW),
    ]
    for take in takes:
        try:
            take()
        except ReportError:
            pass
