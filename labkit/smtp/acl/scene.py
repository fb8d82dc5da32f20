"""What an ACL looks at and what it leaves behind: one Scene for a connection.

WHAT       whoever runs ACLs keeps one Scene as long as the client stays, and sets `phase`, `recipient` and the
           variables of `env` before each run. What ACLs did is in `session` (until the client goes) and `effects`
           (until the message is over); what they remember is in `memory`.
VARIABLES  what conditions look at: sender_host_address (empty: no connection), sender_host_name, sender_helo_name,
           sender_address, sender_host_authenticated, authenticated_id, tls_in_cipher, tls_in_certificate_verified,
           message_size, recipients_count, sender_ident and sender_fullhost; header fields are in env.headers.
RULES      `begin_message` forgets what belongs to a message: call it where Exim does (MAIL, RSET, HELO, STARTTLS, and
           when a message is done). acl_m variables go with it, acl_c variables stay.
READ NEXT  values.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.eximconf.expansion import Compiled, Env
from labkit.eximconf.lists import ListKind, Match
from labkit.mail.address import Mailbox
from labkit.mail.questions import Verification
from labkit.mail.reply import Reply, folded, shaped
from labkit.smtp.acl.phases import Phase
from labkit.smtp.acl.verdicts import AclStep

if TYPE_CHECKING:
    from labkit.smtp.acl.acls import Acls


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line for the log. `logs` are of main, reject and panic."""

    text: str
    logs: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True)
class AddedField:
    """A header field to be added. `place`: at_end, at_start, at_start_rfc (before the first field that is neither
    Received: nor Resent-…) or after_received. `text` is name, colon and body, lines joined by LF, without the last."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Submission:
    """control = submission: how missing header fields are made."""

    retains_sender: bool = False
    domain: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    """control = fakereject or fakedefer: what the client hears although the message is kept."""

    code: int
    text: str

    @property
    def reply(self) -> Reply:
        return shaped(self.code, "", folded(self.text))


@dataclass(slots=True)
class SessionEffects:
    """What controls have set for the rest of the connection. None: as the configuration says."""

    enforces_sync: bool | None = None
    offers_pipelining: bool = True
    multiline: bool = True
    flushes_before_delay: bool = True
    flushes_before_callout: bool = True
    auth_unadvertised: bool = False


@dataclass(slots=True)
class MessageEffects:
    """What ACLs have done to the message that is being received."""

    added: list[AddedField] = field(default_factory=list)
    removed: str = ""  # names with colons between, as remove_header wrote them
    submission: Submission | None = None
    verifies_dkim: bool = True
    is_frozen: bool = False
    tells_of_freezing: bool = True  # freeze_tell counts
    queues: str = ""  # "only": nothing is tried at once; "first_pass_route": it is only routed
    fake: FakeAnswer | None = None
    local_fixups: bool = True


@dataclass(slots=True)
class Checked:
    """A sender that was verified. `told`: the client has heard the details once."""

    address: str
    verification: Verification | None  # None: the null sender, which needs none
    told: bool = False
    called_out: bool = False


@dataclass(slots=True)
class Listed:
    """What a DNS list said of one name. `text` None: nobody has asked for it yet."""

    addresses: tuple[str, ...]
    is_unknown: bool = False  # there was no answer
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ClientName:
    """What came of looking up the client's name: `found` None means that the DNS gave no answer."""

    found: bool | None
    names: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a content filter said of this message, for one user name of its own."""

    user: str
    address: str
    is_spam: bool


@dataclass(slots=True)
class Memory:
    """What is remembered so that nothing is asked twice."""

    # for the connection
    listed: dict[str, Listed] = field(default_factory=dict)
    rates_of_connection: dict[str, float] = field(default_factory=dict)
    client: ClientName | None = None
    hosts: dict[object, Match] = field(default_factory=dict)  # what named host lists have said of the client
    helo: tuple[str, bool] | None = None  # the name that was verified, and what came of it
    # for the message
    senders: dict[str, Checked] = field(default_factory=dict)
    has_rewritten_sender: bool = False  # verifying it did; $sender_address is the new one
    rates_of_message: dict[str, float] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    spam: Judged | None = None
    return_path: str = ""  # as routing a recipient has left it: verify = recipient did
    # for the command
    rates_of_command: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SpfWishes:
    """The options spf_guess and spf_smtp_comment_template. `comment`: the template, expanded for this connection."""

    guess: str = ""
    template: Compiled | None = None
    comment: str | None = None


@dataclass(slots=True)
class SpamWishes:
    """The option spamd_address, and what a content filter is given: the message as it is now, lines ended by LF."""

    address: Compiled | None = None
    message: Callable[[], bytes] = bytes


@dataclass(slots=True)
class Scene:
    """`recipients` are those taken so far, `logged` what is to be written into logs (take the lines away)."""

    phase: Phase
    env: Env
    recipient: Mailbox | None = None
    recipients: Sequence[Mailbox] = ()
    session: SessionEffects = field(default_factory=SessionEffects)
    effects: MessageEffects = field(default_factory=MessageEffects)
    memory: Memory = field(default_factory=Memory)
    spf: SpfWishes = field(default_factory=SpfWishes)
    spam: SpamWishes = field(default_factory=SpamWishes)
    logged: list[LogLine] = field(default_factory=list)
    watched: bool = False
    gives_details: bool = False  # smtp_return_error_details
    takes_unqualified: tuple[bool, bool] = (
        False,
        False,
    )  # senders, recipients without a domain in header fields
    # while an ACL runs
    words: str | None = None  # what the client would hear
    log: str | None = None  # what the log would say
    tells: bool = False  # a 451 says its words
    was_callout: bool = False  # what could not be found out is what another host would say
    failed_sender: Checked | None = None
    reject_logs: tuple[str, ...] = ("main", "reject")
    level: int = 0  # how many ACLs stand around this one
    because: str = ""
    steps: list[AclStep] = field(default_factory=list)
    inside: tuple[AclStep, ...] = ()
    acls: Acls | None = None

    def begin_message(self) -> None:
        """Forget the message before."""
        self.effects = MessageEffects()
        memory = self.memory
        memory.senders, memory.rates_of_message, memory.warned = {}, {}, set()
        memory.spam, memory.return_path = None, ""
        memory.has_rewritten_sender = False
        kept = {key: value for key, value in self.env.memo.items() if _is_of_client(key)}
        self.env.memo.clear()
        self.env.memo.update(kept)
        variables = self.env.variables
        for name in [each for each in variables if each.startswith("acl_m") or each in _OF_A_MESSAGE]:
            del variables[name]
        if "spf_result_guessed" in variables:
            variables["spf_result_guessed"] = "no"


def _is_of_client(key: object) -> bool:
    """What named host lists said stays true as long as the client is the same."""
    return isinstance(key, tuple) and key[:2] == ("list", ListKind.HOST)


_OF_A_MESSAGE = frozenset(
    """domain_data local_part_data recipient_data sender_data recipient_verify_failure dnslist_domain
    dnslist_matched sender_rate sender_rate_limit sender_rate_period headers_added
    spf_result spf_smtp_comment spf_header_comment spf_received""".split()
)
