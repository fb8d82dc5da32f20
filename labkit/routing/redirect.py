"""The redirect router: aliases, .forward files, :fail: and :blackhole:.

DECIDES    which new addresses an address becomes, or that it fails, waits or vanishes; what new addresses inherit.
STANDARDS  Exim specification, chapter "The redirect router"
LIKE EXIM  nothing in the data: decline; data that cannot be expanded: defer; a missing file: decline if its folder is
           there, else defer; a file name that a stranger chose is never opened
NOT HERE   filter files (`# Exim filter`, `# Sieve filter`): an address that comes to one is put off, with a message
SIMPLER    files of a lab host have one owner, so owner, group and mode of a file are not looked at
READ NEXT  redirect_data.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from labkit.eximconf.expansion import Compiled, Env, ForcedFailure, Outcome, Tainted, Value
from labkit.eximconf.lists import NamedLists
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import Exists, FileText, Unanswered, Unopened
from labkit.routing.compile import Router, TransportChoice, Transports
from labkit.routing.redirect_data import (
    LONGEST_FILE,
    Ending,
    Item,
    Permissions,
    Redirection,
    is_filter,
    read_redirection,
)
from labkit.routing.taking import Extras, extras, has_extras, transport_of
from labkit.routing.way import Address, Carried, Mode, Said, Walk

_SMTP_CODE = re.compile(r"\d\d\d\s(?:\d\.\d\d?\d?\.\d\d?\d?\s)?")
NO_FOLDER, FORBIDDEN, NO_FILE = "Not a directory", "Permission denied", "not a regular file"
FILTERS = "filter files are not read by labkit yet (a real Exim reads them)"
TARGETS = ("pipe_transport", "file_transport", "directory_transport")


def make_redirect(router: Router, named: NamedLists, transports: Transports | None) -> None:
    """Give the router what it does. Raises ConfigurationError."""
    router.run = _Redirect(router, transports).run


class _Redirect:
    def __init__(self, router: Router, transports: Transports | None) -> None:
        self.router = router
        options = router.options
        self.file, self.data = options.expansion("file"), options.expansion("data")
        self.text = self.file or self.data
        self.is_plain = self.text is not None and not self.text.can_ask
        self.qualify_domain = options.expansion("qualify_domain")
        self.preserves_domain = options.flag("qualify_preserve_domain")
        self.one_time = options.flag("one_time")
        self.rewrites = options.flag("rewrite")
        self.forbids_pipe = self.one_time or options.flag("forbid_pipe")
        self.forbids_file = self.one_time or options.flag("forbid_file")
        self.checks_ancestors = options.flag("check_ancestor")
        self.hides_child = options.flag("hide_child_in_errmsg")
        self.has_user = router.check_local_user or options.has("user")
        self.transports = {
            name: TransportChoice.read(options, name, transports, is_needed=True) for name in TARGETS
        }
        self._check()
        self.allowed = Permissions(
            options.flag("allow_defer"),
            options.flag("allow_fail"),
            not options.flag("forbid_blackhole"),
            not options.flag("forbid_include"),
            options.text("include_directory"),
            options.flag("skip_syntax_errors"),
            "",
            "",
        )

    def _check(self) -> None:
        """What Exim finds when it loads the file."""
        router, options = self.router, self.router.options
        if (self.file is None) == (self.data is None):
            only = "only " if self.file is not None else ""
            raise router.wrong(f'{only}one of "file" or "data" must be specified', "write one of the two")
        if self.one_time and (router.headers_add or router.headers_remove):
            problem = '"headers_add" and "headers_remove" are not permitted with "one_time"'
            raise router.wrong(problem, "leave one of them out")
        if self.one_time and router.unseen is not False:
            raise router.wrong('"unseen" may not be used with "one_time"', "leave one of them out")
        if self.qualify_domain is not None and self.preserves_domain:
            problem = 'only one of "qualify_domain" or "qualify_preserve_domain" must be set'
            raise router.wrong(problem, "leave one of them out")
        if options.flag("allow_filter") and not self.has_user:
            problem = '"user" or "check_local_user" must be set with "allow_filter"'
            raise router.wrong(problem, "add: check_local_user")

    # --- what the data say --------------------------------------------------------------------

    def run(self, walk: Walk, address: Address) -> Asking[Said]:
        domain = ""
        if self.preserves_domain or self.qualify_domain is not None:
            given = yield from self._qualifying(walk, address)
            if isinstance(given, Said):
                return given
            domain = given
        text = yield from self._text(walk, address)
        if isinstance(text, Said):
            return text
        if not text:
            return Said.DECLINE
        if is_filter(text):
            return self._filter(address)
        domain = domain or own_domain(walk.env)
        allowed = replace(self.allowed, incoming_domain=address.domain, qualify_domain=domain)
        found = yield from read_redirection(text, allowed)
        for wrong in found.skipped:
            walk.remarks.append(f"{self.router.name} router: skipped error: {wrong}")
        return (yield from self._act(walk, address, found))

    def _qualifying(self, walk: Walk, address: Address) -> Asking[str | Said]:
        """The domain for names without one, as this router has it."""
        if self.qualify_domain is None:
            return address.domain
        outcome = yield from self.qualify_domain.asking(walk.env)
        return self._said(self.qualify_domain, address, outcome)

    def _said(self, text: Compiled, address: Address, outcome: Outcome) -> str | Said:
        if isinstance(outcome, Value):
            return outcome.text
        if isinstance(outcome, ForcedFailure):
            return Said.DECLINE
        address.message = f'failed to expand "{text.text}": {outcome.message}'
        return Said.DEFER

    def _text(self, walk: Walk, address: Address) -> Asking[str | Said]:
        assert self.text is not None
        if self.is_plain:
            text = self._said(self.text, address, self.text.expand(walk.env))
        else:
            text = self._said(self.text, address, (yield from self.text.asking(walk.env)))
        if self.file is None or isinstance(text, Said):
            return text
        if not text.startswith("/"):
            return self._put_off(address, f'"{text}" is not an absolute path')
        if type(text) is Tainted:
            if self.has_user and (yield from ask(Exists(str(text)))) is False:
                return Said.DECLINE  # Exim looks whether it is there before it asks who chose the name
            return self._put_off(address, f"Tainted name '{text}' for file read not permitted\n")
        answer = yield from ask(FileText(text))
        if isinstance(answer, str):
            if len(answer) > LONGEST_FILE:
                return self._put_off(address, f"{text} is too big (max {LONGEST_FILE})")
            return answer
        return (yield from self._unread(text, answer, address))

    def _unread(self, path: str, answer: Unopened | Unanswered, address: Address) -> Asking[Said]:
        """The file could not be read. What is not there is no reason to wait."""
        options = self.router.options
        if isinstance(answer, Unopened) and answer.is_missing and not answer.reason.startswith(NO_FOLDER):
            if options.flag("ignore_enotdir"):
                return Said.DECLINE
            folder = path.rpartition("/")[0] + "/."
            is_there = yield from ask(Exists(folder))
            if is_there is True:
                return Said.DECLINE
            reason = "No such file or directory" if is_there is False else is_there.reason
            return self._put_off(address, f"failed to stat {folder} ({reason})")
        if answer.reason.startswith(NO_FOLDER) and options.flag("ignore_enotdir"):
            return Said.DECLINE
        if answer.reason.startswith(FORBIDDEN) and options.flag("ignore_eacces"):
            return Said.DECLINE
        if answer.reason == NO_FILE:
            return self._put_off(address, f"{path} is not a regular file")
        return self._put_off(address, f"failed to open {path}: {answer.reason}")

    def _filter(self, address: Address) -> Said:
        options = self.router.options
        if options.flag("allow_filter"):
            return self._put_off(address, FILTERS)
        if options.flag("skip_syntax_errors"):
            address.message = "syntax error in redirection data"
            return Said.DECLINE
        kind = "data" if self.file is None else "file"
        return self._put_off(address, f"error in filter {kind}: filtering not enabled")

    def _put_off(self, address: Address, message: str) -> Said:
        address.message = message
        return Said.DEFER

    # --- what follows from it -----------------------------------------------------------------

    def _act(self, walk: Walk, address: Address, found: Redirection) -> Asking[Said]:
        if found.ending is Ending.DEFER:
            return self._ended(address, found, Said.DEFER)
        if found.ending is Ending.ERROR:
            kind = "data" if self.file is None else "file"
            return self._put_off(address, f"error in redirect {kind}: {found.message}")
        items = [] if found.ending is Ending.BLACKHOLE else found.items
        if found.skipped and not items and found.ending is not Ending.FAIL:
            address.message = "syntax error in redirection data"
            return Said.DECLINE
        if items or found.ending is Ending.FAIL:
            said = yield from self._children(walk, address, items)
            if said is not None:
                return said
        if found.ending is Ending.FAIL:
            return self._ended(address, found, Said.FAIL)
        if found.ending is Ending.NOTHING:
            return Said.DECLINE
        return Said.DISCARD if not items and walk.mode is Mode.DELIVERY else Said.OK

    def _ended(self, address: Address, found: Redirection, said: Said) -> Said:
        """:fail: and :defer: with their words, which may be told to the sender."""
        words = found.message
        if self.router.options.flag("forbid_smtp_code") and (code := _SMTP_CODE.match(words)):
            words = words[code.end() :]
        address.message = address.user_message = words
        address.may_tell = True
        return said

    def _children(self, walk: Walk, address: Address, items: Sequence[Item]) -> Asking[Said | None]:
        """Make the new addresses. None: done; else what the router says instead."""
        carried = address.carried
        inherited = Extras(carried.errors_to, carried.headers_add, carried.headers_remove)
        if has_extras(self.router):
            own = yield from extras(walk, self.router, address)
            if own is None:
                return Said.DEFER
            inherited = own
        address.carried.errors_to = inherited.errors_to
        variables = walk.env.variables
        for item in reversed(items):  # the last one added is routed first
            given = Carried(
                variables.get("address_data"),
                variables.get("domain_data"),
                variables.get("local_part_data"),
                ignores_errors=address.carried.ignores_errors,
                variables=address.carried.variables,
            )
            inherited.give_to(given)
            text = item.text
            if self.rewrites and not item.is_target and walk.env.rewrite is not None:
                text = yield from walk.env.rewrite(walk.env, text, True)
            child = Address(text, address, given)
            child.start = self.router.redirects_to
            if self.one_time:
                child.onetime_parent = address.eldest.text
            child.hides_parent_child = self.hides_child
            if self.checks_ancestors and _is_ancestor(child.text, address):
                child.text = address.text
            if item.is_target:
                yield from self._aim(walk, address, child)
            walk.add_new(child)
        return None

    def _aim(self, walk: Walk, address: Address, child: Address) -> Asking[None]:
        """A program, a file or a folder: say which transport."""
        child.is_target, child.router = True, self.router
        if self.router.check_local_user or address.home_is_expanded:
            child.home = walk.env.variables.get("home")
        kind, variable = "file_transport", "address_file"
        if child.text.startswith("|"):
            kind, variable = "pipe_transport", "address_pipe"
        elif child.text.endswith("/"):
            kind = "directory_transport"
        child.is_forbidden = self.forbids_pipe if kind == "pipe_transport" else self.forbids_file
        walk.env.variables[variable] = child.text
        transport = yield from transport_of(self.transports[kind], walk, self.router, child)
        del walk.env.variables[variable]
        child.is_misdirected = transport is False
        child.transport = transport if isinstance(transport, str) else None


def own_domain(env: Env) -> str:
    """What this host adds to a recipient without a domain."""
    variables = env.variables
    return variables.get("qualify_recipient") or variables.get("qualify_domain") or env.here.primary_hostname


def _is_ancestor(text: str, address: Address) -> bool:
    """Is the text this address, or one that it came from? Case counts only for a router that says so."""
    ancestor: Address | None = address
    while ancestor is not None:
        caseful = ancestor.router is not None and ancestor.router.caseful
        if ancestor.text == text or (not caseful and ancestor.text.lower() == text.lower()):
            return True
        ancestor = ancestor.parent
    return False
