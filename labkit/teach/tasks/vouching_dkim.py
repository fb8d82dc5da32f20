"""An exercise of notebook 02b: the host signs with DKIM, and the key in the DNS fits.

WHAT       `dkim signature` looks at the newest letter that the student's host brought to the provider, and at the DNS.
DECIDES    by the provider's verdict on that letter; where it fails, which mistake it was: no signature, no key at that
           name (and where it stands instead), a broken record, another key, From: not signed, a weak key, another d=.
STANDARDS  RFC 6376 §3.6.2 (where the key stands), §5.4 (From: is signed), RFC 8301 §3.2 (2048 bits), RFC 8463
READ NEXT  vouching_dmarc.py
"""

from __future__ import annotations

from labkit.auth import verify_dkim
from labkit.auth.dkim_key import KeyRecordError, parse_key_record, public_key
from labkit.auth.dkim_result import DkimResult
from labkit.auth.domain_names import is_at_or_below
from labkit.lab.provider_verdict import Verdict as Judged
from labkit.lab.world import World
from labkit.teach.checks import Verdict, done, exercise, hint, todo
from labkit.teach.tasks.vouching import (
    lookup_in,
    names_with,
    own_domain,
    own_letters,
    seen_letter,
    seen_texts,
    texts_at,
)

SHOULD_HAVE = 2048
AFTER_A_WHILE = (
    "Repair it, let ten minutes pass (the provider remembers answers for their TTL), and send another letter."
)


@exercise("dkim signature", "Your host signs, and the key in the DNS fits")
def dkim_signature(world: World) -> Verdict:
    """Judge the newest letter at the provider."""
    letters = own_letters(world)
    signed = [letter for letter in letters if letter.dkim]
    if not signed:
        return _not_signed(world, letters)
    newest = letters[-1]
    if not newest.dkim:
        return hint(
            "An earlier letter was signed, the newest is not. Has the option been lost, or can Exim no "
            "longer read the "
            "key?",
            seen_letter(newest, "the newest letter has no DKIM-Signature field"),
        )
    good = [each for each in newest.dkim if each.result == "pass"]
    own = [each for each in good if each.domain == own_domain(world)]
    if not own:
        return _why_not(world, newest, good[0] if good else newest.dkim[0])
    best = max(own, key=lambda each: (each.algorithm.startswith("ed25519"), each.key_bits))
    if best.algorithm.startswith("rsa") and best.key_bits < SHOULD_HAVE:
        return hint(
            f"It passes. But the key has {best.key_bits} bits: that is the least that receivers take, and "
            f"signers "
            f"should use {SHOULD_HAVE} (RFC 8301 §3.2). Make a longer one.",
            *_evidence(world, newest, best),
        )
    words = f"bigmail.test says dkim=pass for d={best.domain}, selector {best.selector}."
    if all(each.algorithm.startswith("ed25519") for each in own):
        words += (
            " Only Ed25519: receivers that do not know it find no signature; sign with an RSA key as well."
        )
    return done(words, _evidence(world, newest, best))


def _evidence(world: World, letter: Judged, result: DkimResult) -> list:  # type: ignore[type-arg]
    words = f"dkim={result.result} d={result.domain} s={result.selector}, {result.algorithm}"
    return [
        seen_letter(letter, words),
        *seen_texts(world, f"{result.selector}._domainkey.{result.domain}"),
    ]


def _not_signed(world: World, letters: list[Judged]) -> Verdict:
    published = _key_records(world)
    has_options = "dkim_private_key" in world.mine.configuration
    if not published and not has_options:
        return todo(
            "Publish the record of your key, let the transport sign (its options begin with dkim_), and "
            "send Carol a "
            "letter."
        )
    if not has_options:
        return hint(
            "The key is in the DNS, but nothing signs: exim.conf has no dkim_private_key. It is an option "
            "of the "
            "transport that sends to others.",
            *seen_texts(world, published[0]),
        )
    if not letters:
        return hint(
            "The configuration signs now. Has the daemon read it (reload)? Then send Carol a letter: only "
            "a message "
            "shows it."
        )
    waiting = [item.queue_id for item in world.mine.queue]
    stuck = " A message waits in your queue: look into the log." if waiting else ""
    return hint(
        "Your letter came without a signature. Exim goes on unsigned if one of dkim_domain, dkim_selector and "
        "dkim_private_key is missing, or if the key's file is not where the option says. Does the option "
        "stand in the "
        f"transport that the message took?{stuck}",
        seen_letter(letters[-1], "no DKIM-Signature field"),
    )


