"""`Alert`: a rule, where it is explained, and two stories that prove it: one in which it fires, one in which it does not."""

from __future__ import annotations

from dataclasses import dataclass, field

RUNBOOK = "docs/operations.md"
JOB = {"job": "k2", "instance": "one/k2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Args:
        name: CamelCase, with the prefix K2.
        expr: PromQL.
        lasts: How long it must hold.
        severity: `critical` (wake somebody), `warning` (look today).
        summary: What is wrong, in a sentence.
        section: Heading in the runbook.
        fires: Series of the story in which it fires, in promtool's notation, a value a minute; looked at after 30.
        silent: Those of the story in which it does not.
        labels: That the fired alert has besides job, instance and severity.
        bare: Whether its expression drops job and instance.
    """

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    section: str
    fires: dict[str, str]
    silent: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    bare: bool = False

    @property
    def anchor(self) -> str:
        """The section's anchor."""
        return self.section.lower().replace(" ", "-").replace(",", "")

    @property
    def annotations(self) -> dict[str, str]:
        """As in the rule."""
        return {"summary": self.summary, "runbook_url": f"{RUNBOOK}#{self.anchor}"}

    def fired(self) -> dict[str, str]:
        """Labels of the alert that fires."""
        return {**({} if self.bare else JOB), **self.labels, "severity": self.severity}


def series(name: str, **labels: str) -> str:
    """A series of the stories."""
    every = ",".join(f'{key}="{value}"' for key, value in {**JOB, **labels}.items())
    return f"{name}{{{every}}}"


STILL, RISING, STEEP = "0x40", "0+1x40", "0+100x40"
OLD, NEW = "1x40", "0+60x40"
"""Times: one that stays where it was, and one that goes with the clock, which begins at 0 in a story."""
