"""Reads rule files: Prometheus's format, strictly, with every fault found in one go.

Format: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/ . What Vezha
adds stands in annotations that begin with `vezha_` (which Prometheus accepts) or in a block
`vezha:` of the rule. Unknown keys are faults. Each fault is one sentence that names file, line,
group and rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vezha.alerting.durations import parse_duration
from vezha.alerting.errors import RuleError, TemplateError
from vezha.alerting.limits import (
    ANNOTATION_CHARS_MAX,
    EXPRESSION_CHARS_MAX,
    GROUPS_MAX,
    INTERVAL_MS_DEFAULT,
    LABEL_TEXT_CHARS_MAX,
    LATE_MS_DEFAULT,
    RULE_FILE_BYTES_MAX,
    RULE_FILES_MAX,
    RULES_PER_GROUP_MAX,
)
from vezha.alerting.rule import AlertRule, Group, NoData, Policy, RecordRule, Rule, rule_key
from vezha.alerting.template import Template

CheckExpression = Callable[[str], str]
"""Given an expression, the fault in it as a sentence, or the empty string."""

BUILTIN_FOLDER = str(Path(__file__).parent / "packs")

_GROUP_KEYS = {"name", "interval", "limit", "query_offset", "rules", "labels"}
_GROUP_KEYS |= {"partial_response_strategy"}  # Thanos writes it; it has no meaning here
_RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations", "vezha"}
_POLICY_KEYS = {"recovery", "no_data", "late", "team", "explains", "tripwire"}
_ANNOTATION_PREFIX = "vezha_"
_FOR_PEOPLE = {
    f"vezha_{word}{language}"
    for word in ("title", "meaning", "next", "checklist")
    for language in ("", "_uk")
} | {"vezha_depends_on"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What files gave: the groups of those without fault, and the faults of the others by file."""

    groups: list[Group]
    problems: dict[str, list[str]]

    def or_raise(self) -> list[Group]:
        """The groups. Raises RuleError where any file has a fault."""
        if self.problems:
            raise RuleError([text for texts in self.problems.values() for text in texts])
        return self.groups


def find_rule_files(folders: Iterable[str]) -> list[str]:
    """Paths of `*.yml`, `*.yaml` and `*.rules` below *folders* (files stand for themselves).

    Sorted; files that end in `.test.yml` are tests and left out. An absent folder has none.
    """
    paths: list[Path] = []
    for folder in folders:
        root = Path(folder)
        found = [root] if root.is_file() else root.rglob("*")
        paths += sorted(p for p in found if p.suffix in (".yml", ".yaml", ".rules") and p.is_file())
    return [str(p) for p in paths if not p.name.endswith((".test.yml", ".test.yaml"))]


def load_rule_files(paths: Sequence[str], check: CheckExpression) -> Loaded:
    """The groups of the files at *paths*; a file with a fault gives none of its groups."""
    groups: list[Group] = []
    problems: dict[str, list[str]] = {}
    for path in paths[:RULE_FILES_MAX]:
        try:
            groups += parse_rule_file(_read(path), _shown(path), check)
        except RuleError as fault:
            problems[path] = fault.problems
    for path in paths[RULE_FILES_MAX:]:
        problems[path] = [f"{path}: not read: more than {RULE_FILES_MAX} rule files"]
    for group in groups[GROUPS_MAX:]:
        text = f'{group.file}: group "{group.name}" is not evaluated: more than {GROUPS_MAX} groups'
        problems.setdefault(group.file, []).append(text)
    return Loaded(groups[:GROUPS_MAX], problems)


def _shown(path: str) -> str:
    """A path as people read it: where the package is installed says nothing."""
    return path.replace(BUILTIN_FOLDER, "built-in", 1) if path.startswith(BUILTIN_FOLDER) else path


def _read(path: str) -> str:
    file = Path(path)
    try:
        if file.stat().st_size > RULE_FILE_BYTES_MAX:
            raise RuleError([f"{path}: larger than {RULE_FILE_BYTES_MAX} bytes; split it"])
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RuleError([f"{path}: not UTF-8 text"]) from None
    except OSError as fault:
        raise RuleError([f"{path}: cannot be read: {fault.strerror}"]) from None


def parse_rule_file(text: str, file: str, check: CheckExpression) -> list[Group]:
    """The groups of one file's *text*. Raises RuleError with all faults."""
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - it makes text, lists and mappings only
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        what = getattr(fault, "problem", None) or "not YAML"
        raise RuleError([f"{where}: {what}"]) from None
    except RecursionError:
        raise RuleError([f"{file}: nested too deeply"]) from None
    return _File(file, check).groups(tree)


def _is_name(text: str) -> bool:
    """Whether *text* can name a metric, a label or an annotation: any UTF-8, as in Prometheus 3."""
    return bool(text) and text.isprintable()


class _Map(dict[str, object]):
    """A mapping that knows its line, and that of each key."""

    line = 0
    key_lines: dict[str, int]


