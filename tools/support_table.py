"""Writes docs/exim-support.md from the tables of labkit: python tools/support_table.py

WHAT       what labkit reads of Exim's configuration language, how far it goes, and what it refuses by name.
RULES      nothing is said here that a table of the code does not say; only the kinds of list items stand here as
           examples, and a test compiles them. tests/house/test_support_table.py compares the file with this tool.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labkit.cli.exim import command_line
from labkit.eximconf import exim_names, options
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.expansion import syntax
from labkit.eximconf.lists import ListKind
from labkit.eximconf.options import Option, Standing
from labkit.smtp.acl import controls, verify, vocabulary
from labkit.smtp.acl.phases import ALL, Phase

FILE = Path("docs/exim-support.md")
KINDS = ("router", "transport", "authenticator")

LIST_ITEMS: dict[ListKind, tuple[tuple[str, str], ...]] = {
    ListKind.DOMAIN: (
        ("a.test", "this domain, without case"),
        ("*.a.test", "every name that ends so, not `a.test` itself"),
        ("*", "every domain"),
        ("\\N^mx[0-9]+\\.\\N", "a regular expression, without case"),
        ("@", "the `primary_hostname`"),
        ("@[]", "an address literal of this host"),
        ("@mx_any", "a domain whose MX records name this host; also `@mx_primary`, `@mx_secondary`"),
        (
            "lsearch;/etc/domains",
            "a look-up with the domain as its key; also `partial-`, `*` and `sqlite,file=…;`",
        ),
        ("/etc/domains", "each line of the file is an item"),
        ("+local_domains", "another domain list"),
        ("!a.test", "not this one; the first item that matches decides"),
    ),
    ListKind.HOST: (
        ("192.0.2.1", "this address"),
        ("192.0.2.0/24", "every address of the network"),
        ("*", "every host"),
        ("", "a message that no host has sent"),
        ("@[]", "every address of this host; `@` is its name"),
        ("mx.a.test", "the addresses of that name"),
        ("*.a.test", "hosts whose name ends so (the name is looked up)"),
        ("\\N^mx[0-9]+\\.\\N", "a regular expression for the name"),
        ("net24-lsearch;/etc/networks", "a look-up with the network as its key; also `net-`"),
        ("lsearch;/etc/hosts.list", "a look-up with the name as its key"),
        ("/etc/hosts.list", "each line of the file is an item"),
        ("+relay_from_hosts", "another host list"),
        ("+include_unknown", "what follows also matches a host without a name; also `+ignore_unknown`"),
        ("!192.0.2.1", "not this one"),
    ),
    ListKind.LOCAL_PART: (
        ("ann", "this local part, without case"),
        ("*-list", "every one that ends so"),
        ("\\N^ann[0-9]$\\N", "a regular expression, without case"),
        ("lsearch;/etc/aliases", "a look-up with the local part as its key"),
        ("/etc/people", "each line of the file is an item"),
        ("+people", "another local part list"),
        ("+caseful", "from here on case counts"),
        ("!root", "not this one"),
    ),
    ListKind.ADDRESS: (
        ("ann@a.test", "this address"),
        ("*@a.test", "everybody of that domain; `a.test` alone means the same"),
        ("*-list@*.a.test", "patterns on both sides"),
        ("", "the null sender, `<>`"),
        ("\\N^.*@a\\.test$\\N", "a regular expression for the whole address"),
        ("lsearch;/etc/senders", "a look-up with the whole address as its key"),
        ("@@lsearch;/etc/of-domains", "a look-up of the domain, which gives a list of local parts"),
        ("*@+local_domains", "everybody of the domains of a list"),
        ("/etc/senders", "each line of the file is an item"),
        ("+others", "another address list"),
        ("+caseful", "from here on case counts"),
        ("!ann@a.test", "not this one"),
    ),
}


def document() -> str:
    """The whole file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What labkit reads of Exim's language"
    yield ""
    yield "<!-- Made by tools/support_table.py from the tables of the code. Change those, then run it. -->"
    yield ""
    yield "labkit reads the configuration files of Exim 4.96. This page lists every word of the language that it knows."
    yield "What Exim has and labkit has not is refused with the name of the file, the number of the line and a remedy:"
    yield 'it is called "real Exim only", and a real Exim can run it.'
    yield "A word inside a text or a list that neither knows is found out by both when they get there."
    yield ""
    yield "How far an option goes:"
    yield ""
    yield f"- **{Standing.WORKS.value}**: it does what the specification says."
    yield f"- **{Standing.MOOT.value}**: it is read and checked; there is nothing in labkit that it could change."
    yield (
        f"- **{Standing.TESTED.value}**: it is read and checked, and `-bP`, `-be`, `-bt`, `-bv`, `-bh` work with it; "
        "a host that is to run refuses it."
    )
    yield ""
    counts = {standing: sum(row.standing is standing for row in options.TABLE) for standing in Standing}
    told = ", ".join(f"{standing.value}: {count}" for standing, count in counts.items())
    yield f"There are {len(options.TABLE)} options here ({told})."
    yield from _command_line()
    yield from _options()
    yield from _acls()
    yield from _lists()
    yield from _expansions()
    yield from _macros()
    yield from _refused()


