"""The fourth exercise of notebook 05: what the host says to whom about whom, predicted.

DECIDES    which wrong prediction is explained first: that of the rule which covers most rows.
STANDARDS  RFC 5321 §4.5.1 (postmaster), §2.4 (domains know no capitals), §3.6.1 (relay)
READ NEXT  ../views/truth_table.py
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.virtual_zone import domains_of
from labkit.teach.views.truth_table import OWN, PARTNER, STRANGER, Cell, TruthTable

NAME = "truth table"


def questions(world: World) -> list[str]:
    """The recipients of the truth table."""
    own, shop = domains_of(world)
    return [
        f"ann@{own}",
        f"ann@{shop}",
        f"ANN@{shop.upper()}",
        f"postmaster@{own}",
        f"postmaster@{shop}",
        "postmaster",
        f"zoe@{own}",
        f"zoe@{shop}",
        f"clerk@{own}",
        f"ann@a.{shop}",
        f"ann@evil{own}",
        f"ann@{world.mine.name}",
        world.partner_laptop.owner,
    ]


@exercise(NAME, "You know what your host answers before it is asked")
def truth(table: TruthTable) -> Verdict:
    """Every cell predicted, and right."""
    if not isinstance(table, TruthTable) or not table.is_predicted:
        return todo('Give the table itself: check("truth table", await truth_table(world.mine, predicted)).')
    open_cells = [cell for cell in table.cells.values() if cell.is_open]
    if len(open_cells) == len(table.cells):
        return todo("Write a reply code in the place of each question mark: 250 or 550.")
    world = table.who[0].laptop.world
    if lost := [each for each in questions(world) if each not in table.recipients]:
        return hint(f"A line is missing: the table must ask for {lost[0]}, too.")
    wrong = [cell for cell in table.cells.values() if not cell.is_open and not cell.is_right]
    if wrong:
        cell, words = _first(wrong, world)
        return hint(
            f"{len(wrong)} of your predictions {'is' if len(wrong) == 1 else 'are'} wrong. {words}",
            _seen(table, cell),
        )
    if open_cells:
        return hint(f"All right so far; {len(open_cells)} are still open (?).")
    if strange := _not_as_it_should_be(table, world):
        return hint(strange)
    return done(
        f"All {len(table.cells)} replies foreseen.",
        [_seen(table, table.cells[each, STRANGER]) for each in table.recipients],
    )


def _seen(table: TruthTable, cell: Cell) -> Seen:
    world = table.who[0].laptop.world
    return Seen(world.now(), table.host, f"RCPT TO:<{cell.recipient}> by {cell.caller}: {cell.reply}")


def _first(wrong: list[Cell], world: World) -> tuple[Cell, str]:
    """The rule that explains one of them, and which."""
    own, shop = domains_of(world)
    rules: list[tuple[Callable[[Cell], bool], str]] = [
        (
            lambda cell: cell.caller == OWN,
            "Your laptop is let in by the first statement of the ACL; nothing below it is asked. What is "
            "wrong with the address comes out later, and as a bounce.",
        ),
        (
            lambda cell: cell.caller == PARTNER and cell.recipient != world.partner_laptop.owner,
            "To your host the partner is a stranger like any other.",
        ),
        (
            lambda cell: cell.recipient == world.partner_laptop.owner,
            "A foreign domain, and a client that is not yours: that is relaying. Whether the client lives "
            "in that domain is not asked.",
        ),
        (
            lambda cell: cell.recipient == f"ann@evil{own}",
            "A name that only ends like yours is another name. Is there a table that is called so?",
        ),
        (
            lambda cell: cell.recipient == f"ann@a.{shop}",
            "Subdomains inherit nothing, in the DNS and in your folder of tables. Is there one of that name?",
        ),
        (
            lambda cell: cell.recipient == f"ann@{world.mine.name}",
            "The name of the host is a domain like others: it is served if there is a table of that name.",
        ),
        (
            lambda cell: cell.recipient.isupper() or cell.recipient.split("@")[-1].isupper(),
            "Capital letters make no other domain (RFC 5321 §2.4); Exim looks names up in small letters.",
        ),
        (
            lambda cell: cell.recipient == "postmaster",
            "This one name is taken without a domain (RFC 5321 §4.5.1); qualify_domain says which it gets.",
        ),
        (
            lambda cell: cell.recipient.startswith("postmaster@"),
            "postmaster stands in the table, and must (RFC 5321 §4.5.1).",
        ),
        (
            lambda cell: cell.recipient == f"zoe@{shop}",
            "The shop has a catch-all: there is no unknown name any more.",
        ),
        (
            lambda cell: cell.recipient == f"zoe@{own}",
            "Nobody is called so, and the domain has no catch-all. Who says so, and when?",
        ),
        (
            lambda cell: cell.recipient == f"clerk@{own}",
            "The clerk stands in the shop's table. Which table is asked for this domain?",
        ),
    ]
    for fits, words in rules:
        for found in filter(fits, wrong):
            if found.caller == PARTNER and (alike := _strangers(wrong, found.recipient)):
                cell, reason = _first(alike, world)
                return cell, f"{reason} (And to your host the partner is a stranger like any other.)"
            return found, words
    return wrong[0], f"Who is {wrong[0].recipient}? Look into the table of that domain."


def _strangers(wrong: list[Cell], recipient: str) -> list[Cell]:
    """The stranger's cell of that row, if it is wrong as well: then the row is the matter, and not who calls."""
    return [cell for cell in wrong if cell.caller == STRANGER and cell.recipient == recipient]


def _not_as_it_should_be(table: TruthTable, world: World) -> str:
    """The host is not the one that the exercise is about."""
    own, shop = domains_of(world)
    yes = [f"ann@{own}", f"ann@{shop}", f"zoe@{shop}", "postmaster", f"postmaster@{shop}"]
    no = [f"zoe@{own}", world.partner_laptop.owner, f"ann@evil{own}", f"ann@a.{shop}", f"clerk@{own}"]
    for each in (*yes, *no):
        if table.reply(each).startswith("2") is not (each in yes):
            return (
                f"You foresaw what your host does. But it should not answer {table.reply(each)} to a "
                f"stranger who names {each}: put the solution of part 6 in force, and predict anew."
            )
    return ""
