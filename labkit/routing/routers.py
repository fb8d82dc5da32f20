"""The front door: routers compiled once, then asked about addresses.

WHAT       `compile_routers(configuration)` gives Routers. `.route` is for delivery and tests, `.route_all` for all
           recipients of a message, `.verify` answers VerifyRecipient and VerifySender, `.tester` is exim -bt and -bv.
RULES      everything asks; the Env that is given is never changed.
STANDARDS  Exim specification, chapters "Generic options for routers" and those of the four routers
READ NEXT  way.py, compile.py, walk.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.eximconf.configuration import Configuration, Driver
from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.questions import Verification, VerifyRecipient, VerifySender
from labkit.routing.accept import make_accept
from labkit.routing.addresses_tested import AddressTester
from labkit.routing.compile import LOCAL_DRIVERS, DriverMaker, Router, Transports, compile_all
from labkit.routing.dnslookup import make_dnslookup
from labkit.routing.family import route_recipients, routes_of
from labkit.routing.manualroute import make_manualroute
from labkit.routing.mx import NextHop
from labkit.routing.redirect import make_redirect
from labkit.routing.route import Route, Routed, RouteOutcome
from labkit.routing.trace import RouterStep, Trace
from labkit.routing.verify import Verifier, qualify, verify
from labkit.routing.way import Mode, Said

MAKERS: Mapping[str, DriverMaker] = {
    "accept": make_accept,
    "dnslookup": make_dnslookup,
    "manualroute": make_manualroute,
    "redirect": make_redirect,
}
_VERIFYING = (Mode.VERIFY_RECIPIENT, Mode.VERIFY_SENDER)


@dataclass(frozen=True, slots=True)
class Routers:
    """The routers of a configuration, ready to run."""

    routers: tuple[Router, ...]
    transports: Transports
    verifier: Verifier

    @property
    def first(self) -> Router | None:
        return self.routers[0] if self.routers else None

    def route(
        self, address: Mailbox | str, env: Env, *, mode: Mode = Mode.DELIVERY, watched: bool = False
    ) -> Asking[Routed]:
        """Where mail for this address goes. With `watched`, the Routed has a trace."""
        text = qualify(str(address), env, is_recipient=True)
        trace = Trace() if watched else None
        if mode in _VERIFYING:
            return (yield from self._verified(text, env, mode, trace))
        if mode is Mode.DELIVERY:
            (routed,) = yield from route_recipients(
                self.first, [text], env, self.verifier.errors_address, trace
            )
            return routed
        tester = self.tester(env, mode, is_full=True, trace=trace)
        walk = yield from tester.walk_fully(text)
        return Routed(text, tuple(route for _, route in routes_of(walk)), tuple(walk.remarks), trace)

    def route_all(
        self, addresses: Sequence[Mailbox | str], env: Env, *, watched: bool = False
    ) -> Asking[tuple[Routed, ...]]:
        """The same for all recipients of a message: each is routed, and what comes to the same is marked."""
        texts = [qualify(str(address), env, is_recipient=True) for address in addresses]
        trace = Trace() if watched else None
        return (yield from route_recipients(self.first, texts, env, self.verifier.errors_address, trace))

    def _verified(self, text: str, env: Env, mode: Mode, trace: Trace | None) -> Asking[Routed]:
        found = yield from self.verifier.verify_address(text, env, mode, trace=trace)
        if found.said is not Said.OK:
            found.walk.done.append((found.address, found.said))
        return Routed(
            text, tuple(route for _, route in routes_of(found.walk)), tuple(found.walk.remarks), trace
        )

    def verify(
        self, question: VerifyRecipient | VerifySender, env: Env, *, watched: bool = False
    ) -> Asking[Verification]:
        """Answer the question of an ACL."""
        return verify(self.verifier, question, env, Trace() if watched else None)

    def tester(
        self, env: Env, mode: Mode = Mode.TEST, *, is_full: bool = False, trace: Trace | None = None
    ) -> AddressTester:
        """One run of exim -bt, -bv or -bvs."""
        return AddressTester(self.verifier, self.transports, env, mode, is_full=is_full, trace=trace)


def compile_routers(configuration: Configuration) -> Routers:
    """Compile the routers of a configuration. Raises ConfigurationError."""
    transports: Mapping[str, Driver] = configuration.transports
    known = {name: driver.driver in LOCAL_DRIVERS for name, driver in transports.items()}
    routers = compile_all(configuration.routers, configuration.lists, known, MAKERS)
    first = routers[0] if routers else None
    return Routers(routers, known, Verifier(first, transports))


__all__ = [
    "Mode",
    "NextHop",
    "Route",
    "RouteOutcome",
    "Routed",
    "RouterStep",
    "Routers",
    "Trace",
    "compile_routers",
]
