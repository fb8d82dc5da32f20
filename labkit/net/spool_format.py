"""Exim's pair of spool files: what a waiting message looks like on disk.

WHAT       `encode` writes a queue item as `<id>-H` (envelope, status, header fields) and `<id>-D` (body); `decode`
           reads them, Exim's own too. `decode(*encode(item)) == item` for every item that can be written.
LIKE EXIM  4.96: `exim -bp`, `-Mvh`, `-Mvb` and exipick read these files, and Exim delivers from them.
DECIDES    lines end in LF, as in all text here; a body with a bare CR or LF is kept as it came (Exim's wire format).
           A field that Exim could not read back (a NUL in it, a bare CR or LF) begins the body. What these files
           cannot say is in two options of ours: Exim skips a line in '-' that it does not know.
STANDARDS  Exim specification, chapter "Format of spool files"; RFC 5321 §4.1.2 (addresses)
READ NEXT  spool.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import takewhile

from labkit.mail.address import Mailbox
from labkit.mail.envelope import NO_WISHES, Envelope, Wishes
from labkit.mail.message import CRLF, HeaderField, Message, is_canonical
from labkit.net.spool_wishes import RETURNS, encryption_in, options_of, returns_in, wishes_in, with_wishes
from labkit.queue.item import Origin, QueueItem

LF = b"\n"
LONGEST_QUEUE_ID = 64  # Exim's have 16 characters, 23 from 4.97 on
NOBODY = "labkit 65534 65534"  # who called Exim, uid and gid: the lab's accounts are not this machine's
NO_EMPTY_LINE = "labkit_no_empty_line"  # none between header and body, RFC 5322 §2.1
NO_LAST_LINE_END = "labkit_no_last_line_end"  # -D has one: without it Exim runs messages of an mbox together
HEADER_TYPES = {  # the letters by which Exim finds fields again; a blank stands for all others
    "bcc": "B", "cc": "C", "from": "F", "message-id": "I", "received": "P", "reply-to": "R", "sender": "S", "to": "T",
    "resent-bcc": "B", "resent-cc": "C", "resent-from": "F", "resent-sender": "S", "resent-to": "T",
}  # fmt: skip
_LETTERS = {name.encode(): letter.encode() for name, letter in HEADER_TYPES.items()}
_LINE_ENDS = bytes.maketrans(b"\r\n\0", b"   ")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_QUEUE_ID = re.compile(r"[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*")
_ADDRESS = re.compile(
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|(?P<atoms>[A-Za-z0-9!#$%&\'*+/=?^_`{|}~.-]+))'
    r"(?:@(?P<domain>[A-Za-z0-9_.-]+|\[[!-Z^-~]*\]))?"
)
# What a finished delivery is known by that is no address of its own: a file or a program with the address that named
# it, an address that an address of the same text became (Exim adds the transport).
_DELIVERY = re.compile(r"[/|].*:.+|\\.\\.+|.+@[^@/]+/\w+", re.DOTALL)
_AFTER_RECIPIENT = re.compile(r" .*#[0-9]+| [0-9]+(?:,[0-9]+,[0-9]+)?")  # Exim: DSN wishes, one-time aliases
_OPTION = re.compile(r"--?(?:\(\w+\))?(?P<name>\w+)(?: (?P<value>.*))?")  # "--": a stranger chose the value
OF_A_FILTER = (
    "spam_bar",
    "spam_score",
    "spam_score_int",
)  # what `spam =` has found out goes with the message
_ACL_VARIABLE = re.compile(r"--?(?:\(\w+\))?acl(?P<kind>[cm]?) (?P<name>\w+) (?P<length>[0-9]{1,9})")
_HEADER_COUNT = re.compile(rb"(?P<length>[0-9]{1,9})(?P<type>[^\n]) ")


class SpoolFormatError(ValueError):
    """A spool file that is broken; the text names the file and the line."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}, line {line}: {problem}")


def check_queue_id(queue_id: str) -> str:
    """The same id, if it is letters and digits (base 62) joined by hyphens: safe as part of a file name.

    Raises ValueError.
    """
    if len(queue_id) > LONGEST_QUEUE_ID or not _QUEUE_ID.fullmatch(queue_id):
        raise ValueError(f"not a queue id: {queue_id[:80]!r}")
    return queue_id


