"""The web hook gate against a real HTTP server: what it says becomes of the rollout, and what it may
not do."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import structlog
from tests.unit.delivery.rolling import rollout_of, start, state_of, verdicts

from vezha.delivery.errors import SpecError
from vezha.delivery.gate import judge
from vezha.delivery.limits import WEBHOOK_EVERY_MS, WEBHOOKS_KNOWN_MAX
from vezha.delivery.outside import SIGNATURE, Webhooks
from vezha.delivery.plan import gate_line
from vezha.delivery.spec import DEFAULT_WAVES, Gate, read_gates
from vezha.ledger import Ledger
from vezha.testing.fleet.field import Field

SECRET_PATH = "/hook/T0K3N-in-the-path?key=S3CRET-in-the-query"
GATE = Gate("webhook", url="http://127.0.0.1")


class Outsider:
    """A real HTTP server on a port of its own. `answer` says what comes back; `heard` what came."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.signatures: list[str | None] = []
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | Callable[[Callable[[bytes], object]], object] = b"{}"
        self.let_go = threading.Event()
        outsider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outsider.bodies.append(body)
                outsider.paths.append(self.path)
                outsider.signatures.append(self.headers.get(SIGNATURE))
                outsider.heard.append(json.loads(body))
                self.send_response(outsider.status)
                for name, value in outsider.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    if callable(outsider.body):
                        outsider.body(self.wfile.write)
                    else:
                        self.wfile.write(outsider.body)
                except OSError:
                    return  # who asked has gone

            def do_GET(self) -> None:
                outsider.paths.append(f"GET {self.path}")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{SECRET_PATH}"

    def says(self, result: object, sentence: str = "") -> None:
        self.body = json.dumps({"result": result, "sentence": sentence}).encode()

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def outsider() -> Iterator[Outsider]:
    made = Outsider()
    yield made
    made.close()


@pytest.fixture
def webhooks() -> Iterator[Webhooks]:
    made = Webhooks()
    yield made
    made.close()


