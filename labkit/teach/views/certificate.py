"""A certificate as one who runs a server needs it, and the check of chain and name in steps.

WHAT       `show(facts)` or `certificate(pem)`: for which names, by whom, until when, with which key.
           `show(checked)`: the questions of a check, what was found, and where it ends.
           `check(chain, authorities, name)` makes one of PEM.
DECIDES    serial number and fingerprint, new with each certificate, are shown with `details=True` only.
SAFE       what stands in a certificate is text of others: escaped, hidden characters visible.
READ NEXT  handshake.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from labkit.lab.certificates import facts_of
from labkit.lab.handshakes import CertificateFacts, Checked, judged_pem
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST = 400
_WIDTHS = (44, 44, 18)


class CertificateView(View):
    """One certificate, or a chain of them, the server's first."""

    def __init__(self, chain: Sequence[CertificateFacts], *, details: bool = False) -> None:
        self.chain, self.details = tuple(chain), details

    def _rows(self, it: CertificateFacts) -> list[tuple[str, str]]:
        common = f"{it.common_name} (counts for nothing, RFC 9525 §2)" if it.common_name else "-"
        rows = [
            ("for the names", ", ".join((*it.names, *it.addresses)) or "none: no client accepts it for any"),
            ("common name", common),
            ("signed by", "itself" if it.is_self_issued else it.issuer),
            ("valid", f"{it.begin:%Y-%m-%d} to {it.end:%Y-%m-%d}"),
            ("key", it.key),
            ("may sign others", "yes (CA:TRUE)" if it.is_authority else "no"),
            ("for", ", ".join(it.purposes) or "everything: it does not say"),
        ]
        if it.is_authority:
            rows = [("subject", it.subject), *rows[2:6]]
        if self.details:
            rows += [("serial number", it.serial), ("SHA-256", it.fingerprint), ("signature", it.signature)]
        return [(name, visible(clip(value, LONGEST))) for name, value in rows]

    def _caption(self, number: int) -> str:
        if len(self.chain) == 1:
            return "The certificate"
        return f"{number}. {'the server’s own' if number == 1 else 'who vouches for it'}"

    def html(self) -> Markup:
        return join(
            *(
                table(("", ""), self._rows(each), self._caption(number))
                for number, each in enumerate(self.chain, 1)
            )
        )

    def text(self) -> str:
        parts = []
        for number, each in enumerate(self.chain, 1):
            lines = [self._caption(number)]
            for name, value in self._rows(each):
                lines += textwrap.wrap(
                    f"  {name:<16}{value}", 110, subsequent_indent=" " * 18, break_on_hyphens=False
                )
            parts.append("\n".join(lines))
        return "\n\n".join(parts) or "(no certificate was shown)"


class CheckedView(View):
    """The steps of a check."""

    _HEAD = ("question", "found", "the rule")

    def __init__(self, checked: Checked) -> None:
        self.checked = checked

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (
                visible(clip(step.question, LONGEST)),
                f"{'✓' if step.is_good else '✗'} {visible(clip(step.found, LONGEST))}",
                step.source,
            )
            for step in self.checked.steps
        ]

    @property
    def _ending(self) -> str:
        if self.checked.is_good:
            return "It is who it should be."
        return visible(clip(f"It is not believed: {self.checked.reason}", LONGEST))

    def html(self) -> Markup:
        return join(table(self._HEAD, self._rows()), tag("p", tag("b", self._ending)))

    def text(self) -> str:
        rows = [
            tuple(
                "\n".join(textwrap.wrap(cell, width, break_on_hyphens=False))
                for cell, width in zip(row, _WIDTHS)
            )
            for row in self._rows()
        ]
        return f"{text_table(self._HEAD, rows)}\n{textwrap.fill(self._ending, 110)}"


@shows(CertificateFacts)
def show_certificate(facts: CertificateFacts, *, details: bool = False) -> CertificateView:
    """One certificate."""
    return CertificateView((facts,), details=details)


@shows(CertificateFacts, many=True)
def show_chain(chain: Sequence[CertificateFacts], *, details: bool = False) -> CertificateView:
    """A chain, as `handshake.certificates` has it."""
    return CertificateView(chain, details=details)


@shows(Checked)
def show_checked(checked: Checked) -> CheckedView:
    """The steps of a check."""
    return CheckedView(checked)


def certificate(pem: str, *, details: bool = False) -> CertificateView:
    """What stands in a PEM file. Raises CertificateMistake."""
    return CertificateView(facts_of(pem), details=details)


def check(chain: str, authorities: str, name: str) -> CheckedView:
    """Whether who believes `authorities` would believe that chain under that name; all PEM. Raises ValueError."""
    return CheckedView(judged_pem(chain, authorities, name))