def _command_line() -> Iterator[str]:
    yield from _head("The command line", "The Exim command line")
    yield "`labkit-exim` takes these options of Exim's, and says of every other one that it does not read it yet."
    yield ""
    modes = {
        "-bd": "the daemon: `-bd`, `-bdf`, `-qTIME`, `-oX`, `-oP`; SIGHUP reads the files again, SIGTERM ends it",
        "-bm": "a message from the standard input: `-t`, `-i`, `-f`, `-F`, `-oM…`, `-odf`, `-odb`, `-odq`",
        "-bs": "SMTP on the standard input; `-bS` in batches",
        "-bp": "the queue: `-bpc`, `-bpr`, `-bpu`, `-bpa`, `-bpru`, `-bpra`",
        "-q": "a queue run: `-qf`, `-qff`, `-qq`, `-qi`, `-ql`, from one message to another; `-R TEXT`, `-S TEXT`",
        "-M": "deliver these messages now; `-Mc` when they are due",
        "-Mv": "`-Mvh`, `-Mvb`, `-Mvl`, `-Mvc`: envelope and header, body, log, all of a message",
        "-Mf": "`-Mf`, `-Mt`, `-Mg`, `-Mrm`, `-Mar`, `-Mes`, `-Mmd`, `-Mmad`: what an administrator does to a message",
        "-brt": "the retry rule for an address or a host",
        "-brw": "what rewriting makes of an address",
        "-bi": "nothing, as an alias file is read as it is",
        "-bV": "version and support",
        "-bP": "options, lists, macros, or the whole configuration; with `-n` values only",
        "-be": "expand texts; `-bem FILE` with a message",
        "-bt": "where mail for an address would go; with `-d+route` also why",
        "-bv": "whether an address is good; `-bvs` as a sender",
        "-bh": "an SMTP session as if from an address; `-bhc` with callouts",
    }
    assert {mode.value for mode in command_line.Mode if mode.value} <= {*modes, "-bvs", "-bpc", "-bS"}
    yield from _table(("option", "what it does"), [(_code(name), words) for name, words in modes.items()])
    yield ""
    yield "Besides: `-C FILE`, `-DNAME=VALUE`, `-f ADDRESS`, `-v`, `-d`."


def _options() -> Iterator[str]:
    yield from _head("Main options", _chapter("main"))
    yield from _rows(row for row in options.TABLE if row.scope == "main")
    for kind in KINDS:
        yield from _head(f"{kind.capitalize()}s", _chapter(kind))
        drivers = options.DRIVERS[kind]
        yield f"Drivers: {_codes(drivers)}. Options of every {kind}:"
        yield ""
        yield from _rows(row for row in options.TABLE if row.scope == kind)
        for driver in drivers:
            own = [row for row in options.TABLE if row.scope == f"{kind} {driver}"]
            if own:
                yield ""
                yield f"### The {driver} {kind}"
                yield ""
                yield from _rows(own)


def _rows(rows: Iterable[Option]) -> Iterator[str]:
    found = sorted(rows, key=lambda row: row.name)
    yield from _table(
        ("option", "kind", "default", "how far", "what it does"),
        [(_code(row.name), _kind(row), _default(row), row.standing.value, row.effect) for row in found],
    )


def _kind(row: Option) -> str:
    return f"{row.kind.name}, may be repeated" if row.repeats else row.kind.name


def _default(row: Option) -> str:
    if isinstance(row.default, bool):
        return "on" if row.default else "off"
    return "" if row.default is None else _code(row.default) if row.default else "empty"


def _chapter(scope: str) -> str:
    (chapter,) = {row.chapter for row in options.TABLE if row.scope == scope}
    return chapter


