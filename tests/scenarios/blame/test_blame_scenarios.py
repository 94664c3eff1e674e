"""Runs the stories in this folder; README.md says how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.incidents.blame import Blame, Shift, Suspect, Trouble, rank, sentence

FOLDER = Path(__file__).parent


def _hosts(words: list[str]) -> dict[str, int]:
    pairs = (word.split("@") for word in words if "@" in word)
    return {host: int(float(at) * 1000) for host, at in pairs}


def _labels(words: list[str]) -> dict[str, str]:
    return dict(word.split("=") for word in words if "=" in word)


def _suspect(number: int, words: list[str], fleet: dict[str, int]) -> Suspect:
    labels = _labels(words)
    if words[0] == "fleet":
        at_ms = int(float(words[1]) * 1000)
        return Suspect(number, "", at_ms, at_ms, dict.fromkeys(fleet, at_ms), labels)
    if words[0] == "from":
        ended = int(float(words[3]) * 1000) if "to" in words else None
        return Suspect(number, "", int(float(words[1]) * 1000), ended, {}, labels)
    hosts = _hosts(words)
    return Suspect(number, "", min(hosts.values()), max(hosts.values()), hosts, labels)


def _expect(words: list[str], ranked: list[Blame]) -> None:
    share = {b.change: b.score for b in ranked}
    if words == ["nobody"]:
        assert not ranked
    elif words[0] == "order":
        assert [b.change for b in ranked] == [int(n) for n in words[1:]], share
    elif words[1] == "above":
        assert share[int(words[0])] > float(words[2]), share
    else:
        assert words[1] == "below", words
        assert share.get(int(words[0]), 0.0) < float(words[2]), share


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda p: p.stem)
def test_the_story_comes_out_as_told(path: Path) -> None:
    trouble: Trouble | None = None
    suspects: dict[int, Suspect] = {}
    shifts: dict[int, Shift] = {}
    fleet: dict[str, int] = {}
    asked = 0
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        match words:
            case []:
                continue
            case ["fleet", count]:
                fleet = {f"other-{n}": 0 for n in range(int(count))}
            case ["trouble", *rest]:
                hosts = _hosts(rest)
                began = min(hosts.values())
                hosts = {host: at for host, at in hosts.items() if host}
                trouble = Trouble(1, began, hosts, _labels(rest))
                for number, host in enumerate(hosts):
                    fleet.pop(f"other-{number}", None)
                    fleet[host] = 0
            case ["change", name, *rest]:
                suspects[int(name)] = _suspect(int(name), rest, fleet)
            case ["undoing", name]:
                old = suspects[int(name)]
                suspects[int(name)] = Suspect(
                    old.id, "", old.began_ms, old.ended_ms, old.hosts, old.labels, True
                )
            case ["shift", name, figure, deviations]:
                shifts[int(name)] = Shift(figure, float(deviations))
            case ["expect", *rest]:
                assert trouble is not None
                ranked = rank(trouble, list(suspects.values()), len(fleet), shifts)
                _expect(rest, ranked)
                assert sum(b.score for b in ranked) < 1.0
                for one in ranked:
                    assert sentence(one.reasons, "en").endswith(".")
                    assert sentence(one.reasons, "uk") != sentence(one.reasons, "en")
                asked += 1
            case _:
                pytest.fail(f"not understood: {line}")
    assert asked
