"""Uptane's split: the signed targets say what is authentic, the directive says who gets what.

An agent acts only on what both say alike, so that neither a conquered server nor a stolen
targets key suffices to run something on a host.
"""

from __future__ import annotations

from vezha.trust.artifact import Artifact
from vezha.trust.errors import Refused
from vezha.wire.directive import Directive

ARTIFACT_KIND = {"release": "agent", "config": "config", "script": "script"}
"""Of which kind a directive's artifact must be."""


def agree(directive: Directive, artifact: Artifact) -> None:
    """Raises Refused `disagrees` where the two do not say the same."""
    wanted = ARTIFACT_KIND[directive.kind]
    for name, told, signed in (
        ("kind", wanted, artifact.kind),
        ("name", directive.target, artifact.target),
        ("sha256", directive.sha256, artifact.sha256),
        ("length", directive.length, artifact.length),
    ):
        if told != signed:
            raise Refused(
                "disagrees",
                f"{directive.target}: the directive says {name} {told}, signed is {signed}",
            )


def check_generation(directive: Directive, last_generation: int, last_sha256: str) -> None:
    """Whether a directive is not older than the last one of its kind. The same generation with
    another hash is a server that contradicts itself. Raises Refused `older_generation`."""
    if directive.generation < last_generation:
        raise Refused(
            "older_generation",
            f"generation {directive.generation} comes after generation {last_generation}",
        )
    if directive.generation == last_generation and last_sha256 not in ("", directive.sha256):
        raise Refused(
            "older_generation", f"generation {directive.generation} had another hash before"
        )