def _acls() -> Iterator[str]:
    yield from _head("Access control lists", "Access control lists")
    yield f"Verbs: {_codes(vocabulary.VERBS)}."
    for is_modifier, title in ((False, "Conditions"), (True, "Modifiers")):
        yield ""
        yield f"### {title}"
        yield ""
        words = [word for word in vocabulary.WORDS.values() if word.is_modifier is is_modifier]
        rows = [
            (_code(word.name), _phases(word.phases)) for word in sorted(words, key=lambda word: word.name)
        ]
        yield from _table(("word", "in which ACLs"), rows)
    yield ""
    yield "### verify ="
    yield ""
    yield from _table(
        ("test", "in which ACLs"),
        [(_code(name), _phases(row.phases)) for name, row in sorted(verify._ROWS.items())],
    )
    yield ""
    yield "### control ="
    yield ""
    yield from _table(
        ("control", "in which ACLs", "remark"),
        [(_code(name), _phases(row.phases), row.remark) for name, row in sorted(controls._ROWS.items())],
    )
    yield ""
    yield "Real Exim only:"
    yield ""
    for kind in ("condition", "modifier"):
        yield f"- {kind}s: {_codes(name for name, each in vocabulary.REFUSED.items() if each == kind)}"
    yield f"- verify: {_codes(verify._REFUSED)}, and the options {_codes(verify._REFUSED_OPTIONS)}"
    yield f"- control: {_codes(controls._REFUSED)}"


def _phases(phases: frozenset[Phase]) -> str:
    if phases == ALL:
        return "all"
    names = [phase.value for phase in Phase if phase in phases]
    others = [phase.value for phase in Phase if phase not in phases]
    return ", ".join(names) if len(names) <= len(others) else f"all but {', '.join(others)}"


def _lists() -> Iterator[str]:
    yield from _head("Lists", "Domain, host, address, and local part lists")
    yield "A list is expanded first, then cut at its colons (or at what `<;` and the like name); hence `\\N` before"
    yield "and after a regular expression, which keeps its `$` and `\\` as they are."
    for kind, items in LIST_ITEMS.items():
        yield ""
        yield f"### {kind.value}"
        yield ""
        yield from _table(
            ("item", "what matches"), [(_code(item) if item else "(empty)", words) for item, words in items]
        )


def _expansions() -> Iterator[str]:
    yield from _head("Expanded strings", "String expansions")
    table = (
        ("items `${name …}`", syntax.ITEMS - syntax.REFUSED_ITEMS),
        ("operators `${name:…}`", syntax.OPERATORS),
        ("conditions of `${if …}`", syntax.CONDITIONS),
        ("look-ups with a key", syntax.SINGLE_KEY),
        ("look-ups with a query", syntax.QUERIES),
    )
    yield from _table(("what", "names"), [(what, _codes(sorted(names))) for what, names in table])
    yield ""
    yield "Every variable of Exim 4.96 is known; one that nobody fills in is empty. Real Exim only:"
    yield ""
    yield f"- items: {_codes(sorted(syntax.REFUSED_ITEMS))}"
    yield f"- operators: {_codes(sorted(syntax.REFUSED_OPERATORS))}"
    yield f"- conditions: {_codes(sorted(syntax.REFUSED_CONDITIONS))}"
    yield f"- look-ups: {_codes(sorted(syntax.REFUSED_LOOKUPS))}"


def _macros() -> Iterator[str]:
    yield from _head("Builtin macros", "The Exim run time configuration file")
    yield "`.ifdef` asks for them. Each option above has one, named as Exim names it: `_OPT_MAIN_QUEUE_ONLY`,"
    yield "`_OPT_ROUTERS_DOMAINS`, `_OPT_TRANSPORT_SMTP_PORT`. Besides there are:"
    yield ""
    yield f"{_codes(sorted(name for name in BUILTIN if not name.startswith('_OPT_')))}"


def _refused() -> Iterator[str]:
    yield ""
    yield "## Real Exim only"
    yield ""
    yield "These are Exim's, and labkit refuses them by name."
    yield ""
    rows: list[tuple[str, str]] = []
    for scope, names in exim_names.OPTIONS.items():
        missing = sorted(name for name in names if options.find(scope, name) is None)
        if missing and (
            scope == "main" or scope in KINDS or scope.split()[1] in options.DRIVERS[scope.split()[0]]
        ):
            where = (
                f"{scope} options"
                if scope == "main"
                else f"options of every {scope}"
                if scope in KINDS
                else scope
            )
            rows.append((where, _codes(missing)))
    for kind in KINDS:
        missing = [name for name in exim_names.DRIVERS[kind] if name not in options.DRIVERS[kind]]
        rows.append((f"{kind} drivers", _codes(missing)))
    rows.append(("sections", _codes(["local_scan"])))
    yield from _table(("where", "names"), rows)


# --- Markdown ---------------------------------------------------------------------------------


def _head(title: str, chapter: str) -> Iterator[str]:
    yield from ("", f"## {title}", "", f'Exim\'s specification: "{chapter}".', "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join(' --- ' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(names: Iterable[str]) -> str:
    return " ".join(map(_code, names))


def main() -> int:
    """Write the file; returns 0."""
    (Path(__file__).resolve().parents[1] / FILE).write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