def asked(webhooks: Webhooks, url: str, now_ms: int = 1_000_000) -> dict[str, Any]:
    """The answer, waited for."""
    deadline = time.monotonic() + 30
    while (found := webhooks.ask("k", url, {"change": 7}, now_ms)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


@pytest.mark.parametrize("result", ["pass", "fail", "no_evidence"])
def test_its_word_is_the_judgement(outsider: Outsider, webhooks: Webhooks, result: str) -> None:
    outsider.says(result, "the shop sells")
    judged = judge(GATE, asked(webhooks, outsider.url))
    assert (judged.result, judged.sentence) == (result, "the shop sells")
    assert outsider.heard == [{"change": 7}]
    assert outsider.paths == [SECRET_PATH]
    assert outsider.signatures == [None]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"pass", 200, "not JSON"),
        (b'["pass"]', 200, "not an object"),
        (b'{"result": "yes"}', 200, "did not say pass, fail"),
        (b'{"result": true}', 200, "did not say pass, fail"),
        (b"{}", 200, "did not say pass, fail"),
        (b"\xff\xfe", 200, "not JSON"),
        (b'{"result": "pass", "more": "' + b"x" * 70_000 + b'"}', 200, "too long"),
        (b'{"result": "pass"}', 500, "answered 500"),
        (b'{"result": "pass"}', 404, "answered 404"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_no_evidence(
    outsider: Outsider, webhooks: Webhooks, body: bytes, status: int, sentence: str
) -> None:
    outsider.body, outsider.status = body, status
    judged = judge(GATE, asked(webhooks, outsider.url))
    assert judged.result == "no_evidence"
    assert sentence in judged.sentence


def test_it_is_not_followed_elsewhere(outsider: Outsider, webhooks: Webhooks) -> None:
    other = Outsider()
    try:
        other.says("pass")
        outsider.status, outsider.headers = 307, {"Location": other.url}
        judged = judge(GATE, asked(webhooks, outsider.url))
        assert judged.result == "no_evidence"
        assert "not followed" in judged.sentence
        assert (other.heard, other.paths) == ([], [])
    finally:
        other.close()


def test_silence_and_a_drip_end_in_time(outsider: Outsider) -> None:
    silent = Webhooks(httpx.Client(timeout=0.2))
    dripping = Webhooks(whole_s=0.2)
    try:
        outsider.body = lambda _: outsider.let_go.wait(30)
        judged = judge(GATE, asked(silent, outsider.url))
        assert (judged.result, "too long to answer" in judged.sentence) == ("no_evidence", True)

        def drip(write: Callable[[bytes], object]) -> None:
            while not outsider.let_go.wait(0.05):
                write(b" ")

        outsider.body = drip
        judged = judge(GATE, asked(dripping, outsider.url))
        assert (judged.result, "too long to answer" in judged.sentence) == ("no_evidence", True)
    finally:
        silent.close()
        dripping.close()


def test_nobody_there(webhooks: Webhooks) -> None:
    gone = Outsider()
    gone.close()
    judged = judge(GATE, asked(webhooks, gone.url))
    assert "cannot be reached" in judged.sentence


def test_its_address_is_not_logged(webhooks: Webhooks) -> None:
    gone = Outsider()
    gone.close()
    with structlog.testing.capture_logs() as lines:
        answer = asked(webhooks, gone.url)
    assert lines
    assert lines[0]["host"] == "127.0.0.1"
    for text in (str(lines), str(answer), gate_line({"kind": "webhook", "url": gone.url})):
        assert "T0K3N" not in text
        assert "S3CRET" not in text


def test_a_question_is_signed_with_the_secret(outsider: Outsider) -> None:
    outsider.says("pass")
    signing = Webhooks(secret="between us")
    try:
        asked(signing, outsider.url)
    finally:
        signing.close()
    wanted = hmac.new(b"between us", outsider.bodies[0], hashlib.sha256).hexdigest()
    assert outsider.signatures == [f"sha256={wanted}"]


def test_the_newest_answer_counts_and_is_asked_for_in_turns(
    outsider: Outsider, webhooks: Webhooks
) -> None:
    outsider.says("pass")
    now_ms = 1_000_000
    assert judge(GATE, asked(webhooks, outsider.url, now_ms)).result == "pass"
    for _ in range(5):
        webhooks.ask("k", outsider.url, {}, now_ms + WEBHOOK_EVERY_MS - 1)
    assert len(outsider.heard) == 1
    outsider.status = 503  # it does not answer any more: its yes is gone, too
    deadline = time.monotonic() + 30
    while judge(GATE, asked(webhooks, outsider.url, now_ms + WEBHOOK_EVERY_MS)).result == "pass":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for i in range(WEBHOOKS_KNOWN_MAX + 5):
        webhooks.ask(f"k{i}", outsider.url, {}, now_ms)
    assert len(webhooks._asked_ms) <= WEBHOOKS_KNOWN_MAX


@pytest.mark.parametrize("url", ["ftp://x/", "https://", "https://ann:word@example.org/", "x"])
def test_an_address_that_cannot_be_taken(url: str) -> None:
    with pytest.raises(SpecError, match="url"):
        read_gates([{"kind": "webhook", "url": url}], DEFAULT_WAVES)


def _rolled(ledger: Ledger, outsider: Outsider, result: str, end: str) -> tuple[Field, int]:
    field = Field(ledger, 3)
    webhooks = Webhooks()
    outsider.says(result, "the shop says so")
    gates = [{"kind": "proof"}, {"kind": "webhook", "name": "shop", "url": outsider.url}]
    id_ = start(field, field.publish("2.0"), gates=gates)
    loop = field.loop(outside=webhooks)

    def is_there() -> bool:
        # it may be held before the first answer has come
        answered = end == "done" or "the shop says so" in rollout_of(field, id_).reason
        return state_of(field, id_) == end and answered

    try:
        # the field's hours pass in no time, the outside's answer takes real milliseconds
        field.run(loop, 600, until=is_there, each=lambda: time.sleep(0.002))
    finally:
        webhooks.close()
    return field, id_


def test_a_rollout_asks_it_and_goes_on(ledger: Ledger, outsider: Outsider) -> None:
    field, id_ = _rolled(ledger, outsider, "pass", "done")
    assert state_of(field, id_) == "done"
    told = outsider.heard[0]
    assert (told["rollout"], told["wave"], told["phase"]) == (id_, "canary", "baking")
    assert {h["wave"] for h in outsider.heard} == {"canary", "all"}
    (last, *_) = [v for v in verdicts(field, id_) if v.gate == "shop" and v.result == "pass"]
    assert last.samples["answer"] == {"result": "pass", "sentence": "the shop says so"}


@pytest.mark.parametrize(("result", "end"), [("fail", "reverted"), ("no_evidence", "held")])
def test_a_rollout_is_taken_back_or_waits(
    ledger: Ledger, outsider: Outsider, result: str, end: str
) -> None:
    field, id_ = _rolled(ledger, outsider, result, end)
    assert state_of(field, id_) == end
    assert "the shop says so" in rollout_of(field, id_).reason
    assert "S3CRET" not in rollout_of(field, id_).reason
