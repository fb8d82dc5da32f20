"""Views of trust: what was downloaded, which keys are at hand, and what gpg's words about a signature mean.

WHAT       a signature is shown as gpg's status lines, each with its meaning; the fingerprint that signed above the one
           you compared; the exit code, which decides nothing; and the verdict.
RULES      lines that decide nothing, and differ between versions of gpg, are left out; `everything=True` shows all.
           As text, no line is longer than a page is wide, unless it is gpg's own.
STANDARDS  RFC 9580 §5.2; doc/DETAILS of GnuPG (status lines)
READ NEXT  trust_machine.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from labkit.lab.downloads import Checked, Downloads, Key, Outcome, in_groups
from labkit.teach.markup import Markup, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

MEANS = {
    "GOODSIG": "The signature fits the archive. Then the key's id, and the name that the key gives itself.",
    "BADSIG": "The signature does not fit: other bytes were signed.",
    "EXPKEYSIG": "The signature fits, but the key has expired.",
    "EXPSIG": "The signature fits, but has itself expired.",
    "REVKEYSIG": "The signature fits, but the owner has taken the key back (revoked it).",
    "KEYEXPIRED": "When the key expired, in seconds since 1970.",
    "VALIDSIG": "The whole fingerprint of the key that signed, and the day: this is what you compare.",
    "ERRSIG": "The signature could not be checked.",
    "NO_PUBKEY": "The key with this id is not in the keyring.",
    "NODATA": "This file is no signature.",
}
DECIDES_NOTHING = "It decides nothing."
WIDTH = 110  # of a line of text
COLOURS = {Outcome.ACCEPT: "#00694e", Outcome.REFUSE: "#8f2d00", Outcome.UNDECIDED: "#5f4b00"}


@shows(Checked)
class CheckedView(View):
    """What gpg said of one signature, what it means, and the verdict."""

    def __init__(self, checked: Checked, *, everything: bool = False) -> None:
        self.checked = checked
        self.verdict = checked.verdict
        self.rows = _explained(checked.verdict.status, everything=everything)
        self.rows.append((f"exit code {checked.verdict.exit_code}", DECIDES_NOTHING))

    @property
    def _title(self) -> str:
        return f"Download {self.checked.download.number}: {self.checked.command}"

    @property
    def _keys(self) -> list[str]:
        """The two fingerprints, one above the other, to be compared digit by digit."""
        if self.verdict.fingerprint is None:
            return []
        signer = self.verdict.fingerprint
        by = in_groups(signer) if len(signer) > 16 else signer
        return [f"signed by      {by}", f"compared with  {_compared(signer, self.checked.compared)}"]

    @property
    def _outcome(self) -> str:
        return f"{self.verdict.outcome.value} ({self.verdict.cause.value})"

    def html(self) -> Markup:
        badge = f"color:white; background:{COLOURS[self.verdict.outcome]}; padding:1px 8px; border-radius:9px"
        return join(
            table(("gpg says", "which means"), self.rows, self._title, code=[0]),
            tag("pre", "\n".join(self._keys)) if self._keys else None,
            tag("p", tag("span", self._outcome, style=badge), " ", self.verdict.reason),
        )

    def text(self) -> str:
        left = max(len(part) for row in self.rows for part in row[0].split("\n"))
        rows = [(said, textwrap.fill(meaning, max(WIDTH - left - 2, 30))) for said, meaning in self.rows]
        parts = [text_table(("gpg says", "which means"), rows, self._title), *self._keys]
        end = f"=> {self._outcome}: {self.verdict.reason}"
        return "\n".join([*parts, textwrap.fill(end, WIDTH, subsequent_indent="   ")])


def _compared(signer: str, known: Sequence[str]) -> str:
    """The fingerprint that was compared; of several the one that fits, and which of them it is."""
    if not known:
        return "nothing yet"
    if len(known) == 1:
        return in_groups(known[0])
    if signer in known:
        return f"{in_groups(signer)} (number {known.index(signer) + 1} of {len(known)} keys)"
    return f"{len(known)} keys, and none of them fits"


def _explained(status: Sequence[str], *, everything: bool) -> list[tuple[str, str]]:
    if everything:
        return [(line, MEANS.get(line.split(" ")[0], "")) for line in status]
    first = {line.split(" ")[0]: line for line in reversed(status)}  # gpg says some of them twice
    kept = [line for line in status if line.split(" ")[0] in MEANS and first[line.split(" ")[0]] is line]
    return [(_shortened(line), MEANS[line.split(" ")[0]]) for line in dict.fromkeys(kept)]


def _shortened(line: str) -> str:
    """Of VALIDSIG and ERRSIG only the first words: the rest are numbers of algorithms and versions.

    A name stands on a line of its own.
    """
    words = line.split(" ")
    if words[0].endswith("SIG") and words[0] not in ("VALIDSIG", "ERRSIG") and len(words) > 2:
        return f"{' '.join(words[:2])}\n{' ' * len(words[0])} {' '.join(words[2:])}"
    if words[0] == "VALIDSIG":
        return f"{' '.join(words[:2])}\n         {' '.join(words[2:3])} …"
    return " ".join(words[:2]) + " …" if words[0] == "ERRSIG" else line


@shows(Downloads)
class DownloadsView(View):
    """What was downloaded, from where, and its digests: ours, and the one that the same server gives."""

    head = ("", "taken from", "octets", "SHA-256, computed here", "its SHA256SUMS", "its keys")

    def __init__(self, downloads: Downloads) -> None:
        self.rows = [
            (
                str(each.number),
                each.origin,
                str(each.archive.stat().st_size),
                f"{each.digest[:32]}\n{each.digest[32:]}",
                "says the same" if each.digest == each.digest_offered else "says another",
                each.keys_offered.name if each.keys_offered else "none",
            )
            for each in downloads.all
        ]
        self.title = f"{downloads.all[0].archive.name}, {len(downloads.all)} times"

    def html(self) -> Markup:
        return table(self.head, self.rows, self.title, code=[3], whole=[1, 4])

    def text(self) -> str:
        return text_table(self.head, self.rows, self.title)


@shows(Key, many=True)
class KeysView(View):
    """The keys at hand. Everything but the fingerprint is what the key says of itself."""

    head = ("fingerprint", "says that it is", "")

    def __init__(self, keys: Sequence[Key]) -> None:
        self.rows = [(in_groups(key.fingerprint), "\n".join(key.user_ids), _state(key)) for key in keys]

    def html(self) -> Markup:
        return table(self.head, self.rows, "The keyring: gpg --list-keys", code=[0], whole=[0, 2])

    def text(self) -> str:
        return text_table(self.head, self.rows, "The keyring: gpg --list-keys")


def _state(key: Key) -> str:
    if key.is_revoked:
        return "revoked"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else ""
