"""What `exim -bt`, `-bv` and `-bvs` print about addresses, line for line, and their exit status.

WHAT       `AddressTester.test` routes one argument of the command line, which may hold several addresses with commas;
           `.text` is what Exim prints, `.status` how it exits: 0 all good, 1 some cannot be decided now, 2 some fail.
LIKE EXIM  -bt shows every address that comes of one; -bv says yes or no, and follows only one new address;
           an address that was shown before, in the same run, is marked as a duplicate
STANDARDS  Exim specification, chapter "The Exim command line", options -bt, -bv, -bvs
READ NEXT  trace.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Env
from labkit.eximconf.mailbox_text import NoMailbox, end_of_mailbox, read_mailbox
from labkit.mail.asking import Asking
from labkit.routing.compile import Transports
from labkit.routing.family import new_walk, own_env, route_one
from labkit.routing.mx import NextHop
from labkit.routing.trace import Trace
from labkit.routing.verify import SENDER_VARIABLES, Verifier, qualify
from labkit.routing.way import Address, Mode, Said, Walk

UNKNOWN = "unknown"  # the address of a host that has none


class AddressTester:
    """One run of exim -bt (Mode.TEST), -bv (VERIFY_RECIPIENT) or -bvs (VERIFY_SENDER); or an EXPN command.

    `is_full`: -bv with -v, which shows as much as -bt.
    """

    def __init__(
        self,
        verifier: Verifier,
        transports: Transports,
        env: Env,
        mode: Mode = Mode.TEST,
        *,
        is_full: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self.verifier = verifier
        self.transports = transports
        self.env = env
        self.mode = mode
        self.is_full = is_full or mode is Mode.TEST
        self.trace = trace
        self.status = 0
        self.lines: list[str] = []
        self.remarks: list[str] = []
        self._seen: set[str] = set()

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def test(self, argument: str) -> Asking[None]:
        """Test what one argument names."""
        at = 0
        while at < len(argument):
            end = end_of_mailbox(argument, at, line_ends=False)
            yield from self.test_address(argument[at:end])
            at = end + 1
            while at < len(argument) and (argument[at] == "," or argument[at] in BLANKS):
                at += 1

    def test_address(self, text: str) -> Asking[None]:
        """Test one address."""
        try:
            mailbox = read_mailbox(text)
        except NoMailbox as problem:
            self.lines.append(f"syntax error: {problem}")
            self.status = 2
            return
        is_recipient = self.mode is not Mode.VERIFY_SENDER
        address = mailbox.text
        if not mailbox.has_domain:
            address = qualify(address, self.env, is_recipient=is_recipient)
        if self.env.rewrite is not None:
            new = yield from self.env.rewrite(self.env, address, is_recipient)
            if new != address and self.mode is not Mode.EXPN:
                self.lines.append(f"Address rewritten as: {new}")
            address = new
        if not address:
            return
        if self.mode is Mode.EXPN and not self.is_full:
            said = yield from self._one_level(address)
        else:
            said = yield from (self._full(address, mailbox.text) if self.is_full else self._short(address))
        if said is Said.FAIL:
            self.status = 2
        elif said is Said.DEFER and self.status == 0:
            self.status = 1

    def _short(self, text: str) -> Asking[Said]:
        found = yield from self.verifier.verify_address(text, self.env, self.mode, trace=self.trace)
        self.remarks += found.walk.remarks
        address = found.address
        if found.said is Said.OK:
            self.lines.append(f"{text} verified")
        elif found.said is Said.FAIL:
            self.lines.append(f"{text} failed to verify{_because(address.message)}")
        else:
            words = _because(address.message, "unknown error")
            self.lines.append(f"{text} cannot be resolved at this time{words}")
        return found.said

    def _one_level(self, text: str) -> Asking[Said]:
        """What EXPN tells: what the address becomes, and no more. No reason is told."""
        address = Address(text)
        walk = new_walk(own_env(self.env), self.mode, [], self.verifier.errors_address, self.trace)
        address.split()
        said = yield from route_one(walk, self.verifier.first, self.env, address)
        self.remarks += walk.remarks
        if said is Said.FAIL:
            self.lines.append(f"{text} is undeliverable")
        elif said is Said.DEFER:
            self.lines.append(f"{text} cannot be resolved at this time")
        elif walk.new:
            self.lines += [f"<{child.text}>" for child in reversed(walk.new)]
        elif walk.local or walk.remote:
            self.lines.append(f"<{text}>")
        else:
            self.lines.append(f"mail to <{text}> is discarded")
        return said

    def _full(self, text: str, unique: str) -> Asking[Said]:
        walk = yield from self.walk_fully(text, unique)
        worst, is_all_well = Said.OK, True
        for address, said in walk.done:
            is_all_well = False
            if address.is_target:
                self._tell_target(address)
            else:
                worst = said if worst is Said.OK or said is Said.FAIL else worst
                self._tell_failure(address, said)
        self.remarks += walk.remarks
        if is_all_well and not walk.local and not walk.remote:
            self.lines.append(f"mail to {text} is discarded")
        for address in (*reversed(walk.local), *reversed(walk.remote)):
            self._tell_delivery(address)
        return worst

    def walk_fully(self, text: str, unique: str = "") -> Asking[Walk]:
        """Route the address and everything that comes of it, one line of children after the other.

        `unique`: the address as it was given. Exim finds duplicates by it, so bob and bob@here.test are two.
        """
        env = own_env(self.env)
        if self.mode is Mode.VERIFY_SENDER:
            env.variables.update(dict.fromkeys(SENDER_VARIABLES, ""))
        eldest = Address(text)
        eldest.unique = unique or text
        walk = new_walk(env, self.mode, [eldest], self.verifier.errors_address, self.trace)
        while walk.new:
            address = walk.new.pop()
            if address.is_target:
                walk.done.append((address, Said.OK))
                continue
            address.split()
            said = yield from route_one(walk, self.verifier.first, env, address)
            if said in (Said.FAIL, Said.DEFER):
                walk.done.append((address, said))
        return walk

    def _tell_target(self, address: Address) -> None:
        """A program or a file."""
        assert address.parent is not None
        line = f"{address.parent.text} -> {address.text}"
        if address.is_misdirected:
            self.lines += [
                line,
                "*** Error in setting up pipe, file, or autoreply:",
                address.message or "(null)",
            ]
        elif address.is_forbidden:
            self.lines.append(f"{line} *** forbidden ***")
        else:
            self.lines += [line, f"  transport = {address.transport}"]

    def _tell_failure(self, address: Address, said: Said) -> None:
        what, words = "cannot be resolved at this time", _because(address.message, "unknown error")
        if said is Said.FAIL:
            is_test = self.mode is Mode.TEST
            what = "is undeliverable" if is_test else "failed to verify"
            words = _because(address.message)
        self.lines.append(f"{address.text} {what}{words}")
        self._tell_parents(address)

    def _tell_parents(self, address: Address) -> None:
        self.lines += [f"    <-- {parent}" for parent in address.parents]

    def _tell_delivery(self, address: Address) -> None:
        mark = ""
        if address.unique in self._seen:
            mark = "   [duplicate, would not be delivered]"
        self._seen.add(address.unique)
        self.lines.append(f"{address.text}{mark}")
        self._tell_parents(address)
        router = "" if address.router is None else address.router.name
        self.lines.append(f"  router = {router}, transport = {address.transport or 'unset'}")
        if address.transport is None:
            return
        is_local = self.transports.get(address.transport, False)
        hosts = address.hosts
        if address.host_text is not None:
            hosts = (NextHop(address.host_text, "", None),)
        if not self._overrides_hosts(address.transport):
            self.lines += host_lines(hosts, is_local=is_local)

    def _overrides_hosts(self, transport: str) -> bool:
        driver = self.verifier.transports.get(transport)
        if driver is None or driver.driver != "smtp":
            return False
        return driver.options.has("hosts") and bool(driver.options.values.get("hosts_override"))


def _because(message: str | None, otherwise: str = "") -> str:
    if message is not None:
        return f": {message}"
    return f": {otherwise}" if otherwise else ""


def host_lines(hosts: Sequence[NextHop], *, is_local: bool = False) -> list[str]:
    """The hosts of a route, in columns. For a local transport, names are enough."""
    widest = max((len(hop.host) for hop in hosts), default=0)
    longest = max((len(hop.address or UNKNOWN) for hop in hosts), default=0)
    lines = []
    for hop in hosts:
        address = f"[{hop.address or UNKNOWN}]" if hop.address or not is_local else ""
        line = f"  host {hop.host:<{widest}} {address:<{longest + 2}}"
        if hop.preference is not None:
            line += f" MX={hop.preference}"
        if hop.port is not None:
            line += f" port={hop.port}"
        lines.append(line if hop.address or is_local else line + " ** unusable **")
    return lines
