"""The manualroute router: the configuration says which hosts take mail for a domain.

WHAT       route_list has rules (`a.test  mx1.test:mx2.test  byname`), parted by semicolons; route_data has the hosts
           and options of one rule, and is expanded.
STANDARDS  Exim specification, chapter "The manualroute router"
LIKE EXIM  options and transports of a rule may be shortened; a local transport gets the list of hosts as $host
READ NEXT  host_list.py, redirect.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Compiled, ForcedFailure, Value, compile_text
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.lists import ListKind, Match, NamedLists, PatternList, compile_list
from labkit.eximconf.quoting import first_word
from labkit.mail.asking import Asking
from labkit.routing.compile import Router, Transports
from labkit.routing.host_list import HowToFind, find_hosts, read_hosts
from labkit.routing.taking import extras, queue, transport_of
from labkit.routing.texts import expanded
from labkit.routing.way import Address, Said, Walk

FIND_FAILED = ("ignore", "decline", "defer", "fail", "freeze", "pass")
_OPTIONS = ("randomize", "no_randomize", "byname", "bydns", "ipv4_prefer", "ipv4_only")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of route_list. `hosts` is expanded when the rule is used."""

    domains: PatternList
    hosts: Compiled
    options: str


def make_manualroute(router: Router, named: NamedLists, transports: Transports | None) -> None:
    """Give the router what it does. Raises ConfigurationError."""
    router.run = _Manualroute(router, named, transports).run


class _Manualroute:
    def __init__(self, router: Router, named: NamedLists, transports: Transports | None) -> None:
        self.router = router
        self.transports = transports
        options = router.options
        self.if_failed = options.text("host_find_failed") or ""
        self.if_ignored = options.text("host_all_ignored") or ""
        for name, value, known in (
            ("host_find_failed", self.if_failed, FIND_FAILED),
            ("host_all_ignored", self.if_ignored, FIND_FAILED[1:]),
        ):
            if value not in known:
                problem = f"unrecognized setting for {name} option: {value}"
                raise router.wrong(problem, f"one of: {', '.join(known)}")
        self.data = options.expansion("route_data")
        rules = options.text("route_list")
        if (rules is None) == (self.data is None):
            problem = "route_list or route_data (but not both) must be specified"
            raise router.wrong(problem, "write one of the two")
        self.rules = () if rules is None else tuple(self._rules(rules, named))

    def _rules(self, text: str, named: NamedLists) -> list[Rule]:
        rules = []
        for item in split_list(text, ";"):
            if item:
                domain, rest = first_word(item)
                hosts, options = first_word(rest)
                single = domain.replace(":", "::")  # one pattern, not a list
                patterns = compile_list(ListKind.DOMAIN, single, self.router.place, named)
                rules.append(Rule(patterns, compile_text(hosts, self.router.place), options))
        return rules

    def run(self, walk: Walk, address: Address) -> Asking[Said]:
        chosen = yield from self._choose(walk, address)
        if isinstance(chosen, Said):
            return chosen
        hosts, options = chosen
        outcome = yield from expanded(hosts, walk.env)
        walk.env.numbers, walk.env.value = (), ""
        if isinstance(outcome, ForcedFailure):
            return Said.DECLINE
        if not isinstance(outcome, Value):
            words = f'{self.router.name} router: failed to expand "{hosts.text}": {outcome.message}'
            address.message = words
            return Said.DEFER
        return (yield from self._route(walk, address, str(outcome.text), options))

    def _choose(self, walk: Walk, address: Address) -> Asking[tuple[Compiled, str] | Said]:
        """The hosts and the options of the rule that counts."""
        if self.data is not None:
            return (yield from self._from_data(self.data, walk, address))
        for rule in self.rules:
            match = yield from rule.domains.asking(address.domain, walk.env)
            if not isinstance(match, Match):
                address.message = "lookup defer in route_list"
                return Said.DEFER
            if match.found:
                walk.env.value = match.data
                walk.env.numbers = match.numbers or walk.env.numbers
                return rule.hosts, rule.options
        return Said.DECLINE

    def _from_data(self, data: Compiled, walk: Walk, address: Address) -> Asking[tuple[Compiled, str] | Said]:
        outcome = yield from expanded(data, walk.env)
        if isinstance(outcome, ForcedFailure):
            return Said.DECLINE
        if not isinstance(outcome, Value):
            address.message = f'failed to expand "{data.text}": {outcome.message}'
            return Said.DEFER
        hosts, options = first_word(str(outcome.text))
        if not hosts:
            return Said.DECLINE
        return compile_text(hosts, self.router.place), options  # Exim expands it once more

    def _route(self, walk: Walk, address: Address, hosts: str, options: str) -> Asking[Said]:
        router = self.router
        read = self._read_options(options, address)
        if read is None:
            return Said.DEFER
        own_transport, how = read
        found = yield from extras(walk, router, address)
        if found is None:
            return Said.DEFER
        found.give_to(address.carried)
        transport: str | bool = own_transport or True
        if own_transport is None:
            transport = yield from transport_of(router.transport, walk, router, address)
        if transport is False:
            return Said.DEFER
        name = transport if isinstance(transport, str) else None
        if name is not None and (self.transports or {}).get(name):
            address.host_text = hosts or None
            return queue(walk, router, address, name)
        if not hosts:
            if walk.mode.is_verification:
                return queue(walk, router, address, name)
            domain = address.domain
            address.message = f"error in {router.name} router: no host(s) specified for domain {domain}"
            return Said.DEFER
        said = yield from find_hosts(walk, router, address, read_hosts(hosts), how)
        if said is not None:
            return said
        if not address.hosts:
            return self._all_ignored(address)
        if name is None and not walk.mode.is_verification:
            address.message = "error in router: transport missing"
            return Said.DEFER
        return queue(walk, router, address, name)

    def _read_options(self, options: str, address: Address) -> tuple[str | None, HowToFind] | None:
        """A transport that the rule names, and how hosts are found. None: a word is wrong."""
        transport = None
        is_strict = by_name = False
        while options:
            word = options.split(None, 1)[0]
            known = next((each for each in _OPTIONS if each.startswith(word)), None)
            if known is None:
                transport = next((each for each in self.transports or {} if each.startswith(word)), None)
                if transport is None:
                    problem = f'unknown routing option or transport name "{options}"'
                    address.message = f"error in router: {problem}"
                    return None
            is_strict = known == "bydns" or (is_strict and known != "byname")
            by_name = known == "byname" or (by_name and known != "bydns")
            options = options[len(word) :].lstrip(BLANKS)
        return transport, HowToFind(self.if_failed, is_strict, by_name)

    def _all_ignored(self, address: Address) -> Said:
        word = self.if_ignored
        if word in ("decline", "pass"):
            return Said.DECLINE if word == "decline" else Said.PASS
        address.message = (
            f"lookup failed for all hosts in {self.router.name} router: "
            f"host_find_failed=ignore host_all_ignored={word}"
        )
        address.freezes = word == "freeze"
        return Said.FAIL if word == "fail" else Said.DEFER
