"""An exercise of notebook 06: the student's host offers TLS on 25, 465 and 587, with a certificate that is believed.

WHAT       `await probe_offer(world)` reloads the host and calls all three ports from Ann's desk, and 25 from
           the
           partner's host. `offer tls` judges what these clients met.
DECIDES    first what keeps mail out, then what keeps TLS out, then what keeps trust out.
STANDARDS  RFC 3207; RFC 8314 §3.3; RFC 5280; RFC 9525
READ NEXT  tls_submission.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.reader import ConfigurationError
from labkit.lab.handshakes import Checked
from labkit.lab.port_calls import BANNER, BROKEN, ENCRYPTED, REFUSED, SILENT, Called, call
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.tls_calls import seen
from labkit.teach.tasks.tls_ready import is_first

PORTS = (25, 465, 587)


@dataclass(frozen=True, slots=True)
class ProbedOffer:
    """`problem`: why the configuration was not taken."""

    world: World
    touched: bool
    problem: str = ""
    calls: tuple[Called, ...] = ()

    def at(self, port: int) -> Called:
        """From Ann's desk."""
        return next(each for each in self.calls if each.port == port)


async def reloaded(world: World) -> str:
    """`kill -HUP`; what the host has against its configuration, "" if it has taken it."""
    try:
        await world.mine.reload()
    except ConfigurationError as problem:
        return str(problem)
    return ""


async def probe_offer(world: World) -> ProbedOffer:
    """Reload, and call."""
    if is_first(world.mine):
        return ProbedOffer(world, False)
    if problem := await reloaded(world):
        return ProbedOffer(world, True, problem)
    calls = [await call(world, world.laptop, port) for port in PORTS]
    calls.append(await call(world, world.partner, 25))
    return ProbedOffer(world, True, "", tuple(calls))


@exercise("offer tls", "Your host offers TLS on 25, 465 and 587, with a certificate that clients believe")
def offer_tls(probed: ProbedOffer) -> Verdict:
    """Judge what the clients met."""
    if not isinstance(probed, ProbedOffer):
        return todo('Let it be tried: check("offer tls", await probe_offer(world)).')
    if not probed.touched:
        return todo(
            "exim.conf is as it was: no line of it speaks of TLS. Write yours, and run this cell again."
        )
    if probed.problem:
        return _too_low(probed) or bad_configuration(probed.world, probed.problem)
    return _who_listens(probed) or _who_encrypts(probed) or _who_is_believed(probed) or _good(probed)


def _too_low(probed: ProbedOffer) -> Verdict | None:
    """Options of the main section below the first `begin`."""
    low = probed.world.mine.configuration.partition("\nbegin ")[2]
    if not re.search(
        r"^\s*(?:tls_(?:advertise|certificate|privatekey|on_connect)|daemon_smtp)\w*\s*=", low, re.M
    ):
        return None
    seen = Seen(probed.world.now(), probed.world.mine.name, " ".join(probed.problem.split())[:300])
    return hint(
        "Your host goes on with the old configuration: it cannot use the new one. Lines of yours stand below the "
        "first `begin`, and are read as lines of that section. Where does the main section end?",
        seen,
    )


def bad_configuration(world: World, problem: str) -> Verdict:
    """The host has kept its old configuration, and says why."""
    seen = Seen(world.now(), world.mine.name, " ".join(problem.split())[:300])
    kept = "Your host goes on with the old configuration: it cannot use the new one."
    if "does not belong" in problem:
        return hint(
            f"{kept} The key and the certificate are no pair: a certificate holds the public half of one "
            "key, and "
            "only that key's private half can be used with it. Which key was the request made with?",
            seen,
        )
    if "read by" in problem:
        return hint(
            f"{kept} Everybody on the machine may read the private key. Who has the key *is* the server: it "
            "is for "
            "its owner alone (ls -l, chmod).",
            seen,
        )
    if "expired" in problem or "not yet valid" in problem:
        return hint(
            f"{kept} The certificate's time is not now. No client believes it; have a new one signed, the "
            "key may "
            "stay.",
            seen,
        )
    if "cannot be read" in problem or "holds no" in problem or "no tls_certificate" in problem:
        return hint(
            f"{kept} It does not find what it needs: the certificate in the file of tls_certificate, and "
            "the private "
            "key in the file of tls_privatekey. Which files have you written?",
            seen,
        )
    return hint(f"{kept} Read what it says, and in which line.", seen)


