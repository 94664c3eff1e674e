"""What the running server says of itself and answers with is in the reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vezha
from vezha.access.decision import Reason
from vezha.store import Store, StoreSettings
from vezha.wire.errors import ProtocolError
from vezha.world import World

SOURCE = Path(vezha.__file__).parent
REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
METRIC = re.compile(r"vezha_[a-z0-9_]*[a-z0-9]")
NOT_METRICS = {
    "vezha_writes",  # an option of the ledger's connections
    "vezha_theme",  # cookies
    "vezha_lang",
    "vezha_team",  # annotations of rules
    "vezha_service",
    "vezha_title",
    "vezha_checklist",
    "vezha_meaning",
    "vezha_meaning_uk",
    "vezha_next_uk",
    "vezha_title_uk",
    "vezha_explains",
    "vezha_depends_on",
    "vezha_next",
    "vezha_user",
}


def modules(*rooms: str) -> Iterator[ast.Module]:
    for room in rooms:
        for path in sorted((SOURCE / room).rglob("*.py")):
            yield ast.parse(path.read_text())


def texts(*rooms: str) -> set[str]:
    """All string constants in the code of *rooms*."""
    nodes = (node for module in modules(*rooms) for node in ast.walk(module))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def test_every_metric_of_the_server_is_in_the_reference() -> None:
    rooms = ("access", "alerting", "api", "gateway", "incidents", "ledger", "legacy", "notify")
    found = {t for t in texts(*rooms, "query", "server", "store", "ui") if METRIC.fullmatch(t)}
    told = page("server-metrics.md") + page("agent-metrics.md") + page("checks.md")
    missing = {name for name in found - NOT_METRICS if f"`{name}" not in told}
    assert not missing, "add them to docs/reference/server-metrics.md"


def test_every_figure_of_the_store_is_in_the_reference(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), World(), StoreSettings())
    figures = store.stats()
    store.close()
    told = page("server-metrics.md")
    assert not [name for name in figures if f"`vezha_store_{name}`" not in told]


def test_the_reference_names_no_metric_that_is_gone() -> None:
    told = set(re.findall(r"^\| `(vezha_[a-z0-9_]+)`", page("server-metrics.md"), re.MULTILINE))
    known = texts(*(p.name for p in SOURCE.iterdir() if p.is_dir()))
    gone = set()
    for name in told:
        # The client library adds _total to counters; some rooms put a prefix before their figures.
        bare = name.removesuffix("_total")
        parts = {name, bare, re.sub(r"^vezha_(store|alerting)_", "", name)}
        if not parts & known and not name.startswith("vezha_alerting_alerts_"):
            gone.add(name)
    assert not gone


def api_codes() -> set[str]:
    """Codes in errors of the API: `SomeError(404, "not_found", ...)` and `code = "..."`."""
    codes = set()
    for module in modules("api", "access", "server"):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and len(node.args) >= 2:
                first, second = node.args[0], node.args[1]
                if not (isinstance(first, ast.Constant) and isinstance(second, ast.Constant)):
                    continue
                is_status = isinstance(first.value, int) and 400 <= first.value < 600
                if is_status and isinstance(second.value, str):
                    codes.add(second.value)
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "code"
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                codes.add(node.value.value)
    codes |= {reason.value for reason in Reason if reason is not Reason.ALLOWED}
    return {code for code in codes if re.fullmatch(r"[a-z_]+", code)}


def test_every_error_code_of_the_api_is_in_the_reference() -> None:
    told = page("errors.md")
    assert not {code for code in api_codes() if f"`{code}`" not in told}


def test_every_error_code_of_the_channel_is_in_its_page() -> None:
    codes = set()
    for module in modules("wire", "gateway"):
        for node in ast.walk(module):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == ProtocolError.__name__
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                codes.add(str(node.args[0].value))
    assert codes
    told = page("formats/wire.md")
    assert not {code for code in codes if f"`{code}`" not in told}


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "errors.md", "server-metrics.md"])
def test_the_reference_is_linked(name: str) -> None:
    assert f"reference/{name}" in (REFERENCE.parent / "index.md").read_text()
