"""The exercises of notebook 01a: seven downloads, and the record of the one that is installed.

WHAT       `seven downloads`  a dict: "compared" is a fingerprint, 1 to 7 are "accept, right key" and so on
           `record`           the text of a SHA256SUMS file with its origin
DECIDES    by what gpg says of each download, and by the digest of the real file. What the student wrote is only
           compared with that. The first mistake gets its own hint; a mistake that explains others (the exit code was
           believed, the key came from the archive's server) goes first.
STANDARDS  RFC 9580 §5.5.4 (fingerprints)
READ NEXT  ../../lab/downloads.py, install_makefile.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from labkit.lab.downloads import (
    Cause,
    Checked,
    Download,
    Downloads,
    Outcome,
    as_fingerprint,
    card,
    downloads,
)
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

# -- seven downloads -------------------------------------------------------------------------------------------

REASONS = {  # the words a student may use
    **{cause.value: cause for cause in Cause},
    "changed": Cause.TAMPERED,
    "expired": Cause.EXPIRED_KEY,
    "impostor": Cause.OTHER_KEY,
    "missing key": Cause.NO_KEY,
    "revoked": Cause.REVOKED_KEY,
    "wrong key": Cause.OTHER_KEY,
}
TAUGHT = "right key, tampered, other key, revoked key, expired key, no key"
# A wrong outcome: what gpg's lines really say, for the outcome that the student gave.
WRONG = {
    (Cause.TAMPERED, Outcome.ACCEPT): "gpg says BADSIG: these are not the bytes that were signed.",
    (
        Cause.TAMPERED,
        Outcome.UNDECIDED,
    ): "BADSIG is a clear answer: gpg had the key, and the bytes do not fit.",
    (Cause.OTHER_KEY, Outcome.ACCEPT): (
        "The signature is good, but by a stranger's key: its fingerprint is not on your paper. Anybody "
        "can sign anything."
    ),
    (Cause.OTHER_KEY, Outcome.UNDECIDED): (
        "gpg could check everything: a key that is not on your paper signed it. What more do you wait for?"
    ),
    (Cause.REVOKED_KEY, Outcome.ACCEPT): (
        "REVKEYSIG: the owner has taken this key back. A thief may have it, and a thief writes any date he likes."
    ),
    (Cause.REVOKED_KEY, Outcome.UNDECIDED): (
        "A revocation is final: no refreshing brings a revoked key back. What is the outcome then?"
    ),
    (Cause.EXPIRED_KEY, Outcome.ACCEPT): (
        "EXPKEYSIG: the key has expired (gpg's exit code is 0 all the same). Refresh it before you trust it."
    ),
    (Cause.EXPIRED_KEY, Outcome.REFUSE): (
        "Expired is not broken: the key was valid when it signed, and its owner may have prolonged it since. Do not "
        "throw it away, do not install it: refresh the key and look again."
    ),
    (Cause.NO_KEY, Outcome.ACCEPT): "NO_PUBKEY: nothing was checked at all, so nothing speaks for it.",
    (Cause.NO_KEY, Outcome.REFUSE): (
        "NO_PUBKEY: nothing was checked, so nothing speaks against it either. You do not know."
    ),
    (Cause.RIGHT_KEY, Outcome.REFUSE): (
        "The signature fits, and its fingerprint is on your paper. Did the words [unknown] or WARNING frighten you? "
        "They say that you told gpg nothing about the owner; the paper did."
    ),
    (Cause.RIGHT_KEY, Outcome.UNDECIDED): (
        "GOODSIG, and you have a paper with fingerprints: compare the one of VALIDSIG with it, digit by digit."
    ),
}


@exercise("seven downloads", "Which of the seven downloads do you install?")
def seven_downloads(answers: Mapping[object, object]) -> Verdict:
    """Compare the student's decisions with what gpg says now and with the paper."""
    if not isinstance(answers, Mapping) or not any(_text(value) for value in answers.values()):
        return todo('Write an outcome and a reason for each download, as 1: "accept, right key".')
    given: dict[int, tuple[Outcome, Cause]] = {}
    offered = downloads()
    numbers = [each.number for each in offered.all]
    for number in numbers:
        words = _text(answers.get(number))
        if words:
            decision = _decision(words)
            if decision is None:
                return hint(
                    f'Download {number}: "{words}" is not understood. Write accept, refuse or undecided, a comma, '
                    f"and one of: {TAUGHT}."
                )
            given[number] = decision
    missing = [str(number) for number in numbers if number not in given]
    if missing:
        return hint(f"There is no decision yet for {', '.join(missing)}.")
    paper = tuple(card().values())
    truth = {number: offered.verify(number, paper) for number in numbers}
    return _first_mistake(given, truth, offered, _text(answers.get("compared"))) or done(
        "One of seven, and for a reason. gpg ended with exit code 0 for five of them.",
        [Seen(None, f"download {number}", _seen(checked)) for number, checked in truth.items()],
    )