# Writing


def encode(item: QueueItem) -> tuple[bytes, bytes]:
    """The contents of `<id>-H` and `<id>-D`.

    Raises ValueError for what no SMTP session could have brought: an illegal queue id or address, a time of
    receipt without a zone, a line end in the HELO name, a port without an address.
    """
    queue_id = check_queue_id(item.queue_id)
    fields, has_empty_line, body = _cut(item.content)
    lacks_line_end = bool(body) and not body.endswith(CRLF)
    if lacks_line_end:
        body += CRLF
    unix_body = body.translate(None, b"\r")
    body_lines = unix_body.split(LF)
    line_count = len(body_lines) - 1
    is_unix = len(body) - len(unix_body) == line_count == body.count(CRLF)  # so many CR, LF and pairs of them
    header_lines = b"".join(field.raw for field in fields).split(CRLF)
    longest = max(max(map(len, lines)) for lines in (header_lines, body_lines))
    seconds, microseconds = _since_epoch(item.received_at)
    origin, sender = item.origin, item.envelope.reverse_path
    if not 0 <= origin.client_port <= 65535 or (origin.client_port and not origin.client_address):
        raise ValueError(f"{queue_id}: port {origin.client_port} of no client")
    options = {
        "-received_time_usec": f".{microseconds:06d}",
        "-received_time_complete": f"{seconds}.{microseconds:06d}",
        "--helo_name": origin.helo_name,
        "--host_name": origin.client_name,
        "--host_auth": origin.authenticator,
        "-host_address": origin.client_address and f"[{origin.client_address}]:{origin.client_port}",
        "-ident": origin.login,
        "-received_protocol": origin.protocol,
        "-body_linecount": str(line_count) if is_unix else "",
        "-max_received_linelength": str(longest),
        "-body_zerocount": str(body.count(0)) if b"\0" in body else "",
        "--auth_id": origin.authenticated_id,
        "--auth_sender": origin.authenticated_sender,
        "-frozen": str(_since_epoch(item.frozen_at or item.received_at)[0] if item.frozen else ""),
        **options_of(origin.encryption),
        "-dsn_envid": item.envelope.identifier,
        "-dsn_ret": RETURNS.get(item.envelope.returns, ""),
    }
    flags = {
        "-spool_file_wireformat": not is_unix,
        "-local": bool(origin.login) and not (origin.is_report or origin.names_sender),
        "-localerror": origin.is_report,
        "-deliver_firsttime": item.is_untried,
        "-manual_thaw": item.is_thawed_by_hand,
        "-tls_certificate_verified": origin.encryption is not None and origin.encryption.is_verified,
        f"-{NO_EMPTY_LINE}": not has_empty_line,
        f"-{NO_LAST_LINE_END}": lacks_line_end,
    }
    lines = [
        f"{queue_id}-H",
        f"{origin.login} 65534 65534" if origin.login else NOBODY,
        f"<{'' if sender is None else _checked(str(sender))}>",
        f"{seconds} {item.warnings}",
        *(f"{name} {value}" for name, value in options.items() if value),
        *(name for name, is_set in flags.items() if is_set),
        *(_tree(sorted(map(address_line, item.finished))) or ["XX"]),
        str(len(item.envelope.forward_paths)),
        *(
            with_wishes(_recipient_line(each), item.envelope.wishes_of(each))
            for each in item.envelope.forward_paths
        ),
    ]
    if any(c in line for line in lines for c in "\n\0"):
        raise ValueError(f"{queue_id}: a line end or NUL inside a name that came with the message")
    lines[4:4] = [_acl_variable(name, value) for name, value in item.acl_variables]
    envelope = "\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    header = b"".join(map(_counted, fields))
    return envelope + header, f"{queue_id}-D\n".encode() + (unix_body if is_unix else body)


