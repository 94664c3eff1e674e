"""The page and its files over HTTP."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from tests.unit.ui.conftest import MANIFEST, Client

import vezha.ui
from vezha.ui.built import PLAIN, load, resolve
from vezha.ui.page import PAGES, module_of, title_of


@pytest.fixture
def client(static: Path) -> Client:
    return Client(vezha.ui.routes(static))


ADDRESSES = (
    "/", "/fleet?by=cpu&q=web", "/host/web-1", "/host/a%2Fb", "/incidents", "/incident/412", "/silences", "/checks", "/changes", "/changes/figures", "/change/3", "/draft/new", "/draft/3", "/dependencies", "/releases", "/load", "/oncall", "/oncall/handover/primary", "/checklists", "/checklist/3", "/scenarios", "/scenario/web", "/round/7", "/watch/web", "/diary", "/diary/2026-w47", "/rules", "/explore",
    "/settings", "/settings/receivers", "/access", "/access/tokens", "/audit", "/sign-in",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_is_the_page(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<div id="app">' in answer.text


def test_a_mistyped_address_is_a_page_for_people_and_a_plain_404_for_programs(
    client: Client,
) -> None:
    lost = client.get("/incidnets", headers={"accept": "text/html,*/*;q=0.8"})
    assert lost.status_code == 404
    assert '<div id="app">' in lost.text
    again = {"accept": "text/html", "if-none-match": lost.headers["etag"]}
    assert client.get("/incidnets", headers=again).status_code == 404
    program = client.get("/incidnets", headers={"accept": "application/json"})
    assert program.status_code == 404
    assert '<div id="app">' not in program.text


def test_the_page_runs_nothing_of_its_own_or_from_elsewhere(client: Client) -> None:
    policy = client.get("/fleet").headers["content-security-policy"]
    rules = dict(part.split(" ", 1) for part in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_first_paint_has_the_readers_language_and_colours(client: Client) -> None:
    assert '<html lang="en">' in client.get("/fleet").text
    ukrainian = client.get("/fleet", headers={"accept-language": "uk,en;q=0.5"})
    assert '<html lang="uk">' in ukrainian.text
    chosen = client.get("/fleet", headers={"cookie": "vezha_lang=uk; vezha_theme=dark"})
    assert '<html lang="uk" data-theme="dark">' in chosen.text
    wrong = client.get("/fleet", headers={"cookie": 'vezha_theme="><script>'})
    assert '<html lang="en">' in wrong.text


def test_the_service_worker_is_asked_for_again(static: Path) -> None:
    (static / "worker.js").write_text("self.addEventListener('fetch', () => undefined)\n")
    client = Client(vezha.ui.routes(static))
    answer = client.get("/worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert client.get("/icon.svg").status_code == 404
    assert "worker-src 'self'" in client.get("/fleet").headers["content-security-policy"]


def test_icons_are_there_for_who_takes_no_svg(static: Path) -> None:
    (static / "apple-touch-icon.png").write_bytes(b"\x89PNG")
    answer = Client(vezha.ui.routes(static)).get("/apple-touch-icon.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_the_manifest_and_the_page_name_icons_that_are_served() -> None:
    public = Path(__file__).parents[3] / "frontend"
    manifest = json.loads((public / "public/app.webmanifest").read_text())
    named = {icon["src"].removeprefix("/") for icon in manifest["icons"]}
    named |= set(
        re.findall(
            r'rel="(?:apple-touch-)?icon"[^>]* href="/([^"]+)"', (public / "index.html").read_text()
        )
    )
    assert "apple-touch-icon.png" in named
    assert named <= set(PLAIN)
    drawn = re.findall(r"'([\w-]+\.png)': (\d+)", (public / "vite.config.ts").read_text())
    assert {name for name, _ in drawn} == {name for name in named if name.endswith(".png")}
    for icon in manifest["icons"]:
        if icon["type"] == "image/png":
            side = dict(drawn)[icon["src"].removeprefix("/")]
            assert icon["sizes"] == f"{side}x{side}"


def test_who_is_signed_in_sees_the_frame_at_once(client: Client) -> None:
    assert '<div id="app"></div>' in client.get("/fleet").text
    framed = client.get("/incident/4", headers={"cookie": "vezha=secret; vezha_lang=uk"}).text
    assert '<div id="app"><div class="shell">' in framed
    assert "<li>Інциденти &lt;</li>" in framed
    assert "secret" not in framed
    assert client.get("/x", headers={"cookie": "__Host-vezha=1"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "key"),
    [("/", "fleet"), ("/host/a", "fleet"), ("/incident/1", "incidents"), ("/audit", "access"),
     ("/settings/hosts", "settings"), ("/nowhere", "fleet")],
)  # fmt: skip
def test_a_page_is_named_by_the_list_that_it_is_in(path: str, key: str) -> None:
    assert title_of(path) == f"page.{key}"


def test_the_page_names_what_its_address_needs(client: Client) -> None:
    fleet = client.get("/fleet").headers["link"]
    assert "</assets/Fleet-2.js>; rel=modulepreload" in fleet
    assert "</assets/paint-4.js>; rel=modulepreload" in fleet
    assert "</assets/en-5.js>; rel=modulepreload" in fleet
    # what paints the frame comes first
    assert fleet.startswith("</assets/index-1.css>; rel=preload; as=style; crossorigin")
    assert fleet.count("/assets/index-1.js>") == 1
    assert "/api/v1/session" not in fleet
    signed_in = client.get("/fleet", headers={"cookie": "vezha=x"}).headers["link"]
    assert signed_in == f"</api/v1/session>; rel=preload; as=fetch; crossorigin, {fleet}"
    host = client.get("/host/web-1", headers={"cookie": "vezha_lang=uk"}).headers["link"]
    assert "</assets/Host-3.css>; rel=preload; as=style; crossorigin" in host
    assert "</assets/uk-6.js>" in host
    assert "Fleet" not in host


def test_the_page_is_asked_for_again_but_not_sent_again(client: Client) -> None:
    first = client.get("/fleet")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    again = client.get("/incidents", headers={"if-none-match": tag})
    assert again.status_code == 304
    assert again.content == b""
    other = client.get("/fleet", headers={"if-none-match": tag, "cookie": "vezha_theme=dark"})
    assert other.status_code == 200


def test_files_are_sent_as_they_were_packed(client: Client, static: Path) -> None:
    plain = (static / "assets" / "index-1.js").read_bytes()
    whole = client.get("/assets/index-1.js", headers={"accept-encoding": ""})
    assert whole.content == plain
    assert "content-encoding" not in whole.headers
    packed = client.get("/assets/index-1.js", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain, mtime=0))
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["vary"] == "accept-encoding"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    face = client.get("/assets/inter-7.woff2")
    assert face.headers["content-type"] == "font/woff2"


@pytest.mark.parametrize("name", ["gone-1.js", "../index.html", "..%2Findex.html", "index-1.js.br"])
def test_only_built_files_can_be_had(client: Client, name: str) -> None:
    answer = client.get(f"/assets/{name}")
    assert answer.status_code == 404
    if "immutable" in answer.headers.get("cache-control", ""):
        raise AssertionError("a missing file must not be remembered")


def test_without_a_build_it_says_how_to_make_one(tmp_path: Path) -> None:
    client = Client(vezha.ui.routes(tmp_path))
    for address in ADDRESSES:
        answer = client.get(address)
        assert answer.status_code == 503
        assert "python hatch_build.py" in answer.text


def test_a_module_needs_each_of_its_imports_once() -> None:
    chunk = resolve(MANIFEST, "src/pages/Host.tsx")
    assert chunk.scripts == ("/assets/Host-3.js", "/assets/index-1.js", "/assets/paint-4.js")
    assert chunk.styles == ("/assets/Host-3.css", "/assets/index-1.css")
    circle = {"a": {"file": "a.js", "imports": ["b"]}, "b": {"file": "b.js", "imports": ["a"]}}
    assert resolve(circle, "a").scripts == ("/a.js", "/b.js")
    assert resolve(circle, "c").scripts == ()


def test_every_address_has_a_module_that_exists() -> None:
    pages = Path(__file__).parents[3] / "frontend"
    for module in PAGES.values():
        assert (pages / module).is_file()
    assert module_of("/host/web/1") == "src/pages/Host.tsx"
    assert module_of("/audit") == "src/pages/Access.tsx"
    assert module_of("/elsewhere") == PAGES["/"]


def test_the_build_of_this_checkout_if_there_is_one() -> None:
    try:
        built = load()
    except vezha.ui.NotBuiltError:
        pytest.skip("the pages are not built here (python hatch_build.py builds them)")
    for module in PAGES.values():
        chunk = built.needed_by(module)
        assert chunk.scripts, f"{module} is not in the build"
        for url in (*chunk.scripts, *chunk.styles):
            assert url.removeprefix("/assets/") in built.files
    assert "<script>" not in built.index
    assert "<style" not in built.index
    for name, file in built.files.items():
        if name.endswith((".js", ".css")) and len(file.bodies["identity"]) > 200:
            assert {"br", "gzip"} <= file.bodies.keys(), f"{name} was not compressed"