def _first_mistake(
    given: Mapping[int, tuple[Outcome, Cause]],
    truth: Mapping[int, Checked],
    offered: Downloads,
    compared: str,
) -> Verdict | None:
    swapped = [number for number, (_, cause) in given.items() if cause is Cause.NO_SIGNATURE]
    if swapped:
        return hint(
            f"Download {swapped[0]}: gpg found no signature because it was given the two files the wrong way round. "
            "The signature comes first, then the archive."
        )
    wrong = _compared_wrongly(compared, truth, offered)
    accepted = {number for number, (outcome, _) in given.items() if outcome is Outcome.ACCEPT}
    for believed, words in (
        (
            {number for number, checked in truth.items() if checked.verdict.exit_code == 0},
            "You accepted exactly those for which gpg ends with exit code 0. The exit code only says that some key "
            "signed these bytes; read the status lines, and compare the fingerprint.",
        ),
        (
            {number for number, checked in truth.items() if _says(checked, "GOODSIG")},
            "You accepted all for which gpg says GOODSIG. That proves that somebody has a key. Whose key is it? "
            "Compare the fingerprint of VALIDSIG with your paper.",
        ),
    ):
        if accepted == believed:
            return hint(words)
    if wrong is not None:
        return wrong
    for number, checked in truth.items():
        outcome, _ = given[number]
        verdict = checked.verdict
        if outcome is not verdict.outcome:
            if outcome is Outcome.ACCEPT and _has_a_name_of_the_paper(checked, offered):
                return hint(
                    f"Download {number}: the name and the address are right, the key is not. Anybody can write a name "
                    "into a key; look at the whole fingerprint, not only at its end."
                )
            return hint(f"Download {number}: {WRONG[verdict.cause, outcome]}")
    for number, checked in truth.items():
        if given[number][1] is not checked.verdict.cause:
            line = next((line for line in checked.verdict.status if line.split(" ")[0] in _TELLING), "")
            return hint(
                f"Download {number}: {checked.verdict.outcome.value} is right, but {given[number][1].value} is not the "
                f"reason. gpg says {line.split(' ')[0]}."
            )
    return None


_TELLING = ("GOODSIG", "BADSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY")


def _compared_wrongly(compared: str, truth: Mapping[int, Checked], offered: Downloads) -> Verdict | None:
    """What is wrong with the fingerprint that the student compared; None if nothing is."""
    if not compared:
        return hint(
            'A good signature is not enough: with which fingerprint did you compare? Write it into "compared", from '
            "the paper."
        )
    try:
        fingerprint = as_fingerprint(compared)
    except ValueError:
        return hint(
            f'"{compared}" is no whole fingerprint: that has 40 digits. The end of one proves nothing; two keys in '
            "your keyring end alike."
        )
    wanted = {
        checked.verdict.fingerprint for checked in truth.values() if checked.verdict.outcome is Outcome.ACCEPT
    }
    if fingerprint in wanted:
        return None
    if fingerprint in card().values():
        return hint(
            "This fingerprint is on the paper, but that key did not sign the download that can be accepted. Compare "
            "the one that its VALIDSIG line names."
        )
    if any(key.fingerprint == fingerprint for key in offered.keyring()):
        return hint(
            "This fingerprint comes from where the archive came from: its server, or a keyserver, to which anybody "
            "sends any key. Who forges an archive forges the key beside it. Compare with the paper, which came to you "
            "another way."
        )
    return hint("This fingerprint is neither on the paper nor in the keyring. Is a digit wrong?")


def _decision(words: str) -> tuple[Outcome, Cause] | None:
    """The words "accept, right key" or "accept (right key)" as two values; None if they are not known."""
    found = re.fullmatch(r"(?:=>)?\s*(\w+)[\s,:;(]+(.*?)[\s).]*", words.lower())
    if found is None:
        return None
    known = next((each for each in Outcome if each.value == found[1]), None)
    cause = REASONS.get(found[2])
    return None if known is None or cause is None else (known, cause)


