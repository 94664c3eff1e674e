"""`checks.yml`: which checks there are. Strict: nothing is silently left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from vezha.checks.check import DEFAULTS, Check, Defaults, checks_of
from vezha.checks.connection import forget_contexts
from vezha.checks.errors import CheckConfigError
from vezha.checks.options import Options


def parse_checks(text: str, read_file: Callable[[str], bytes], where: str) -> list[Check]:
    """The checks of a file's *text*; *read_file* reads secrets' files. Raises CheckConfigError."""
    try:
        tree = yaml.load(text, _Loader) or {}  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise CheckConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise CheckConfigError(f"{where}: wants `checks:` with a list")
    forget_contexts()
    top = Options(tree, where, read_file)
    allow_plugins = top.flag("allow_plugins", False)
    raw_defaults, raw_checks = top.take("defaults"), top.take("checks")
    top.done()
    general = Options(raw_defaults or {}, f"{where}: defaults", read_file)
    defaults = Defaults.taken(general, DEFAULTS)
    general.done()
    if not isinstance(raw_checks or [], list):
        raise CheckConfigError(f"{where}: checks must be a list; begin each with `- name:`")
    return checks_of(raw_checks or [], defaults, allow_plugins, read_file, where)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML's own would let the last win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = key_node.value
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key} stands twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
