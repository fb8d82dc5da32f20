"""Read what an alias or a .forward file says: addresses, |programs, /files, :fail: and its like.

WHAT       `read_redirection` gives the new addresses (Item) in their order and how it ended; :include: asks FileText.
RULES      items are parted by commas or line ends; a # at the beginning of an item is a comment to the end of its line;
           `\\name` is that user here; what begins with / or | and is no address with a domain is a file or a program.
STANDARDS  Exim specification, chapter "The redirect router", sections "Redirection data",
           "Items in redirection data", "Specifying redirection data"
READ NEXT  redirect.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.mailbox_text import MailboxText, NoMailbox, end_of_mailbox, qualified, read_mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText, Unanswered, Unopened

LONGEST_FILE = 1 << 20
LONGEST_NAME = 255
DEEPEST = 32  # :include: files one inside the other
_WHEN = {"Is a directory": "error while reading"}  # it opens, but that is all
EXIM_FILTER, SIEVE_FILTER = "# exim filter", "# sieve filter"


class Ending(Enum):
    """How the reading ended."""

    DELIVERED = "there are addresses, or wrong ones were left out"
    NOTHING = "there is nothing"
    BLACKHOLE = ":blackhole:"
    DEFER = ":defer:"
    FAIL = ":fail:"
    ERROR = "an error"


@dataclass(frozen=True, slots=True)
class Item:
    """One new address in its outer form; `is_target`: a program or a file."""

    text: str
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class Permissions:
    """What may stand in the data, and how a name without domain is completed."""

    defer: bool
    fail: bool
    blackhole: bool
    include: bool
    include_directory: str | None
    skips_errors: bool
    incoming_domain: str
    qualify_domain: str


@dataclass(slots=True)
class Redirection:
    """What was read. `message` goes with DEFER, FAIL (the words behind it) and ERROR; `skipped` are wrong items."""

    items: list[Item] = field(default_factory=list)
    ending: Ending = Ending.NOTHING
    message: str = ""
    skipped: list[str] = field(default_factory=list)


def is_filter(text: str) -> bool:
    """Is it a filter file, of Exim's own language or of Sieve?"""
    start = text.lstrip(BLANKS)
    return any(_begins_with_tag(start, tag) for tag in (EXIM_FILTER, SIEVE_FILTER))


def _begins_with_tag(text: str, tag: str) -> bool:
    """A blank in the tag stands for any number of blanks."""
    at = 0
    for char in tag:
        if char == " ":
            while text[at : at + 1] in (" ", "\t") and at < len(text):
                at += 1
        elif text[at : at + 1].lower() != char:
            return False
        else:
            at += 1
    return True


def read_redirection(text: str, allowed: Permissions) -> Asking[Redirection]:
    """Read redirection data. Asks FileText for each :include:."""
    found = Redirection()
    yield from _read(text.partition("\0")[0], allowed, found, 0)
    return found


def _read(text: str, allowed: Permissions, found: Redirection, depth: int) -> Asking[None]:
    """Add what the text says to `found`, and set how it ended."""
    before, at = len(found.items), 0
    while True:
        at = _next_item(text, at)
        if at >= len(text):
            is_something = len(found.items) > before or found.skipped
            found.ending = Ending.DELIVERED if is_something else Ending.NOTHING
            return
        end = end_of_mailbox(text, at, line_ends=True)
        item, in_quotes = _without_quotes(text[at:end].rstrip(BLANKS), text[at + 1 :])
        if ":unknown:".startswith(item):
            at = end
            continue
        rest = text[at + 1 :] if in_quotes else text[at:]
        if in_quotes and end > at + 1:
            rest = rest.lstrip(BLANKS)
        if special := _special(rest):
            _end_at(special, rest, item, allowed, found)
            return
        if item.startswith(":include:"):
            yield from _include(item, allowed, found, depth)
            if found.ending not in (Ending.DELIVERED, Ending.NOTHING):
                return
        elif not _add(item, in_quotes, allowed, found):
            return
        at = end


def _next_item(text: str, at: int) -> int:
    """Pass over blanks, commas and comments."""
    while at < len(text):
        if text[at] in BLANKS or text[at] == ",":
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            break
    return at