def _why_not(world: World, letter: Judged, result: DkimResult) -> Verdict:
    domain, name = own_domain(world), f"{result.selector}._domainkey.{result.domain}"
    evidence = _evidence(world, letter, result)
    if result.result == "pass":
        relation = "lies below" if is_at_or_below(result.domain, domain) else "is not"
        return hint(
            f"The signature is good, and it is that of {result.domain}: d= {relation} your domain "
            f"{domain}. Whoever "
            "signs vouches by that name (dkim_domain).",
            *evidence,
        )
    records = texts_at(world, name)
    if not records:
        return _no_key_there(world, letter, result, name)
    if "from" not in result.signed_fields:
        return hint(
            "From: is not among the signed fields (h=): such a signature counts for nothing (RFC 6376 "
            "§5.4). Look at "
            "dkim_sign_headers: whoever sets it has to name all of them.",
            *evidence,
        )
    try:
        public_key(parse_key_record(records[0]))
    except (KeyRecordError, ValueError) as wrong:
        return hint(
            f"The record at {name} cannot be used: {wrong}. A string of a TXT record has at most 255 "
            f"octets, and a long "
            "key is cut into several that are joined without anything between. Is a part lost, or doubled?",
            *evidence,
        )
    if _fits_now(world, letter):
        return hint(
            f"The record fits by now, but when the letter came the provider saw another answer. "
            f"{AFTER_A_WHILE}",
            *evidence,
        )
    if result.result == "permerror":
        return hint(f"The signature cannot be used: {result.reason}. {AFTER_A_WHILE}", *evidence)
    return hint(
        f"There is a key at {name}, and it is not the other half of the one that signed: {result.reason}. "
        f"Was a new pair "
        f"made after the record was published? {AFTER_A_WHILE}",
        *evidence,
    )


def _fits_now(world: World, letter: Judged) -> bool:
    """Whether the signature of that letter would pass with what is served now."""
    for message in world.provider.inbox("carol") + world.provider.spam("carol"):
        if (message.first("Message-ID") or "") == letter.message_id:
            results = verify_dkim(bytes(message), lookup_in(world), world.now())
            return any(each.result == "pass" for each in results)
    return False


def _no_key_there(world: World, letter: Judged, result: DkimResult, name: str) -> Verdict:
    seen = seen_letter(letter, f"dkim={result.result}: {result.reason}")
    if result.domain != own_domain(world):
        return hint(
            f"The signature says d={result.domain}, so receivers look for the key at {name}, and nothing is "
            f"there. Is that the domain that is to vouch for mail From: {own_domain(world)} (dkim_domain)?",
            seen,
        )
    others = [each for each in _key_records(world) if each != name]
    if not others:
        return hint(f"There is no record at {name}: the key is not published.", seen)
    other = others[0]
    if other.endswith(f"._domainkey.{own_domain(world)}"):
        return hint(
            f"Your host signs with the selector {result.selector!r}, so receivers look at {name}. Nothing "
            f"is there; a "
            f"record stands at {other}. The two selectors must be the same word.",
            seen,
            *seen_texts(world, other),
        )
    return hint(
        f"Receivers look for the key at {name}, and nothing is there. A record stands at {other}. What "
        f"does the origin of "
        "the zone make of the name in your line?",
        seen,
        *seen_texts(world, other),
    )


def _key_records(world: World) -> list[str]:
    """Names in the student's zone at which a DKIM key, or what was meant for one, stands."""
    return names_with(world, "v=dkim1", "p=mi")