def address_line(mailbox: Mailbox) -> str:
    """An address as the tree and the journal `<id>-J` have it. Raises ValueError.

    Of a delivery to a file or a program it is that with its address: Mailbox("/var/mail/ann:ann@a.test", "").
    """
    if not mailbox.domain and _DELIVERY.fullmatch(mailbox.local_part):
        octets = mailbox.local_part.encode("latin-1", "replace")
        return octets.translate(_LINE_ENDS).decode("utf-8", "surrogateescape")
    return _recipient_line(mailbox)


def _recipient_line(mailbox: Mailbox) -> str:
    """An address as the list of recipients has it. Raises ValueError.

    Exim looks for more data at the end of a recipient's line, where a domain cannot be mistaken for it.
    An address without a domain can: then it is quoted.
    """
    text = _checked(str(mailbox))
    return f'"{text}"' if not mailbox.domain and re.search(r"(?:^|#)[0-9]*$", text) else text


def _acl_variable(name: str, value: str) -> str:
    """The line of a variable, and its value, which may have line ends in it; a filter's verdict is an option."""
    if name in OF_A_FILTER:
        return f"-{name} {''.join(c for c in value if c.isascii() and c.isprintable())}"
    octets = value.encode("latin-1", "replace").replace(b"\0", b"")
    return f"--acl{name[4]} {name[5:]} {len(octets)}\n" + octets.decode("utf-8", "surrogateescape")


def _delivery(text: str) -> Mailbox | None:
    """The reverse, for what is no address."""
    octets = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return Mailbox(octets, "") if _DELIVERY.fullmatch(octets) and not _ADDRESS.fullmatch(text) else None


def _checked(address: str) -> str:
    if not (address.isascii() and address.isprintable() and _ADDRESS.fullmatch(address)):
        raise ValueError(f"not an address: {address[:80]!r}")
    return address


def _cut(content: bytes) -> tuple[Sequence[HeaderField], bool, bytes]:
    """Header fields for -H, whether the empty line follows them, and the rest for -D."""

    def can_be_kept(field: HeaderField) -> bool:
        return b"\0" not in field.raw and is_canonical(field.raw)

    fields: Sequence[HeaderField] = Message.parse(content).header_fields
    end = sum(len(field.raw) for field in fields)
    if not can_be_kept(HeaderField(content[:end])):  # not all of them
        fields = list(takewhile(can_be_kept, fields))
        end = sum(len(field.raw) for field in fields)
    has_empty_line = content.startswith(CRLF, end)
    return fields, has_empty_line, content[end + len(CRLF) * has_empty_line :]


def _counted(field: HeaderField) -> bytes:
    """A header field after its length and its letter."""
    text = field.raw.replace(CRLF, LF)
    name = text.partition(b":")[0].rstrip(b" \t").lower()
    return b"%03d%b %b" % (len(text), _LETTERS.get(name, b" "), text)


def _since_epoch(at: datetime) -> tuple[int, int]:
    if at.utcoffset() is None:
        raise ValueError(f"{at} has no time zone")
    seconds, rest = divmod(at - _EPOCH, timedelta(seconds=1))
    return seconds, rest.microseconds


def _tree(addresses: Sequence[str]) -> list[str]:
    """A balanced search tree, node before branches; Y or N tell whether a left and a right branch follow."""
    if not addresses:
        return []
    middle = len(addresses) // 2
    left, right = _tree(addresses[:middle]), _tree(addresses[middle + 1 :])
    return [f"{'NY'[bool(left)]}{'NY'[bool(right)]} {addresses[middle]}", *left, *right]


# Reading


