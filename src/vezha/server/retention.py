"""Retention as the operator wrote it becomes the store's: policies with their selectors read."""

from __future__ import annotations

import re
from typing import Any

from vezha.model.columns import Matcher
from vezha.query.errors import ParseError
from vezha.query.parser import parse_selector
from vezha.server.errors import SettingError
from vezha.server.settings import RetentionPolicySettings, RetentionSettings
from vezha.store.limits import POLICIES_MAX
from vezha.store.policy import Policy
from vezha.store.settings import StoreSettings

GENERAL = "general"
"""What the policy of all other series is called."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def store_settings(retention: RetentionSettings) -> StoreSettings:
    """How the store keeps samples. Raises `SettingError`."""
    return StoreSettings(
        retention_s=retention.samples_s,
        retention_10s_s=retention.ten_seconds_s,
        retention_1m_s=retention.minutes_s,
        retention_1h_s=retention.hours_s,
        disk_bytes_max=retention.disk_bytes_max,
        policies=store_policies(retention),
    )


def store_policies(retention: RetentionSettings) -> tuple[Policy, ...]:
    """The policies, in the operator's order. Raises `SettingError`."""
    if len(retention.policies) > POLICIES_MAX:
        raise SettingError(
            f"retention.policies has {len(retention.policies)} entries; there may be {POLICIES_MAX}"
        )
    found: dict[str, Policy] = {}
    for at, written in enumerate(retention.policies):
        where = f"retention.policies[{at}]"
        if not _NAME.fullmatch(written.name):
            raise SettingError(
                f"{where}.name is {written.name!r} but must be a short word of small letters, "
                "digits, - and _: a folder is called so"
            )
        if written.name in (*found, GENERAL):
            raise SettingError(f"{where}.name is {written.name!r}, as another policy is called")
        found[written.name] = Policy(
            written.name,
            _matchers(where, written),
            _or_general(written.samples_s, retention.samples_s),
            _or_general(written.ten_seconds_s, retention.ten_seconds_s),
            _or_general(written.minutes_s, retention.minutes_s),
            _or_general(written.hours_s, retention.hours_s),
        )
    return tuple(found.values())


def _matchers(where: str, written: RetentionPolicySettings) -> tuple[Matcher, ...]:
    try:
        return parse_selector(written.match)
    except ParseError as error:
        raise SettingError(
            f"{where}.match is {written.match!r} but must be a selector such as "
            f"'{{job=\"ci\"}}': {error}"
        ) from None


def _or_general(written: float, general: float) -> float:
    return general if written < 0 else written


def retention_rows(retention: RetentionSettings) -> list[dict[str, Any]]:
    """The policies as programs read them, in their order, the general one last."""
    settings = store_settings(retention)
    texts = [*(written.match for written in retention.policies), ""]
    return [
        {
            "policy": policy.name or GENERAL,
            "match": text,
            "samplesSeconds": policy.samples_s,
            "tenSecondsSeconds": policy.ten_seconds_s,
            "minutesSeconds": policy.minutes_s,
            "hoursSeconds": policy.hours_s,
        }
        for policy, text in zip((*settings.policies, settings.general), texts, strict=True)
    ]
