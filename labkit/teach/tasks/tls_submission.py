"""An exercise of notebook 06: submission refuses plain text, and port 25 still takes mail from everybody.

WHAT       `await probe_submission(world)` reloads the student's host and plays its callers: Ann at 587 and
           465, in the
           clear, encrypted, and logged in; the partner's host and a stranger at 25. `force tls` judges the
           replies.
DECIDES    what hurts most comes first: an open relay, then mail from outside that is kept out, then Ann
           locked out,
           then plain text that is still taken.
STANDARDS  RFC 3207 §4 (530; a public server must not require TLS); RFC 8314 §3.3; RFC 4954 §4
READ NEXT  tls_client.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.lab.port_calls import AS_ANN, BROKEN, CLEAR, ENCRYPTED, GUESSING, REFUSED, SILENT, Called, call
from labkit.lab.world import World
from labkit.teach.checks import Verdict, done, exercise, hint, todo
from labkit.teach.tasks.tls_calls import seen
from labkit.teach.tasks.tls_offer import bad_configuration, reloaded
from labkit.teach.tasks.tls_ready import first_configuration, is_as, knowing_users, offering

CAROL = "carol@bigmail.test"
MUST_FIRST = 530


@dataclass(frozen=True, slots=True)
class ProbedSubmission:
    """The calls by what they try; `problem`: why the configuration was not taken."""

    world: World
    touched: bool
    problem: str = ""
    plain: tuple[Called, ...] = ()  # Ann at 587 in the clear
    unknown: tuple[
        Called, ...
    ] = ()  # somebody inside TLS who has not logged in, and wants mail carried: 587, 465, 25
    known: tuple[Called, ...] = ()  # Ann, logged in: 587, 465
    guessed: tuple[Called, ...] = ()  # somebody with a wrong password at 587
    public: tuple[
        Called, ...
    ] = ()  # at 25: the partner's host in the clear, then by TLS; another in the clear
    stranger: tuple[Called, ...] = ()  # the same, with mail for others, in the clear


async def probe_submission(world: World) -> ProbedSubmission:
    """Reload, and call."""
    if is_as(world.mine, knowing_users(offering(first_configuration(world.mine)))):
        return ProbedSubmission(world, False)
    if problem := await reloaded(world):
        return ProbedSubmission(world, True, problem)
    ann, bob = world.laptop, world.partner
    own, theirs = world.laptop.owner, world.partner_laptop.owner
    submits = (f"MAIL FROM:<{own}>", f"RCPT TO:<{CAROL}>")
    relays = (f"MAIL FROM:<{theirs}>", f"RCPT TO:<{CAROL}>")
    brings = (f"MAIL FROM:<{theirs}>", f"RCPT TO:<{own}>")
    return ProbedSubmission(
        world,
        True,
        "",
        (await call(world, ann, 587, *submits, encrypts=False),),
        tuple([await call(world, bob, port, *relays) for port in (587, 465, 25)]),
        tuple([await call(world, ann, port, AS_ANN, *submits) for port in (587, 465)]),
        (await call(world, bob, 587, GUESSING, *relays),),
        (
            await call(world, bob, 25, *brings, encrypts=False),
            await call(world, bob, 25, *brings),
            await call(world, world.partner_laptop, 25, *brings, encrypts=False),
        ),
        (await call(world, bob, 25, *relays, encrypts=False),),
    )


@exercise("force tls", "Submission refuses plain text with 530, and port 25 takes mail as before")
def force_tls(probed: ProbedSubmission) -> Verdict:
    """Judge the replies."""
    if not isinstance(probed, ProbedSubmission):
        return todo('Let it be tried: check("force tls", await probe_submission(world)).')
    if not probed.touched:
        return todo(
            "exim.conf is the one above: MAIL is taken in the clear at every port. Write your changes, and "
            "run this "
            "cell again."
        )
    if probed.problem:
        return bad_configuration(probed.world, probed.problem)
    if not probed.world.mine.is_running:
        return hint("Your host is down: await world.mine.start().")
    return (
        _carries_for_all(probed)
        or _keeps_out(probed)
        or _locks_out(probed)
        or _takes_plain(probed)
        or _good(probed)
    )


def _carries_for_all(probed: ProbedSubmission) -> Verdict | None:
    world = probed.world
    for called in probed.stranger:
        if called.code("RCPT") == 250:
            return hint(
                "An open relay: a stranger at port 25 may hand in mail for anybody. That is how a host "
                "comes on every "
                "block list. Which accept in which ACL lets him through?",
                seen(called, world),
            )
    for called in probed.unknown:
        if called.code("RCPT") == 250:
            return hint(
                f"An open relay inside TLS: at port {called.port} somebody has encrypted, has told no "
                "password, and may "
                "hand in mail for anybody. Encryption hides what is said; it does not say who is there. "
                "Which condition "
                "is about who?",
                seen(called, world),
            )
    for called in probed.guessed:
        if called.code("AUTH") == 235:
            return hint(
                "Somebody has logged in as Ann with a wrong password, and may hand in mail for anybody. Ann's "
                "password is compared in the authenticator's server_condition: what does it say now?",
                seen(called, world),
            )
    return None


def _keeps_out(probed: ProbedSubmission) -> Verdict | None:
    """Port 25, where the world brings mail for Ann."""
    world, (plain, encrypted, other) = probed.world, probed.public
    if plain.outcome in (REFUSED, SILENT):
        return hint(
            "Nobody at port 25 talks to your partner's host: mail for Ann cannot come.", seen(plain, world)
        )
    if plain.code("RCPT") == 250 and encrypted.outcome == CLEAR:
        return hint(
            "At port 25 your partner's host would encrypt, and STARTTLS is not offered there any more: now everybody "
            "on the way reads the letters that were encrypted before. Whom does tls_advertise_hosts name?",
            seen(encrypted, world),
        )
    if plain.code("RCPT") == 250 and encrypted.code("RCPT") == 250 and other.code("RCPT") == 250:
        return None
    if plain.code("RCPT") == 250 and encrypted.code("RCPT") == 250:
        return hint(
            "At port 25 your partner's host may bring a letter for Ann in the clear, and another machine may "
            "not. Port 25 is for the whole world: you do not know beforehand who has a letter for your users.",
            seen(other, world),
        )
    if implicit := _no_accept(plain, encrypted, world):
        return implicit
    if plain.code("RCPT") != 250 and encrypted.code("RCPT") == 250:
        return hint(
            "Your partner's host came to port 25 without TLS, with a letter for Ann, and was refused. A "
            "public MX must "
            "not ask for TLS (RFC 3207 §4): who cannot encrypt could never write to your users. The rule is "
            "for "
            "submission; which port has a session come in by?",
            seen(plain, world),
        )
    return hint(
        "At port 25 your partner's host cannot hand in a letter for Ann, with TLS or without. That port "
        "must take mail "
        "for your users from everybody, and nobody there has a password at your host.",
        seen(encrypted, world),
    )


def _no_accept(plain: Called, encrypted: Called, world: World) -> Verdict | None:
    """MAIL is answered by an ACL that has come to its end, or cannot be asked."""
    answers = {
        (code, words) for each in (plain, encrypted) for line, code, words in each.said if line[:4] == "MAIL"
    }
    if len(answers) != 1:
        return None
    ((code, words),) = answers
    if code == 550 and words == "Administrative prohibition":
        return hint(
            "Everybody who says MAIL at port 25 is refused, and nobody has written that message: an ACL that "
            "comes to its end without an accept refuses. What does yours say to those whom no line has met?",
            seen(plain, world),
        )
    if code // 100 == 4:
        return hint(
            "MAIL cannot be decided: your host asks an ACL that is not there, or cannot work out a condition. "
            "Its log says which: print(world.mine.log()).",
            seen(plain, world),
        )
    return None


def _locks_out(probed: ProbedSubmission) -> Verdict | None:
    world = probed.world
    for called in probed.known:
        if called.outcome == REFUSED:
            return hint(
                f"Nobody listens at port {called.port} any more, and Ann may come by either: to force encryption is "
                "not to close a door.",
                seen(called, world),
            )
        if called.outcome == SILENT:
            return hint(
                f"At port {called.port} Ann hears nothing: there is no banner, because TLS is expected first, as on "
                "465. A client of 587 begins in the clear and asks for TLS by STARTTLS. Which option names the "
                "ports where TLS comes first?",
                seen(called, world),
            )
        if called.outcome == CLEAR and called.said and "STARTTLS" not in called.offers:
            return hint(
                f"Ann comes to port {called.port} and would encrypt, and STARTTLS is not offered to her. Whom does "
                "tls_advertise_hosts name?",
                seen(called, world),
            )
        if called.outcome != ENCRYPTED:
            more = f" ({called.words})" if called.outcome == BROKEN and called.words else ""
            return hint(
                f"Ann comes to port {called.port} and would encrypt, and cannot: she must be able to say "
                "EHLO and "
                f"STARTTLS before anything else is asked of her{more}.",
                seen(called, world),
            )
        if called.code("AUTH") != 235:
            return hint(
                f"Ann is encrypted at port {called.port} and cannot log in: is AUTH still offered inside of "
                "TLS, and to "
                "her?",
                seen(called, world),
            )
        if called.code("MAIL") != 250 or called.code("RCPT") != 250:
            return hint(
                f"Ann has encrypted and logged in at port {called.port}, and is refused all the same. At "
                "which verb, and by whom? Either a condition is too wide (what is true of her that is not true of "
                "whom you want to refuse?), or no line of the ACL accepts her: at its end an ACL refuses.",
                seen(called, world),
            )
    return None


def _takes_plain(probed: ProbedSubmission) -> Verdict | None:
    world, (plain,) = probed.world, probed.plain
    if "AUTH" in plain.offers:
        return hint(
            "AUTH is offered at 587 before there is TLS: a client that believes it tells Ann's password to "
            "everybody on "
            "the way. server_advertise_condition of the authenticator says when it is offered.",
            seen(plain, world),
        )
    code = plain.code("MAIL")
    if code == MUST_FIRST:
        return None
    if code == 250 and plain.code("RCPT") == MUST_FIRST:
        return hint(
            "530 comes at RCPT: MAIL has been taken in the clear, and with it everybody has read who "
            "writes. Which ACL "
            "is asked at MAIL?",
            seen(plain, world),
        )
    if code == 250 and plain.code("RCPT") != 250:
        return hint(
            "MAIL is still taken in the clear at 587. That the letter is refused later protects the "
            "password and nobody's "
            "address: Ann's program has begun to talk. The refusal must come at MAIL: which option of the main "
            "section names the ACL that is asked there?",
            seen(plain, world),
        )
    if code == 250:
        return hint("At 587 all is taken in the clear: MAIL and RCPT.", seen(plain, world))
    if code:
        return hint(
            f"587 refuses MAIL in the clear, with {code}. A mail program reads the number: {_means(code)}. Which "
            "reply says that STARTTLS must come first (RFC 3207 §4)? An ACL's message may begin with a number.",
            seen(plain, world),
        )
    return hint("At 587 a client cannot even say MAIL.", seen(plain, world))


def _means(code: int) -> str:
    """Of another refusal than 530, to who reads nothing else."""
    if code // 100 == 4:
        return f"{code} says that it may try the same again later, and it does, in the clear"
    if code == 550:
        return "550 says that this address or this letter is not wanted, and the letter comes back"
    return f"{code} is not the one that says what to do now, and the letter comes back"


def _good(probed: ProbedSubmission) -> Verdict:
    world = probed.world
    return done(
        "Submission takes nothing in the clear, Ann gets through on both ports, and the world still reaches "
        "port 25.",
        [seen(probed.plain[0], world), seen(probed.known[0], world), seen(probed.public[0], world)],
    )