def decode(header_file: bytes, data_file: bytes) -> QueueItem:
    """The queue item in these two files. Raises SpoolFormatError, and nothing else, if they are broken."""
    reader = _Reader(header_file, "the -H file")
    queue_id = reader.name_line()
    reader.match(r".+ -?[0-9]+ -?[0-9]+", "login, uid and gid")
    (sender,) = reader.match(r"<(.*)>", "the sender in angle brackets")
    reverse_path = reader.mailbox(sender) if sender else None
    seconds, warnings = reader.match(
        r"(-?[0-9]{1,12}) ([0-9]{1,9})", "the time of receipt and the number of warnings"
    )
    try:
        received_at = _EPOCH + timedelta(seconds=int(seconds))
    except OverflowError:
        raise reader.error(f"no date is {seconds} seconds from 1970") from None
    root = reader.read_options()
    (microseconds,) = reader.option(r"received_time_usec \.([0-9]{6})")
    finished = reader.tree(root)
    (count,) = reader.match(r"([0-9]{1,9})", "the number of recipients")
    recipients = tuple(reader.recipient() for _ in range(int(count)))
    wishes = {
        recipient.key: (recipient, said) for recipient, said in reversed(recipients) if said != NO_WISHES
    }
    reader.match("", "an empty line")
    header = reader.header()
    if NO_EMPTY_LINE not in reader.options:
        header += CRLF
    address, port = reader.option(r"host_address \[(.+)\]:([0-9]{1,5})")
    if int(port or 0) > 65535:
        raise reader.error(f"no client has the port {port}")
    given = reader.options.get
    (since,) = reader.option(r"frozen (-?[0-9]{1,12})")
    return QueueItem(
        queue_id,
        Envelope(
            reverse_path,
            tuple(recipient for recipient, _ in recipients),
            returns_in(reader.options),
            given("dsn_envid", ""),
            tuple(reversed(wishes.values())),
        ),
        header + _body(data_file, queue_id, reader.options),
        received_at + timedelta(microseconds=int(microseconds or 0)),
        Origin(
            address,
            int(port or 0),
            given("helo_name", ""),
            given("received_protocol", ""),
            given("ident", ""),
            given("host_name", ""),
            encryption_in(reader.options),
            given("host_auth", ""),
            given("auth_id", ""),
            "localerror" in reader.options,
            given("auth_sender", ""),
            bool(given("ident", "")) and not {"local", "localerror"} & set(reader.options),
        ),
        frozenset(finished),
        "frozen" in reader.options,
        (
            *reader.acl_variables,
            *((each, reader.options[each]) for each in OF_A_FILTER if reader.options.get(each)),
        ),
        _EPOCH + timedelta(seconds=int(since)) if since and since != seconds else None,
        "manual_thaw" in reader.options,
        "deliver_firsttime" in reader.options,
        int(warnings),
    )


def decode_journal(journal: bytes) -> tuple[list[Mailbox], list[str]]:
    """The addresses in a `<id>-J`, one a line, and a word about each line that is none. Never fails.

    What follows the last line end was cut off by a crash: whether that delivery was finished, nobody knows.
    """
    reader = _Reader(journal, "the -J file")
    mailboxes, troubles = [], []
    for _ in range(journal.count(LF)):
        try:
            mailboxes.append(reader.finished(reader.next("an address")))
        except SpoolFormatError as problem:
            troubles.append(str(problem))
    return mailboxes, troubles


