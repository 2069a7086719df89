"""What was checked and what does not hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class CannotCheck(Exception):
    """The pipeline could not be judged at all: its text says why and what to do."""


class Violation(NamedTuple):
    """One thing that does not hold, with its coordinates."""

    kind: str
    """A short word of a closed set per check, such as `lost` or `wrong_version`."""
    where: str
    """`topic[partition]@offset`, or the key of a record."""
    message: str


@dataclass
class Check:
    """One check: how many things were judged, how many failed by kind, and the first failures of each kind."""

    name: str
    keep: int
    """How many violations of a kind are kept in full; all are counted."""
    checked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def violation(self, kind: str, where: str, message: str) -> None:
        """Count a violation, and keep it in full if it is among the first of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= self.keep:
            self.violations.append(Violation(kind, where, message))


@dataclass
class Report:
    """All checks of one run."""

    pipeline: str
    keep: int = 20
    checks: dict[str, Check] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader should know although it breaks nothing."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What was read: counts and end offsets."""

    def check(self, name: str) -> Check:
        """The check called *name*, made when first asked for."""
        if name not in self.checks:
            self.checks[name] = Check(name, self.keep)
        return self.checks[name]

    @property
    def ok(self) -> bool:
        """True iff no check found a violation."""
        return not any(check.counts for check in self.checks.values())

    def as_json(self) -> dict[str, Any]:
        """The report for machines: `checks.<name>` has `checked`, `found` (by kind) and `violations`."""
        return {
            "pipeline": self.pipeline,
            "ok": self.ok,
            "checks": {
                check.name: {
                    "checked": check.checked,
                    "found": dict(check.counts),
                    "violations": [violation._asdict() for violation in check.violations],
                }
                for check in self.checks.values()
            },
            "notes": self.notes,
            "facts": self.facts,
        }

    def as_text(self) -> str:
        """The report for people: one line a check, then the violations kept."""
        lines = [f"pipeline {self.pipeline}"]
        for check in self.checks.values():
            found = sum(check.counts.values())
            lines.append(f"  {check.name:<14} {check.checked:>10,} checked  {found:>8,} violations")
        for check in self.checks.values():
            for kind, count in check.counts.items():
                shown = [violation for violation in check.violations if violation.kind == kind]
                lines.append(
                    f"{check.name}: {kind}: {count:,}" + (f", the first {len(shown)}" if count > len(shown) else "")
                )
                lines.extend(f"    {violation.where}: {violation.message}" for violation in shown)
        lines.extend(f"note: {note}" for note in self.notes)
        lines.append("all invariants hold" if self.ok else "INVARIANTS ARE VIOLATED")
        return "\n".join(lines)