def _who_listens(probed: ProbedOffer) -> Verdict | None:
    world, configuration = probed.world, probed.world.mine.configuration
    if not world.mine.is_running:
        return hint("Your host is down: await world.mine.start().")
    if probed.at(25).outcome == REFUSED:
        return hint(
            "Nobody listens at port 25 any more: the whole world has lost the way to your users. "
            "daemon_smtp_ports is "
            "the whole list of ports, not what comes on top of 25.",
            seen(probed.at(25), world),
        )
    missing = [port for port in (465, 587) if probed.at(port).outcome == REFUSED]
    if 465 in missing and "tls_on_connect_ports" in configuration:
        return hint(
            "Nobody listens at port 465. tls_on_connect_ports says in which manner a port is served; it "
            "opens none. "
            "Which option says where the daemon listens?",
            seen(probed.at(465), world),
        )
    if missing:
        return hint(
            f"Nobody listens at port {' and '.join(map(str, missing))}. Which option says where the daemon "
            "listens?",
            seen(probed.at(missing[0]), world),
        )
    return None


def _who_encrypts(probed: ProbedOffer) -> Verdict | None:
    world = probed.world
    implicit = probed.at(465)
    if implicit.outcome == BANNER:
        return hint(
            "Somebody listens at 465 and greets in the clear. A client of that port begins with TLS at "
            "once, so both "
            "talk past each other: it hangs up, or waits. Which option names the ports where TLS comes "
            "before the "
            "banner?",
            seen(implicit, world),
        )
    for port in (25, 587):
        if probed.at(port).outcome == SILENT:
            return hint(
                f"At port {port} a client hears nothing: there is no banner. There TLS is expected first, "
                "as on 465, "
                f"and no client of {port} begins so: it hangs until its patience ends.",
                seen(probed.at(port), world),
            )
    for called in (probed.at(25), probed.at(587), probed.calls[-1]):
        if called.outcome not in (ENCRYPTED, BROKEN):
            return _not_offered(probed, called)
    broken = [each for each in probed.calls if each.outcome == BROKEN]
    if broken:
        return hint(
            "TLS is offered, and the handshake fails. Your host's log says why: print(world.mine.log()).",
            seen(broken[0], world),
        )
    return None


def _not_offered(probed: ProbedOffer, called: Called) -> Verdict:
    evidence = seen(called, probed.world)
    others = [each for each in probed.calls if each.port != 465 and each.outcome == ENCRYPTED]
    if others:
        return hint(
            f"STARTTLS is offered to some and not to {called.caller} at port {called.port}. Encryption is "
            "for "
            "everybody who calls: whom does tls_advertise_hosts name?",
            evidence,
            seen(others[0], probed.world),
        )
    return hint(
        "STARTTLS is offered to nobody. tls_advertise_hosts is the list of "
        "those to whom it "
        "is offered: an empty list is nobody, and without the line it is everybody.",
        evidence,
    )


def _who_is_believed(probed: ProbedOffer) -> Verdict | None:
    for called in probed.calls:
        if called.checked is not None and not called.checked.is_good:
            return _not_believed(probed.world, called, called.checked)
    return None


def _not_believed(world: World, called: Called, checked: Checked) -> Verdict:
    seen = Seen(world.now(), called.caller, f"port {called.port}: {checked.reason}"[:200])
    reason = checked.reason
    if "signed itself" in reason and not re.search(
        r"^\s*tls_certificate\s*=", world.mine.configuration, re.M
    ):
        return hint(
            "You have named no certificate, so your host has made one itself at its start, and vouches for "
            "itself. Clients that check do not believe it. Which option names the file of yours?",
            seen,
        )
    if "signed itself" in reason:
        return hint(
            "It works: everything is encrypted, and who only listens learns nothing. But with whom? The "
            "certificate has signed itself, and Mallory can make one with the same name in a second. A client that "
            "checks does not believe it; one that does not check is lost anyway. Who signs for you?",
            seen,
        )
    if "expired" in reason or "not yet" in reason or "over" in reason:
        return hint(
            "The certificate is not valid today. Clients that check say no from one second to the next.", seen
        )
    if "another name" in reason or "name" in reason:
        return hint(
            f"A good certificate, for another name. Your MX record and your users say {world.mine.name}: "
            "that name must "
            "stand in it, as subjectAltName.",
            seen,
        )
    return hint("Clients do not believe the certificate. The check says why, step by step.", seen)


def _good(probed: ProbedOffer) -> Verdict:
    return done(
        "All three ports are encrypted for who wants it, and a client that checks knows that it talks to "
        "your host.",
        [seen(each, probed.world) for each in probed.calls[:3]],
    )