def _has_a_name_of_the_paper(checked: Checked, offered: Downloads) -> bool:
    """Whether a stranger's key has the name of somebody whose fingerprint is on the paper."""
    names = {name for key in offered.keyring() if key.fingerprint in card().values() for name in key.user_ids}
    return checked.verdict.cause is Cause.OTHER_KEY and checked.verdict.user_id in names


def _says(checked: Checked, word: str) -> bool:
    return any(line.split(" ")[0] == word for line in checked.verdict.status)


def _seen(checked: Checked) -> str:
    verdict = checked.verdict
    return f"{verdict.outcome.value} ({verdict.cause.value}); gpg ended with exit code {verdict.exit_code}"


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


# -- the record ------------------------------------------------------------------------------------------------

_LENGTHS = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}


@exercise("record", "Where it came from, and which bytes it was")
def record(text: str) -> Verdict:
    """Check a SHA256SUMS file with its origin against the file that can be accepted."""
    lines = text.splitlines() if isinstance(text, str) else []
    sums = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    origins = [found[1].strip() for line in lines if (found := re.match(r"\s*#\s*from:(.*)", line))]
    if not sums and not any(origins):
        return todo("Write two lines: where the archive came from, and its SHA-256 with its name.")
    offered = downloads()
    accepted = _accepted(offered)
    if not any(origins):
        return hint('The origin is missing: a line "# from: " and the address the archive was taken from.')
    if wrong := _wrong_origin(origins[0], accepted, offered):
        return wrong
    if not sums:
        return hint("The digest is missing: a line as sha256sum prints it, 64 digits, two blanks, the name.")
    return _sum_of(accepted, sums[0], offered)


def _wrong_origin(given: str, accepted: Download, offered: Downloads) -> Verdict | None:
    """The address of the archive is the better record; that of its folder, with or without the last slash, will do."""
    address = given.strip("<>").rstrip("/")
    for each in (accepted, *offered.all):
        folder, _, name = address.rpartition("/")
        place = each.origin.rstrip("/")
        if address in (place, f"{place}/{each.archive.name}"):
            if each is accepted:
                return None
            return hint(f"This is where download {each.number} came from. Which one did you accept?")
        if place == folder:
            return hint(f"{name} is another file of that folder. Write the address of the archive itself.")
    return hint("None of the seven came from there. Copy the address from the table.")


def _sum_of(accepted: Download, line: str, offered: Downloads) -> Verdict:
    found = re.fullmatch(r"([0-9A-Fa-f]+)(\s+\*?)(\S+)", line.strip())
    if found is None:
        return hint(
            "The line of the digest has three parts: 64 hexadecimal digits, two blanks, the file's name."
        )
    digits, between, name = found[1].lower(), found[2], found[3]
    if digits.upper() in (key.fingerprint for key in offered.keyring()):
        return hint("This is the fingerprint of a key. The digest is of the archive: sha256sum computes it.")
    if len(digits) != 64:
        kind = _LENGTHS.get(len(digits))
        what = f"That is as long as {kind}" if kind else f"It has {len(digits)} digits"
        return hint(
            f"A SHA-256 has 64 digits. {what}; two files with the same MD5 or SHA-1 can be made on purpose."
        )
    if digits != accepted.digest:
        other = next((each for each in offered.all if each.digest == digits), None)
        if other is not None:
            return hint(
                f"This is the digest of download {other.number}, whose bytes are not those you accepted."
            )
        return hint("No archive has this digest. Did you compute it of another file, or lose a digit?")
    if between not in ("  ", " *"):
        return hint(
            "Between digest and name sha256sum writes two blanks (or a blank and a star). Keep its form: not every "
            "program that checks such lines takes another."
        )
    if name != accepted.archive.name:
        return hint(f"The name is that of the file as it lies in the folder: {accepted.archive.name}.")
    return done(
        "Whoever has this record can say later whether it is still the same file, and ask the same place again.",
        [
            Seen(None, accepted.archive.name, f"SHA-256 computed again: {accepted.digest}"),
            Seen(None, "origin", accepted.origin),
        ],
    )


def _accepted(offered: Downloads) -> Download:
    """The download that the paper's fingerprints let in."""
    paper = tuple(card().values())
    return next(
        each for each in offered.all if offered.verify(each.number, paper).verdict.outcome is Outcome.ACCEPT
    )
