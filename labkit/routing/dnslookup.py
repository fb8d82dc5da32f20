"""The dnslookup router: the DNS says which hosts take mail for the domain.

DECIDES    what each outcome of the look-up means: a way, a decline (sometimes with last words), later, ourselves.
STANDARDS  Exim specification, chapter "The dnslookup router"; RFC 5321 §5.1
LIKE EXIM  hosts whose addresses are all ignored are as if they did not exist
SIMPLER    the lab's resolver adds no domain to a name and searches none: only widen_domains lengthens names
READ NEXT  mx.py, manualroute.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import ForcedFailure, Value
from labkit.eximconf.expansion.hosts import is_ip
from labkit.eximconf.lists import Match, NamedLists, PatternList
from labkit.mail.asking import Asking
from labkit.routing.compile import Router, Transports
from labkit.routing.mx import Exchangers, Ignored, Manner, MxOutcome, Tolerated, exchangers_of, is_name
from labkit.routing.self_action import act_on_self, change_domain
from labkit.routing.taking import take
from labkit.routing.texts import expanded
from labkit.routing.way import Address, Mode, Said, Walk

NO_SERVICE = "an MX or SRV record indicated no SMTP service"
DEFER_REQUESTED = "missing MX, or all MXs point to missing A records, and defer requested"
IP_IN_MX = """\
It appears that the DNS operator for {domain}
has installed an invalid MX record with an IP address
instead of a domain name on the right hand side."""


def make_dnslookup(router: Router, named: NamedLists, transports: Transports | None) -> None:
    """Give the router what it does. Raises ConfigurationError."""
    looker = _Dnslookup(router)
    router.run = looker.run


def ignoring(patterns: PatternList | None, walk: Walk) -> Ignored | None:
    """The test of ignore_target_hosts, if there is something to test."""
    if patterns is None:
        return None
    ignored = patterns

    def test(host: str, address: str) -> Asking[bool]:
        return (yield from ignored.contains(address, walk.env, name=host))

    return test


def dnssec(router: Router, name: str, walk: Walk) -> Asking[tuple[bool, bool]]:
    """Whether what is found must be signed for this name, and whether it matters."""
    required, requested = router.requires_dnssec, router.requests_dnssec
    needs = required is not None and (yield from required.contains(name, walk.env))
    asks = needs or (requested is not None and (yield from requested.contains(name, walk.env)))
    return needs, asks


class _Dnslookup:
    def __init__(self, router: Router) -> None:
        self.router = router
        options = router.options
        self.needs_mx = options.patterns("mx_domains")
        self.may_lack_mx = options.patterns("mx_fail_domains")
        self.may_lack_srv = options.patterns("srv_fail_domains")
        self.defers_for = options.patterns("fail_defer_domains")
        self.only_as_secondary = options.flag("check_secondary_mx")
        self.service = options.expansion("check_srv")
        self.wider = options.texts("widen_domains")
        self.rewrites = options.flag("rewrite_headers")

    def run(self, walk: Walk, address: Address) -> Asking[Said]:
        service = yield from self._service(walk, address)
        if service is None:
            return Said.DEFER
        names = [address.domain]
        if walk.mode is not Mode.VERIFY_SENDER or not self.rewrites or address.parent is not None:
            names += [f"{address.domain}.{wider}" for wider in self.wider]
        for name in names:
            said = yield from self._try(walk, address, name, service)
            if said is not None:
                return said
        return Said.DECLINE

    def _service(self, walk: Walk, address: Address) -> Asking[str | None]:
        """check_srv. None: it cannot be said."""
        if self.service is None:
            return ""
        outcome = yield from expanded(self.service, walk.env)
        if isinstance(outcome, Value):
            return str(outcome.text)
        if isinstance(outcome, ForcedFailure):
            return ""
        text = self.service.text
        address.message = f'{self.router.name} router: failed to expand "{text}": {outcome.message}'
        return None

    def _try(self, walk: Walk, address: Address, name: str, service: str) -> Asking[Said | None]:
        """Look one name up. None: it is not this one."""
        found = yield from self._look(walk, name, service)
        if walk.trace is not None:
            walk.trace.explain(found.steps)
        outcome = found.outcome
        address.local_host_removed = found.left_ourselves_out
        has_no_mx = bool(found.hosts) and found.hosts[0].preference is None
        if has_no_mx and outcome in (MxOutcome.FOUND, MxOutcome.OUR_ADDRESS) and self.needs_mx is not None:
            match = yield from self.needs_mx.asking(name, walk.env)
            if not isinstance(match, Match):
                address.message = "lookup defer for mx_domains"
                return Said.DEFER
            if match.found:
                return None
        if outcome is MxOutcome.TRY_LATER and self.router.pass_on_timeout:
            return Said.PASS
        if outcome in (MxOutcome.TRY_LATER, MxOutcome.INSECURE):
            address.message = outcome.value
            return Said.DEFER
        if outcome in (MxOutcome.NO_SUCH_DOMAIN, MxOutcome.NULL_MX, MxOutcome.NO_ADDRESSES):
            return (yield from self._nothing(walk, address, name, found))
        if name != address.domain:
            change_domain(walk, address, name)
            return Said.REROUTED
        if outcome in (MxOutcome.OURSELVES, MxOutcome.OUR_ADDRESS):
            said = act_on_self(self.router.self_action, walk, address, found.hosts[0])
            if said is not None:
                return said
        elif self.only_as_secondary and not address.local_host_removed:
            return Said.DECLINE
        address.hosts = found.hosts
        return (yield from take(walk, self.router, address))

    def _look(self, walk: Walk, name: str, service: str) -> Asking[Exchangers]:
        def test(patterns: PatternList) -> Tolerated:
            return lambda: patterns.contains(name, walk.env)

        needs, asks = yield from dnssec(self.router, name, walk)
        manner = Manner(
            ignoring(self.router.ignored, walk),
            needs_dnssec=needs,
            asks_dnssec=asks,
            service=service,
            tolerates=None if self.may_lack_mx is None else test(self.may_lack_mx),
            tolerates_srv=None if self.may_lack_srv is None else test(self.may_lack_srv),
        )
        return (yield from exchangers_of(name, manner))

    def _nothing(self, walk: Walk, address: Address, name: str, found: Exchangers) -> Asking[Said | None]:
        """No host. Some reasons are last words, if no other router takes the address. None: try the next name."""
        if self.defers_for is not None:
            match = yield from self.defers_for.asking(name, walk.env)
            if not isinstance(match, Match):
                address.message = "lookup defer for fail_defer_domains option"
                return Said.DEFER
            if match.found:
                address.message = DEFER_REQUESTED
                return Said.DEFER
        if found.outcome is MxOutcome.NULL_MX:
            address.may_tell, address.message = True, NO_SERVICE
        elif found.outcome is MxOutcome.NO_ADDRESSES:
            address.may_tell, address.message = True, MxOutcome.NO_ADDRESSES.value
            if found.hosts and is_ip(found.hosts[0].host):
                address.user_message = IP_IN_MX.format(domain=address.domain)
                address.message += " or (invalidly) to IP addresses"
        elif not is_name(name):
            address.message = f'mail domain "{name}" is syntactically invalid'
        else:
            return None
        return Said.DECLINE
