"""Routers made ready to run: options read once, preconditions as a row of functions.

WHAT       Router is one router; `compile_all(configuration)` makes all of them, in the order of the file.
RULES      what Exim finds wrong when it loads a file is a ConfigurationError here; what it finds when it gets there
           (a transport that is not there, a text that cannot be expanded) is found then, too.
STANDARDS  Exim specification, chapter "Generic options for routers"
READ NEXT  preconditions.py, walk.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from labkit.eximconf.configuration import Driver, Options
from labkit.eximconf.expansion import Compiled, compile_text
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.lists import NamedLists, PatternList
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Asking
from labkit.routing.preconditions import Check, checks_of
from labkit.routing.self_action import SelfAction, read_self
from labkit.routing.way import Address, Mode, Said, Walk

LOCAL_DRIVERS = frozenset(("appendfile", "autoreply", "lmtp", "pipe"))

Transports = Mapping[str, bool]  # the name of each, and whether it delivers on this host
Run = Callable[[Walk, Address], Asking[Said]]
RunPlain = Callable[[Walk, Address], Said]


@dataclass(frozen=True, slots=True)
class TransportChoice:
    """Who delivers: `name`, or what `text` expands to. `option` is named when it is missing; None: it may be."""

    option: str | None
    text: Compiled | None
    name: str | None
    transports: Transports | None  # None: nobody knows which there are

    @classmethod
    def read(
        cls, options: Options, name: str, transports: Transports | None, *, is_needed: bool = False
    ) -> TransportChoice:
        text = options.expansion(name)
        constant = text.text if text is not None and "$" not in text.text else None
        return cls(name if is_needed else None, text, constant, transports)

    def is_local(self, name: str | None) -> bool:
        return name is not None and bool((self.transports or {}).get(name, False))


@dataclass(slots=True, eq=False)
class Router:
    """One router. `run` is its driver, `plain` the same where it asks nothing."""

    name: str
    driver: str
    place: Place
    options: Options
    is_absent: Mapping[Mode, str] = field(default_factory=dict)  # modes in which it takes no part, and why
    checks: tuple[Check, ...] = ()
    caseful: bool = False
    repeat_use: bool = True
    prefixes: tuple[str, ...] = ()
    prefix_optional: bool = False
    suffixes: tuple[str, ...] = ()
    suffix_optional: bool = False
    sets: tuple[tuple[str, Compiled, str], ...] = ()  # name, value, and how it was written
    address_data: Compiled | None = None
    errors_to: Compiled | None = None
    headers_add: tuple[Compiled, ...] = ()
    headers_remove: tuple[Compiled, ...] = ()
    more: bool | Compiled = True
    unseen: bool | Compiled = False
    cannot_route_message: Compiled | None = None
    fails: frozenset[Mode] = frozenset()  # modes in which what it takes fails
    transport: TransportChoice | None = None
    transport_home: Compiled | None = None
    self_action: SelfAction = field(default_factory=SelfAction)
    ignored: PatternList | None = None
    requires_dnssec: PatternList | None = None
    requests_dnssec: PatternList | None = None
    pass_on_timeout: bool = False
    copies_routing: bool = False
    check_local_user: bool = False
    has_router_home: bool = False
    next: Router | None = None
    passes_to: Router | None = None
    redirects_to: Router | None = None
    run: Run | None = None
    plain: RunPlain | None = None

    def wrong(self, problem: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(self.place, f"{self.name} router: {problem}", remedy)


DriverMaker = Callable[[Router, NamedLists, "Transports | None"], None]  # it sets `run`


def compile_all(
    drivers: Sequence[Driver],
    named: NamedLists,
    transports: Transports | None,
    makers: Mapping[str, DriverMaker],
) -> tuple[Router, ...]:
    """Compile the routers. Raises ConfigurationError."""
    routers = tuple(_generic(each, named, transports) for each in drivers)
    for router, following in zip(routers, (*routers[1:], None)):
        router.next = following
    for at, router in enumerate(routers):
        router.passes_to = _other(router, "pass_router", routers, routers[at + 1 :])
        router.redirects_to = _other(router, "redirect_router", routers, routers)
        makers[router.driver](router, named, transports)
    return routers


def _generic(driver: Driver, named: NamedLists, transports: Transports | None) -> Router:
    options = driver.options
    router = Router(driver.name, driver.driver, driver.place, options)
    router.is_absent = _absences(options)
    router.checks = checks_of(router.name, options, driver.place)
    router.caseful = options.flag("caseful_local_part")
    router.repeat_use = options.flag("repeat_use") if router.driver == "redirect" else True
    router.prefixes = options.texts("local_part_prefix")
    router.prefix_optional = options.flag("local_part_prefix_optional")
    router.suffixes = options.texts("local_part_suffix")
    router.suffix_optional = options.flag("local_part_suffix_optional")
    router.sets = tuple(_sets(options, driver.place))
    router.address_data = options.expansion("address_data")
    router.errors_to = options.expansion("errors_to")
    router.headers_add = _each(options, "headers_add", "\n", driver.place)
    router.headers_remove = _each(options, "headers_remove", ":", driver.place)
    router.more = options.truth("more")
    router.unseen = options.truth("unseen")
    router.cannot_route_message = options.expansion("cannot_route_message")
    router.fails = _failing(options)
    router.transport = TransportChoice.read(options, "transport", transports)
    router.transport_home = options.expansion("transport_home_directory")
    router.self_action = read_self(router.name, options.text("self") or "freeze", driver.place)
    router.ignored = options.patterns("ignore_target_hosts")
    router.requires_dnssec = options.patterns("dnssec_require_domains")
    router.requests_dnssec = options.patterns("dnssec_request_domains")
    router.pass_on_timeout = options.flag("pass_on_timeout")
    router.copies_routing = bool(options.values.get("same_domain_copy_routing"))
    router.check_local_user = options.flag("check_local_user")
    router.has_router_home = options.has("router_home_directory")
    return router


def _both(options: Options, name: str) -> tuple[bool, bool]:
    """`verify` and `fail_verify` set what is so for recipients and for senders; the last line counts."""
    found = {f"{name}_{of}": options.flag(f"{name}_{of}") for of in ("recipient", "sender")}
    for row, _ in options.written:
        if row.name == name:
            found = dict.fromkeys(found, options.flag(name))
        elif row.name in found:
            found[row.name] = options.flag(row.name)
    return found[f"{name}_recipient"], found[f"{name}_sender"]


def _absences(options: Options) -> Mapping[Mode, str]:
    """Why it takes no part, by mode. The first reason in Exim's order."""
    absent: dict[Mode, str] = {}
    if options.flag("verify_only"):
        absent = dict.fromkeys((Mode.DELIVERY, Mode.TEST, Mode.EXPN), "verify_only is set")
    if not options.flag("address_test"):  # EXPN counts as a test
        for mode in (Mode.TEST, Mode.EXPN):
            absent.setdefault(mode, "address_test is unset")
    recipients, senders = _both(options, "verify")
    for mode, name, is_there in (
        (Mode.VERIFY_SENDER, "verify_sender", senders),
        (Mode.VERIFY_RECIPIENT, "verify_recipient", recipients),
        (Mode.EXPN, "expn", options.flag("expn")),
    ):
        if not is_there:
            absent.setdefault(mode, f"no_{name} is set")
    return absent


