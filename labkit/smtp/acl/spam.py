"""spam = user:true/defer_ok: what a content filter says of the message.

ASKS       SpamScore of one of the servers of spamd_address, once for a message unless the user name changes
SETS       $spam_score, $spam_score_int, $spam_bar, $spam_report, $spam_action
RULES      the user "0" or "false", or none, asks nobody: the condition does not hold. With `:true` it always holds: it
           only sets the variables. With /defer_ok it does not hold where no server could tell.
LIKE EXIM  the message has a line `From ` and the envelope (X-Envelope-From:, X-Envelope-To:) in front, as in a mbox;
           a server that was reached and then fails is not replaced by another one
STANDARDS  Exim specification, chapter "Content scanning at ACL time", section "Scanning with SpamAssassin and Rspamd"
READ NEXT  spam_servers.py, spam_answer.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import Value, compile_text
from labkit.eximconf.expansion.splitting import separator_of, split_list
from labkit.eximconf.place import Place
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.dates import mbox_date
from labkit.mail.lookups import RandomNumber
from labkit.mail.questions import FilterSaid, NoScore, SpamScore
from labkit.smtp.acl.scene import Judged, LogLine, Scene
from labkit.smtp.acl.spam_answer import read_answer
from labkit.smtp.acl.spam_servers import SpamServer, most_wanted, servers_of
from labkit.smtp.acl.values import NO, YES, Check, on_value_asking
from labkit.smtp.acl.verdicts import Found

_NO_ADDRESS = "no IP address found for host"
_OF_EXIM = "spam acl condition:"
_OF_CLIENT = tuple(
    (name, compile_text(f"${variable}", Place("spamd", 1)))
    for name, variable in (
        ("Helo", "sender_helo_name"),
        ("Hostname", "sender_host_name"),
        ("IP", "sender_host_address"),
        ("User", "authenticated_id"),
    )
)


def check(line: Setting, is_negated: bool) -> Check:
    return on_value_asking(line, _spam, turns=is_negated)


def _spam(scene: Scene, text: str) -> Asking[Found]:
    words = split_list(text, "/")
    found = yield from _judged(scene, words[0] if words else "")
    if found is Found.LATER and any(word.lower() == "defer_ok" for word in words[1:]):
        scene.because = "no content filter could tell, which is no refusal here (defer_ok)"
        return NO
    return found


def _judged(scene: Scene, text: str) -> Asking[Found]:
    user, rest = _user_of(text)
    if user is None or user == "0" or user.lower() == "false":
        scene.because = "no content filter is asked"
        return NO
    address = yield from _address(scene)
    if address is None:
        return Found.LATER
    known = scene.memory.spam
    if known is None or (known.user, known.address) != (user, address):
        known = yield from _asked(scene, user, address)
        if known is None:
            return Found.LATER
        scene.memory.spam = known
    score = scene.env.variables.get("spam_score", "")
    scene.because = f"the content filter's score is {score}: {'spam' if known.is_spam else 'no spam'}"
    return YES if known.is_spam or rest.lower() == "true" else NO


def _user_of(text: str) -> tuple[str | None, str]:
    """The first item of the list, and what stands behind its separator, blanks and all."""
    separator, body = separator_of(text)
    if not body.strip():
        return None, ""
    end = body.find(separator)
    while end >= 0 and body[end : end + 2] == separator * 2:
        end = body.find(separator, end + 2)
    user, rest = (body, "") if end < 0 else (body[:end], body[end + 1 :])
    return user.replace(separator * 2, separator).strip(), rest


def _address(scene: Scene) -> Asking[str | None]:
    """The option spamd_address; only one that begins with a dollar sign is expanded."""
    option = scene.spam.address
    if option is None:
        return "127.0.0.1 783"
    if not option.text.startswith("$"):
        return option.text
    outcome = yield from option.asking(scene.env)
    if isinstance(outcome, Value):
        return outcome.text
    words = getattr(outcome, "message", "")
    _panic(scene, f"spamd_address starts with $, but expansion failed: {words}")
    return None


def _asked(scene: Scene, user: str, address: str) -> Asking[Judged | None]:
    """Ask one server; None if nobody could tell."""
    servers, complaints = servers_of(address)
    scene.logged += [LogLine(f"{_OF_EXIM} warning - {words}") for words in complaints]
    if not servers:
        _panic(scene, "no useable spamd server addresses in spamd_address configuration option.")
        return None
    content = _as_mbox(scene)
    while servers:
        server = yield from _chosen(servers)
        if server is None:
            break
        head = _spamd_head(user, content)
        if server.is_rspamd:
            head = yield from _rspamd_head(scene, content)
        octets = head.encode("latin-1", "replace")
        question = SpamScore(
            server.place, octets, content, server.timeout, server.retry, not server.is_rspamd
        )
        found = yield from ask(question)
        if not isinstance(found, NoScore):
            return _told(scene, server, found, user, address)
        if not found.is_unreached:
            _panic(scene, found.words)
            return None
        if found.words.startswith(_NO_ADDRESS):  # the look-up has a line of its own
            scene.logged.append(LogLine(found.words))
        scene.logged.append(LogLine(f"{_OF_EXIM} spamd: {found.words}"))
        servers = tuple(each for each in servers if each is not server)
    _panic(scene, "all spamd servers failed")
    return None


def _chosen(servers: tuple[SpamServer, ...]) -> Asking[SpamServer | None]:
    """One of those with the highest priority, by their weights."""
    if len(servers) == 1:
        return servers[0]
    wanted = most_wanted(servers)
    total = sum(each.weight for each in wanted)
    if not total:
        return None
    number = yield from ask(RandomNumber(total))
    for server in wanted:
        number -= server.weight
        if number < 0:
            return server
    return wanted[-1]


def _spamd_head(user: str, content: bytes) -> str:
    return f"REPORT SPAMC/1.2\r\nUser: {user}\r\nContent-length: {len(content)}\r\n\r\n"


def _rspamd_head(scene: Scene, content: bytes) -> Asking[str]:
    values = scene.env.variables
    recipients = [str(each) for each in scene.recipients]
    lines = [
        "CHECK RSPAMC/1.3",
        f"Content-length: {len(content)}",
        f"Queue-Id: {values.get('message_exim_id', '')}",
        f"From: <{values.get('sender_address', '')}>",
        f"Recipient-Number: {len(recipients)}",
        *(f"Rcpt: <{each}>" for each in recipients),
    ]
    for name, text in _OF_CLIENT:
        outcome = yield from text.asking(scene.env)  # $sender_host_name may have to be looked up
        if isinstance(outcome, Value) and outcome.text:
            lines.append(f"{name}: {outcome.text}")
    return "".join(f"{line}\r\n" for line in (*lines, ""))


def _as_mbox(scene: Scene) -> bytes:
    """The message as the filter gets it."""
    values = scene.env.variables
    sender = values.get("sender_address", "")
    date = mbox_date(scene.env.now) if scene.env.now is not None else ""
    lines = [f"From {scene.memory.return_path or 'MAILER-DAEMON'} {date}\n"]
    if sender:
        lines.append(f"X-Envelope-From: <{sender}>\n")
    if scene.recipients:
        lines.append(f"X-Envelope-To: {', '.join(map(str, scene.recipients))}\n")
    return "".join(lines).encode("latin-1", "replace") + scene.spam.message()


def _told(scene: Scene, server: SpamServer, said: FilterSaid, user: str, address: str) -> Judged | None:
    """Read the answer, and set the variables."""
    answer = read_answer(said.said, is_rspamd=server.is_rspamd)
    if isinstance(answer, str):
        _panic(scene, f"cannot parse spamd {said.shown}{answer}")
        return None
    scene.env.variables |= answer.variables
    return Judged(user, address, answer.is_spam)


def _panic(scene: Scene, words: str) -> None:
    scene.because = words
    scene.logged.append(LogLine(f"{_OF_EXIM} {words}", ("main", "panic")))