def _without_quotes(item: str, rest: str) -> tuple[str, bool]:
    """An item that stands in quotes as a whole. A quote alone is both: then Exim reads all the rest."""
    if item == '"':
        return rest, True
    if len(item) > 1 and item.startswith('"') and item.endswith('"'):
        return item[1:-1].strip(BLANKS), True
    return item, False


def _special(rest: str) -> Ending | None:
    for ending in (Ending.DEFER, Ending.BLACKHOLE, Ending.FAIL):
        if rest.startswith(ending.value):
            return ending
    return None


def _end_at(ending: Ending, rest: str, item: str, allowed: Permissions, found: Redirection) -> None:
    """:defer:, :fail: and :blackhole: end the list; what follows them are their words."""
    may = {
        Ending.DEFER: allowed.defer,
        Ending.FAIL: allowed.fail,
        Ending.BLACKHOLE: allowed.blackhole,
    }
    if not may[ending]:
        found.ending, found.message = Ending.ERROR, f'"{item}" is not permitted'
        return
    found.ending = ending
    found.message = rest[rest.index(":", 1) + 1 :].lstrip(BLANKS).rstrip("\n")


def _add(item: str, in_quotes: bool, allowed: Permissions, found: Redirection) -> bool:
    """Add one address, program or file. False: it is wrong, and that is the end."""
    mailbox: MailboxText | None = None
    problem = ""
    if item.startswith("\\"):
        mailbox = _own_user(item[1:], allowed)
    if mailbox is None:
        try:
            mailbox = read_mailbox(item)
        except NoMailbox as wrong:
            problem = str(wrong)
    if item[:1] in ("|", "/") and (mailbox is None or not mailbox.has_domain):
        found.items.append(Item(_without_backslashes(item) if in_quotes else item, is_target=True))
    elif mailbox is not None:
        found.items.append(Item(qualified(mailbox.text, allowed.qualify_domain)))
    elif problem != "empty address":
        if not allowed.skips_errors:
            found.ending, found.message = Ending.ERROR, f'{problem} in "{item}"'
            return False
        found.skipped.append(f"{problem} in {item}")
    return True


def _own_user(name: str, allowed: Permissions) -> MailboxText | None:
    """`\\name`: that user of the domain at hand."""
    try:
        mailbox = read_mailbox(name)
    except NoMailbox:
        return None
    if mailbox.has_domain:
        return None
    return MailboxText(f"{mailbox.text}@{allowed.incoming_domain}", len(mailbox.text) + 1)


def _without_backslashes(item: str) -> str:
    text, at = "", 0
    while at < len(item):
        at += item[at] == "\\"
        text += item[at : at + 1]
        at += 1
    return text


def _include(item: str, allowed: Permissions, found: Redirection, depth: int) -> Asking[None]:
    """Read the file that :include: names, as if its text stood here."""
    path = item[len(":include:") :].strip(BLANKS)
    problem = _wrong_with(path, allowed, depth)
    if not problem:
        answer = yield from ask(FileText(path))
        if isinstance(answer, (Unopened, Unanswered)):
            problem = f"{_WHEN.get(answer.reason, 'failed to open')} included file {path}: {answer.reason}"
        elif len(answer) > LONGEST_FILE:
            problem = f"included file {path} is too big (max {LONGEST_FILE})"
        else:
            before = len(found.items)
            yield from _read(answer.partition("\0")[0], allowed, found, depth + 1)
            if found.ending not in (Ending.DELIVERED, Ending.NOTHING):
                del found.items[before:]
            return
    found.ending, found.message = Ending.ERROR, problem


def _wrong_with(path: str, allowed: Permissions, depth: int) -> str:
    if not path:
        return "file name missing after :include:"
    if len(path) > LONGEST_NAME:
        return f'included file name "{path}" is too long'
    if not path.startswith("/"):
        return f'included file "{path}" is not an absolute path'
    if not allowed.include:
        return "included files not permitted"
    folder = allowed.include_directory
    if folder is not None:
        folder = folder.rstrip("/")
        if not path.startswith(folder + "/"):
            return f"included file {path} is not in directory {allowed.include_directory}"
        if ".." in path.split("/"):  # Exim opens one part after the other, and never leaves the folder
            return f"failed to open {path} (component of included file); could be symbolic link"
    if depth >= DEEPEST:
        return f"included file {path}: more than {DEEPEST} files one inside the other"
    return ""