class _Reader:
    """A file, read line by line."""

    def __init__(self, text: bytes, file: str) -> None:
        self.options: dict[str, str] = {}
        self.acl_variables: list[tuple[str, str]] = []
        self._text = text
        self._file = file
        self._position = 0
        self._number = 0  # of the line read last
        self._option_numbers: dict[str, int] = {}

    def error(self, problem: str, number: int | None = None) -> SpoolFormatError:
        return SpoolFormatError(self._file, self._number if number is None else number, problem)

    def next(self, what: str) -> str:
        self._number += 1
        end = self._text.find(LF, self._position)
        if end < 0:
            raise self.error(f"the file ends where {what} should be")
        line = self._text[self._position : end]
        self._position = end + 1
        if b"\0" in line:  # what a power cut may leave of a file
            raise self.error(f"NUL where {what} should be")
        return line.decode("utf-8", "surrogateescape")

    def match(self, pattern: str, what: str) -> tuple[str, ...]:
        """The groups of a line that looks as it should."""
        line = self.next(what)
        if not (found := re.fullmatch(pattern, line)):
            raise self.error(f"{what} expected, not {line[:80]!r}")
        return tuple(found.groups())

    def name_line(self) -> str:
        (queue_id,) = self.match(f"({_QUEUE_ID.pattern})-H", "the name of the file, a queue id and -H,")
        if len(queue_id) > LONGEST_QUEUE_ID:
            raise self.error(f"not a queue id: {queue_id[:80]!r}")
        self._file = f"{queue_id}-H"
        return queue_id

    def mailbox(self, text: str, more: re.Pattern[str] | None = None) -> Mailbox:
        found = _ADDRESS.match(text) if text.isascii() and text.isprintable() else None
        if not found or not (found.end() == len(text) or (more and more.fullmatch(text, found.end()))):
            raise self.error(f"an address expected, not {text[:80]!r}")
        quoted = found["quoted"]
        local_part = found["atoms"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        return Mailbox(local_part, found["domain"] or "")

    def finished(self, text: str) -> Mailbox:
        """An address, or what else a delivery is known by."""
        return _delivery(text) or self.mailbox(text)

    def recipient(self) -> tuple[Mailbox, Wishes]:
        """With what the sender wants to hear of him."""
        line = self.next("a recipient")
        mailbox = self.mailbox(line, _AFTER_RECIPIENT)
        found = _ADDRESS.match(line)
        return mailbox, wishes_in(line[found.end() :] if found else "")

    def read_options(self) -> str:
        """Read the lines that begin with a hyphen; returns the first one that does not."""
        while (line := self.next("an option or the non-recipients")).startswith("-"):
            if variable := _ACL_VARIABLE.fullmatch(line):  # its value follows, and may contain line ends
                length = int(variable["length"])
                value = self._text[self._position : self._position + length].decode("latin-1")
                self.acl_variables.append((f"acl_{variable['kind']}{variable['name']}", value))
                self._skip(length + 1)
            elif option := _OPTION.fullmatch(line):
                self.options[option["name"]] = option["value"] or ""
                self._option_numbers[option["name"]] = self._number
        return line

    def option(self, pattern: str) -> tuple[str, ...]:
        """The groups of an option's line, `pattern` being its name, a blank and its value; empty if it is absent."""
        name = pattern.partition(" ")[0]
        expected = re.compile(pattern)
        if name not in self.options:
            return ("",) * expected.groups
        line = f"{name} {self.options[name]}"
        if not (found := expected.fullmatch(line)):
            raise self.error(f"what is -{line[:80]!r}?", self._option_numbers[name])
        return tuple(found.groups())

    def tree(self, line: str) -> list[Mailbox]:
        """The non-recipients, from the root's line on."""
        if line == "XX":
            return []
        found, missing = [], 1
        while True:
            if not re.match(r"[YN]{2} ", line):
                raise self.error(f"XX, or YY, YN, NY or NN and an address, expected, not {line[:80]!r}")
            found.append(self.finished(line[3:]))
            missing += line[:2].count("Y") - 1
            if not missing:
                return found
            line = self.next("a non-recipient")

    def header(self) -> bytes:
        """What is left: each field after its length and its letter; a replaced field has an asterisk for it."""
        fields = []
        while self._position < len(self._text):
            count = _HEADER_COUNT.match(self._text, self._position)
            field = self._text[count.end() : count.end() + int(count["length"])] if count else b""
            if count is None or not field.endswith(LF) or len(field) < int(count["length"]) or b"\0" in field:
                raise self.error("a header field after its length expected", self._number + 1)
            self._skip(len(count[0]) + len(field))
            if count["type"] != b"*":
                fields.append(field.replace(LF, CRLF))
        return b"".join(fields)

    def _skip(self, length: int) -> None:
        self._number += self._text.count(LF, self._position, self._position + length)
        self._position += length


def _body(data_file: bytes, queue_id: str, options: dict[str, str]) -> bytes:
    """The body as the content has it."""
    name, line_end, body = data_file.partition(LF)
    if name != f"{queue_id}-D".encode() or not line_end:
        raise SpoolFormatError(f"{queue_id}-D", 1, f"the name of the file expected, not {name[:80]!r}")
    if "spool_file_wireformat" not in options:
        count = body.count(LF)
        if (expected := options.get("body_linecount", str(count))) != str(count):
            problem = f"{expected[:20]} lines expected, {count} found: cut off or edited"
            raise SpoolFormatError(f"{queue_id}-D", count + 1, problem)
        body = body.replace(LF, CRLF)
    return body.removesuffix(CRLF) if NO_LAST_LINE_END in options else body