class _Loader(yaml.BaseLoader):
    """Keeps lines, refuses double keys, leaves every scalar as the text that it is written as.

    What `0x10`, `yes` or `2026-01-01` mean is decided by the place where they stand, as in Go.
    """


def _construct_map(loader: yaml.BaseLoader, node: yaml.MappingNode) -> _Map:
    out = _Map()
    out.line = node.start_mark.line + 1
    out.key_lines = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be text", key_node.start_mark
            )
        if key in out:
            raise yaml.constructor.ConstructorError(
                None, None, f'the key "{key}" stands twice', key_node.start_mark
            )
        out[key] = loader.construct_object(value_node, deep=True)
        out.key_lines[key] = key_node.start_mark.line + 1
    return out


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


class _File:
    """Checks one file; gathers faults instead of stopping at the first."""

    def __init__(self, file: str, check: CheckExpression) -> None:
        self._file = file
        self._check = check
        self._problems: list[str] = []
        self._where = ""
        self._keys: set[str] = set()

    def _key(self, group: str, kind: str, name: str, labels: dict[str, str]) -> str:
        ordinal = 0
        while (key := rule_key(group, kind, name, labels, ordinal)) in self._keys:
            ordinal += 1
        self._keys.add(key)
        return key

    def _fault(self, line: int, text: str) -> None:
        place = f"{self._file}:{line}" if line else self._file
        self._problems.append(f"{place}: {self._where}{text}")

    def groups(self, tree: object) -> list[Group]:
        out: list[Group] = []
        if tree is None or tree == "":
            return out
        if not isinstance(tree, _Map):
            self._fault(1, "a rule file is a mapping with the key groups")
            raise RuleError(self._problems)
        self._unknown_keys(tree, {"groups", "namespace"})
        groups = tree.get("groups")
        if not isinstance(groups, list):
            self._fault(tree.line, "groups must be a list")
            raise RuleError(self._problems)
        names: set[str] = set()
        for item in groups:
            self._where = ""
            group = self._group(item)
            if group is not None:
                if group.name in names:
                    self._fault(item.line, f'the group "{group.name}" stands twice in this file')
                names.add(group.name)
                out.append(group)
        if self._problems:
            raise RuleError(self._problems)
        return out

    def _unknown_keys(self, tree: _Map, known: set[str]) -> None:
        for key in tree:
            if key not in known:
                wanted = ", ".join(sorted(known))
                self._fault(tree.key_lines[key], f'"{key}" is not known here; known are {wanted}')

    def _text(self, tree: _Map, key: str, chars_max: int) -> str:
        """The text at *key*, or the empty text."""
        value = tree.get(key, "")
        if not isinstance(value, str):
            self._fault(tree.key_lines.get(key, tree.line), f"{key} must be text")
            return ""
        if len(value) > chars_max:
            self._fault(tree.key_lines[key], f"{key} is longer than {chars_max} characters")
        return value

    def _duration(self, tree: _Map, key: str, default: int = 0) -> int:
        text = self._text(tree, key, 64)
        if text == "":
            return default
        try:
            return parse_duration(text)
        except ValueError as fault:
            self._fault(tree.key_lines[key], f"{key}: {fault}")
            return default

    def _group(self, tree: object) -> Group | None:
        if not isinstance(tree, _Map):
            self._fault(0, "a group is a mapping with name and rules")
            return None
        name = self._text(tree, "name", LABEL_TEXT_CHARS_MAX)
        if not name:
            self._fault(tree.line, "a group has no name")
        self._where = f'group "{name}": '
        self._unknown_keys(tree, _GROUP_KEYS)
        interval = self._duration(tree, "interval", INTERVAL_MS_DEFAULT)
        limit_text = self._text(tree, "limit", 20) or "0"
        if not (limit_text.isascii() and limit_text.isdigit()):
            self._fault(tree.key_lines["limit"], "limit must be a whole number from 0")
            limit_text = "0"
        rules = tree.get("rules") or []
        if not isinstance(rules, list):
            self._fault(tree.key_lines["rules"], "rules must be a list")
            rules = []
        if len(rules) > RULES_PER_GROUP_MAX:
            self._fault(tree.line, f"more than {RULES_PER_GROUP_MAX} rules; split the group")
        common = dict(self._pairs(tree, "labels", LABEL_TEXT_CHARS_MAX))
        made = [r for r in (self._rule(name, item, common) for item in rules) if r is not None]
        offset = self._duration(tree, "query_offset")
        return Group(
            name, self._file, tuple(made), interval or INTERVAL_MS_DEFAULT, offset, int(limit_text)
        )

    def _rule(self, group: str, tree: object, common: Mapping[str, str]) -> Rule | None:
        self._where = f'group "{group}": '
        if not isinstance(tree, _Map):
            self._fault(0, "a rule is a mapping with alert or record, and expr")
            return None
        alert = self._text(tree, "alert", LABEL_TEXT_CHARS_MAX)
        record = self._text(tree, "record", LABEL_TEXT_CHARS_MAX)
        if bool(alert) == bool(record):
            what = "both alert and record" if alert else "neither alert nor record"
            self._fault(tree.line, f"a rule has {what}; it needs one of them")
            return None
        self._where = f'group "{group}", rule "{alert or record}": '
        self._unknown_keys(tree, _RULE_KEYS)
        expr = self._expression(tree, "expr")
        labels = {**common, **dict(self._pairs(tree, "labels", LABEL_TEXT_CHARS_MAX))}
        self._label_names(tree, labels)
        key = self._key(group, "alert" if alert else "record", alert or record, labels)
        if record:
            return self._recording(tree, record, expr, labels, key)
        annotations = dict(self._pairs(tree, "annotations", ANNOTATION_CHARS_MAX))
        policy = self._policy(tree, annotations)
        shown = {
            n: v
            for n, v in annotations.items()
            if not n.startswith(_ANNOTATION_PREFIX) or n in _FOR_PEOPLE
        }
        return AlertRule(
            alert,
            expr,
            self._duration(tree, "for"),
            self._duration(tree, "keep_firing_for"),
            self._templates(tree, "labels", labels),
            self._templates(tree, "annotations", shown),
            policy,
            key,
        )

    def _recording(
        self, tree: _Map, record: str, expr: str, labels: dict[str, str], key: str
    ) -> RecordRule:
        for wrong in ("for", "keep_firing_for", "annotations", "vezha"):
            if wrong in tree:
                self._fault(tree.key_lines[wrong], f"a recording rule cannot have {wrong}")
        if not _is_name(record):
            self._fault(tree.key_lines["record"], f'"{record}" is not a metric name')
        return RecordRule(record, expr, tuple(sorted(labels.items())), key)

    def _expression(self, tree: _Map, key: str) -> str:
        expr = self._text(tree, key, EXPRESSION_CHARS_MAX).strip()
        if not expr:
            self._fault(tree.line, f"{key} is missing")
            return ""
        if fault := self._check(expr):
            self._fault(tree.key_lines[key], f"{key}: {fault}")
        return expr

    def _pairs(self, tree: _Map, key: str, chars_max: int) -> list[tuple[str, str]]:
        block = tree.get(key)
        if block is None or block in ("", "null", "~"):
            return []
        if not isinstance(block, _Map):
            self._fault(tree.key_lines[key], f"{key} must be a mapping of names to text")
            return []
        return [(name, self._text(block, name, chars_max)) for name in block]

    def _label_names(self, tree: _Map, labels: Mapping[str, str]) -> None:
        for name in labels:
            if not _is_name(name) or name == "__name__":
                line = tree.key_lines.get("labels", tree.line)
                self._fault(line, f'"{name}" cannot be a label\'s name')

    def _templates(
        self, tree: _Map, key: str, texts: Mapping[str, str]
    ) -> tuple[tuple[str, Template], ...]:
        out = []
        for name, text in sorted(texts.items()):
            block = tree.get(key)
            line = block.key_lines.get(name, tree.line) if isinstance(block, _Map) else tree.line
            if key == "annotations" and not _is_name(name):
                self._fault(line, f'"{name}" cannot be an annotation\'s name')
            try:
                out.append((name, Template(text)))
            except TemplateError as fault:
                self._fault(line, f'template of {key[:-1]} "{name}": {fault}')
        return tuple(out)

    def _policy(self, tree: _Map, annotations: Mapping[str, str]) -> Policy:
        settings = {
            name.removeprefix(_ANNOTATION_PREFIX): text
            for name, text in annotations.items()
            if name.startswith(_ANNOTATION_PREFIX) and name not in _FOR_PEOPLE
        }
        settings.update(self._pairs(tree, "vezha", ANNOTATION_CHARS_MAX))
        line = tree.key_lines.get("vezha", tree.key_lines.get("annotations", tree.line))
        for name in settings:
            if name not in _POLICY_KEYS:
                known = ", ".join(sorted(_POLICY_KEYS | {n[6:] for n in _FOR_PEOPLE}))
                self._fault(line, f'vezha setting "{name}" is not known; known are {known}')
        recovery = settings.get("recovery", "").strip()
        if recovery and (fault := self._check(recovery)):
            self._fault(line, f"recovery: {fault}")
        no_data = NoData.UNKNOWN
        if "no_data" in settings:
            try:
                no_data = NoData(settings["no_data"])
            except ValueError:
                words = ", ".join(n.value for n in NoData)
                self._fault(line, f'no_data is "{settings["no_data"]}"; it can be {words}')
        late = LATE_MS_DEFAULT
        if "late" in settings:
            try:
                late = parse_duration(settings["late"])
            except ValueError as fault_:
                self._fault(line, f"late: {fault_}")
        tripwire = settings.get("tripwire", "false")
        if tripwire not in ("true", "false"):
            self._fault(line, f'tripwire is "{tripwire}"; it can be true or false')
        return Policy(
            recovery,
            no_data,
            late,
            settings.get("team", ""),
            settings.get("explains", ""),
            tripwire == "true",
        )
