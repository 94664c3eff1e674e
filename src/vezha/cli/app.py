"""`vezha`: one command, a noun, a verb.

Each noun is a module `vezha.cli.<noun>` with a Typer application called `app`, imported only
when its noun is asked for, so that `vezha agent run` never pays for numpy. Exit codes: 0 done,
1 the answer is no or something broke, 2 the command or a setting is wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

NOUNS: dict[str, str] = {
    "up": "Start everything on this machine: three contours and an agent.",
    "server": "Run one contour by itself.",
    "agent": "The agent: run, build, enrol.",
    "demo": "A simulated fleet with a story, to see Vezha alive.",
    "fleet": "Hosts that this server knows.",
    "store": "Look at, check, mend, move the stored samples.",
    "promql": "Ask in PromQL; run PromQL test scripts.",
    "rule": "Alert and recording rules: check, test, rehearse.",
    "alert": "Alerts as they are now, and what became of them.",
    "check": "Checks from outside: list, run, lint, make tokens.",
    "incident": "Incidents: list, show, take, snooze, merge, split, undo.",
    "load": "Load: predictability, forecasts, what fills up, calm windows.",
    "checklist": "Checklists: list, lint, run, answer, sign.",
    "cause": "Which change could explain an incident; say whether it did.",
    "signal": "Which signals are of use, and how many alarms people get.",
    "dependency": "What depends on what: list, add, suggest, accept.",
    "silence": "Silences: list, add, end.",
    "scenario": "Saved walks through the pages: list, show, lint, rounds.",
    "oncall": "Who is on call: schedules, overrides, escalation, hand-over.",
    "contact": "How people are reached, and when not.",
    "notify": "Receivers and messages: list, test, outbox.",
    "change": "Changes: draft, plan, approve, start; report those made elsewhere.",
    "rollout": "Rollouts: show, pause, end, take back, wait for.",
    "freeze": "Times in which nothing changes, or in which alone something does.",
    "release": "Keys, and what they sign: build, sign, publish, verify.",
    "diary": "The weekly page: what was delivered, what is stable, what comes next.",
    "user": "People who may sign in.",
    "token": "Tokens for the API and for enrolling agents.",
    "audit": "Who did what, when.",
}
EXIT_BROKEN, EXIT_WRONG, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Entry point of the `vezha` command."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Do what *args* say; the exit code. An operator's error is one sentence, no traceback."""
    if "VEZHA_LIFELINE_FD" in os.environ:
        _hold_lifeline(watched=args[:1] != ["up"])
    try:
        return _dispatch(args)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Who reads us has seen enough (`vezha ... | head`).
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return EXIT_BROKEN
    except Exception as error:
        if not is_for_operator(error):
            raise
        print(f"vezha: {error}", file=sys.stderr)
        return EXIT_WRONG


def is_for_operator(error: BaseException) -> bool:
    """Whether *error* is one that its reader can mend, and so deserves no traceback.

    Rooms share no base class, since the lower ones run without the upper; but each keeps the
    errors that it writes for its reader in `vezha.<room>.errors`.
    """
    parts = type(error).__module__.split(".")
    return len(parts) == 3 and parts[0] == "vezha" and parts[2] == "errors"


def present_nouns() -> dict[str, str]:
    """The nouns that this installation has, with their help."""
    return {noun: text for noun, text in NOUNS.items() if _is_present(noun)}


def _is_present(noun: str) -> bool:
    return importlib.util.find_spec(f"vezha.cli.{noun}") is not None


def _hold_lifeline(*, watched: bool) -> None:
    # A contour prints nothing for people; without this structlog loads rich into each of them.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from vezha.server import lifeline

    lifeline.take(os.environ, watched=watched)


def _dispatch(args: list[str]) -> int:
    noun = args[0] if args else "--help"
    if noun in ("--version", "-V"):
        from vezha import __version__

        print(f"vezha {__version__}")
        return 0
    if noun in ("--help", "-h", "help"):
        print(_overview(), end="")
        return 0
    if noun not in NOUNS or not _is_present(noun):
        known = ", ".join(present_nouns())
        print(f"vezha: there is no command {noun!r}; there are: {known}", file=sys.stderr)
        return EXIT_WRONG
    from typer.main import get_command

    module = importlib.import_module(f"vezha.cli.{noun}")
    command = get_command(module.app)
    try:
        command(args=args[1:], prog_name=f"vezha {noun}")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else EXIT_BROKEN
    return 0


def _overview() -> str:
    nouns = present_nouns()
    width = max(map(len, nouns), default=0)
    lines = ["Vezha watches a fleet of servers.", "", "Usage: vezha NOUN [VERB] [OPTIONS]", ""]
    lines += [f"  {noun:<{width}}  {text}" for noun, text in nouns.items()]
    lines += ["", "`vezha NOUN --help` explains one of them; `vezha --version` tells the version."]
    return "\n".join(lines) + "\n"
