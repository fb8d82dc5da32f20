"""The question of notebook 06: TLS at once or STARTTLS, which is better, and which does SMTP use?

WHAT       `which tls` takes six words, and for three of them the cell of the matrix that shows it: the
           matrix is asked
           whether it does. `CHOICES` are the words.
DECIDES    first whether the words go together with what was run, then whether they are what the RFCs say.
STANDARDS  RFC 3207 §4, §6; RFC 8314 §3, §3.3; RFC 5321 §2.3.4, RFC 7435
READ NEXT  ../../lab/tls_matrix.py
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.lab.tls_matrix import TlsMatrix
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

CHOICES: Mapping[str, tuple[str, ...]] = {
    "after the handshake": ("465 is stronger", "587 is stronger", "the same"),
    "stripping works": ("at 465", "at 587 and 25", "at all three"),
    "with TLS required and verified": ("465 is safer", "587 is safer", "the same"),
    "for submission": ("465", "587", "25"),
    "between MTAs": ("465", "587", "25"),
    "and there TLS is": ("from the start", "opportunistic", "required"),
}
SHOWN = {
    "stripping works": "stripping seen",
    "with TLS required and verified": "verified seen",
}
_RIGHT = {
    "after the handshake": "the same",
    "stripping works": "at 587 and 25",
    "with TLS required and verified": "the same",
    "for submission": "465",
    "between MTAs": "25",
    "and there TLS is": "opportunistic",
}
_LOST = ("clear", "stolen")


@exercise("which tls", "TLS at once or STARTTLS: which is better, and which does SMTP use")
def which_tls(answers: Mapping[str, object]) -> Verdict:
    """Judge the words by the matrix."""
    matrix = answers.get("matrix") if isinstance(answers, Mapping) else None
    if not isinstance(matrix, TlsMatrix):
        return todo('Put your matrix under "matrix": answers = {"matrix": matrix, ...}.')
    said = {name: _plain(answers.get(name)) for name in (*CHOICES, *SHOWN.values())}
    if not any(said.values()):
        return todo("Put a word of the list in the place of each ?, and a cell of the matrix behind “seen”.")
    for name, choices in CHOICES.items():
        if not said[name]:
            return hint(f"“{name}” is still open: {', '.join(choices)}?")
        if said[name] not in choices:
            return hint(f"{said[name]!r:.60}: for “{name}” write one of: {', '.join(choices)}.")
    return _stripping(said, matrix) or _verified(said, matrix) or _words(said) or _good(said, matrix)


def _plain(answer: object) -> str:
    text = " ".join(str(answer).split()).strip(" .") if isinstance(answer, (str, int)) else ""
    return "" if text == "?" else text


def _cell(said: str, matrix: TlsMatrix) -> tuple[int, str, str, str] | None:
    """ "587 opportunistic strips" -> its port, client, attacker and outcome."""
    words = said.replace(",", " ").replace(":", " ").split()
    if len(words) < 3 or not words[0].isdigit():
        return None
    key = (int(words[0]), words[1], " ".join(words[2:]))
    cell = matrix.cells.get(key)
    return None if cell is None else (*key, cell.outcome)


def _stripping(said: Mapping[str, str], matrix: TlsMatrix) -> Verdict | None:
    where, shown = said["stripping works"], said["stripping seen"]
    at_465 = {cell.outcome for key, cell in matrix.cells.items() if key[0] == 465 and key[2] == "strips"}
    if where != _RIGHT["stripping works"] and not at_465 & set(_LOST):
        return hint(
            "Look at the column *strips* in the rows of 465, and compare it with *none*: is there a cell in "
            "which stripping "
            "changes anything? There is no STARTTLS to be stripped where TLS comes first.",
            Seen(None, "465, strips", ", ".join(sorted(at_465))),
        )
    found = _cell(shown, matrix)
    if found is None:
        return hint(
            "In which cell have you seen that stripping works? Write it as “587 required strips”: port, "
            "client, attacker."
        )
    port, client, attacker, outcome = found
    seen = Seen(None, f"{port} {client}, {attacker}", outcome)
    if attacker != "strips":
        return hint(f"In that cell the attacker is “{attacker}”: it shows something else.", seen)
    if outcome not in _LOST:
        return hint(
            f"In that cell the letter was {outcome}: there stripping has not worked. Look for one that ends "
            "otherwise than "
            "without an attacker.",
            seen,
        )
    if client == "plain":
        return hint(
            "That client never encrypts: Mallory would not have to strip anything. Take one that would have "
            "encrypted.",
            seen,
        )
    return None


def _verified(said: Mapping[str, str], matrix: TlsMatrix) -> Verdict | None:
    shown = _cell(said["verified seen"], matrix)
    if shown is None:
        return hint(
            "Which cell shows what TLS required and verified is worth at the worst? Write port, client, "
            "attacker: a cell of "
            "a client *verified*."
        )
    port, client, attacker, outcome = shown
    seen = Seen(None, f"{port} {client}, {attacker}", outcome)
    if client != "verified":
        return hint(f"That client is “{client}”: it does not check the certificate.", seen)
    if attacker == "none":
        return hint("Without an attacker every encrypted cell looks good. Take one with Mallory in it.", seen)
    if said["with TLS required and verified"] != "the same":
        rows = matrix.rows()
        return hint(
            "Compare the two rows of the client *verified*: does a password, or a letter, ever get to "
            "Mallory in one of "
            "them? A letter that waits is not lost.",
            *(
                Seen(None, row, ", ".join(rows[row].values()))
                for row in ("465 verified", "587 verified")
                if row in rows
            ),
        )
    return None


def _words(said: Mapping[str, str]) -> Verdict | None:
    if said["after the handshake"] != "the same":
        return hint(
            "Look at part 3 and part 5 again: which version and cipher did 465 agree on, and which 587? "
            "STARTTLS is another "
            "way to begin, and nothing else."
        )
    if said["for submission"] == "25":
        return hint(
            "25 is for MTAs, and many networks block it for users. Where did Ann's mail go in part 4?"
        )
    if said["for submission"] != "465":
        return hint(
            "Both ports work, and 587 is not wrong. But which of them needs no second look at the client's "
            "settings "
            "because there is nothing to strip (the row *opportunistic*)? RFC 8314 §3 prefers that one."
        )
    if said["between MTAs"] != "25":
        return hint(
            f"{said['between MTAs']} is for users who log in. A host that has a letter for bigmail.test "
            "knows its MX record: "
            "is there a port number in it? Which port did your partner's host call?"
        )
    if said["and there TLS is"] == "from the start":
        return hint(
            "At port 25 the banner comes in the clear: no port is set aside for relay with TLS at once."
        )
    if said["and there TLS is"] == "required":
        return hint(
            "What became of the partner's letter in part 4 when your port 25 asked for TLS? So what does "
            "SMTP do there?"
        )
    return None


def _good(said: Mapping[str, str], matrix: TlsMatrix) -> Verdict:
    cells = [_cell(said[name], matrix) for name in SHOWN.values()]
    return done(
        "The same TLS; the difference is the beginning in the clear. Submission: 465 preferred, or 587 with "
        "TLS required; "
        "both with the certificate verified. Between MTAs: opportunistic STARTTLS on 25, and what helps "
        "there is MTA-STS "
        "or DANE.",
        [Seen(None, f"{cell[0]} {cell[1]}, {cell[2]}", cell[3]) for cell in cells if cell],
    )