def _failing(options: Options) -> frozenset[Mode]:
    modes = (Mode.VERIFY_RECIPIENT, Mode.VERIFY_SENDER)
    return frozenset(mode for mode, fails in zip(modes, _both(options, "fail_verify")) if fails)


def _sets(options: Options, place: Place) -> list[tuple[str, Compiled, str]]:
    """`set` lines. One line may set several variables, with semicolons between them."""
    found: list[tuple[str, Compiled, str]] = []
    for first, value in options.several("set"):
        for written in split_list(f"{first} = {value.text}", ";"):
            name, equals, text = written.partition("=")
            name = name.strip()
            if not equals or not name.startswith("r_") or len(name) < 3:
                problem = f"bad router variable name {name!r}"
                raise ConfigurationError(
                    place, problem, "write: set = r_name = value; and ;; for a semicolon"
                )
            found.append((name, compile_text(text.strip(), place), written))
    return found


def _each(options: Options, name: str, separator: str, place: Place) -> tuple[Compiled, ...]:
    """The items of a list whose items are expanded one by one."""
    texts: Sequence[Compiled] = options.several(name)
    items = (item for text in texts for item in split_list(text.text, separator))
    return tuple(compile_text(item, place) for item in items)


def _other(
    router: Router, option: str, routers: Sequence[Router], allowed: Sequence[Router]
) -> Router | None:
    """The router that an option names."""
    name = router.options.text(option)
    if name is None:
        return None
    found = next((each for each in routers if each.name == name), None)
    if found is None:
        raise router.wrong(f'{option}: "{name}" is not there', "name a router of this file")
    if found not in allowed:
        raise router.wrong(f'{option}: "{name}" does not follow it', "name a router further down")
    return found
