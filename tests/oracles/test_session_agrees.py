"""The real Exim as judge of whole sessions: what the client hears, and what the log hears of it.

HOW        `exim -bh` plays a server for one client, and so does labkit-exim; compared are the replies and the lines
           after LOG:, word for word. Sizes of messages are left out: the two names of the software differ in length.
NOT ASKED  what Exim 4.96 does wrong: an empty piece (BDAT 0) can end its process, and QUIT between two pieces makes a
           message of what came so far
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from unittest.mock import patch

import pytest

from labkit.cli.exim import main

from .real_exim import RealExim
from .test_exim_agrees import CLIENT, PRELUDE, USUAL

OFFERS = re.compile(r"(?m)^(?:chunking|dsn)_advertise_hosts.*\n")
CHUNKING = "chunking_advertise_hosts = *\ndsn_advertise_hosts = *\nsmtp_max_synprot_errors = 100\n"
LOGS_ERRORS = "log_selector = +smtp_protocol_error +smtp_syntax_error +smtp_no_mail\n"
EHLO, MAIL, RCPT = "EHLO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<bob@here.test>\r\n"
MESSAGE = f"{MAIL}{RCPT}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
HEADER = "Subject: x\r\n\r\n"
QUIT = "QUIT\r\n"


def lines(*said: str) -> str:
    return "".join(f"{line}\r\n" for line in said)


def piece(octets: str, last: str = "") -> str:
    return f"BDAT {len(octets)}{last}\r\n{octets}"


LAST = " LAST"
SESSIONS: dict[str, tuple[str, str]] = {
    "parameters nobody knows": (
        "",
        EHLO
        + lines(
            "MAIL FROM:<a@b.test> FOO=1",
            "MAIL FROM:<a@b.test> FOO",
            "MAIL FROM:<a@b.test> SIZE=",
            "RSET",
            "MAIL FROM:<a@b.test> BODY=8BITMIME FOO",
        )
        + QUIT,
    ),
    "names of clients": (
        "smtp_max_synprot_errors = 50\n",
        lines("EHLO a_b", "EHLO -a-", "HELO [1.2.3]", "EHLO [IPv6:::1]", "EHLO [::1]", "EHLO [IPv4:1.2.3.4]")
        + lines("EHLO a..b", "EHLO", "EHLO a b")
        + QUIT,
    ),
    "more characters in names": ("helo_allow_chars = _\n", lines("EHLO a_b", "EHLO a/b") + QUIT),
    "junk in names": (f"helo_accept_junk_hosts = {CLIENT}\n", lines("EHLO a_b c", "HELO !!") + QUIT),
    "no greeting": ("", MAIL + EHLO + MAIL + QUIT),
    "no greeting needed": ("hosts_require_helo =\n", MAIL + RCPT + QUIT),
    "errors of order": (LOGS_ERRORS, lines("RCPT TO:<a@b.test>", "DATA", "BDAT 3 LAST") + EHLO + QUIT),
    "too many errors": ("", EHLO + RCPT * 5),
    "too many bad names": ("", lines("EHLO a_b") * 5),
    "too many unknown commands": ("smtp_max_unknown_commands = 2\n", EHLO + lines("FOO", "BAR", "BAZ")),
    "too many other commands": ("", EHLO + lines("NOOP") * 12),
    "other commands are not counted": ("smtp_accept_max_nonmail_hosts =\n", EHLO + lines("NOOP") * 12 + QUIT),
    "the client goes away": ("", EHLO + MAIL + RCPT),
    "the client goes away idle": ("log_selector = +smtp_no_mail\n", EHLO + lines("NOOP")),
    "nothing but QUIT": ("log_selector = +smtp_no_mail +smtp_connection\n", EHLO + QUIT),
    "VRFY, EXPN, ETRN without ACLs": (
        "",
        EHLO + lines("VRFY bob", "VRFY bob@here.test", "EXPN a", "ETRN #a") + MAIL + lines("ETRN #a") + QUIT,
    ),
    "VRFY, EXPN, ETRN with ACLs": (
        "acl_smtp_vrfy = accept\nacl_smtp_expn = deny message = no\nacl_smtp_etrn = accept\n",
        EHLO
        + lines("VRFY bob@here.test", "VRFY zork@here.test", "EXPN a", "ETRN #a", "ETRN a", "HELP")
        + QUIT,
    ),
    "too many recipients": ("recipients_max = 2\n", EHLO + MAIL + RCPT * 4 + lines("RSET") + QUIT),
    "too many recipients, and none gets it": (
        "recipients_max = 2\nrecipients_max_reject\n",
        EHLO + MAIL + RCPT * 4 + lines("DATA") + MAIL + QUIT,
    ),
    "too many messages": ("smtp_accept_max_per_connection = 2\n", EHLO + (MAIL + lines("RSET")) * 3),
    "sizes": (
        "message_size_limit = 2000\n",
        EHLO
        + lines("MAIL FROM:<a@b.test> SIZE=3000", "MAIL FROM:<a@b.test> SIZE=9999999999999")
        + MAIL
        + RCPT
        + lines("DATA", "Subject: x", "", "y" * 3000, ".")
        + QUIT,
    ),
    "a size for this client": (
        f"message_size_limit = ${{if eq{{$sender_host_address}}{{{CLIENT}}}{{100}}{{200}}}}\n",
        EHLO + lines("MAIL FROM:<a@b.test> SIZE=150") + QUIT,
    ),
    "a size that is none": ("message_size_limit = ${if eq{a}{a}{x}{y}}\n", ""),
    "a long header line": (
        "header_line_maxsize = 50\n",
        EHLO + MAIL + RCPT + lines("DATA", "A: " + "b" * 46, "Subject: " + "x" * 60, "", "y", ".") + QUIT,
    ),
    "a header line just short enough": (
        "header_line_maxsize = 50\n",
        EHLO + MAIL + RCPT + lines("DATA", "A: " + "b" * 46, "", "y", ".") + QUIT,
    ),
    "addresses without a domain": ("", EHLO + lines("MAIL FROM:<x>") + MAIL + lines("RCPT TO:<bob>") + QUIT),
    "addresses that need no domain": (
        f"sender_unqualified_hosts = {CLIENT}\nrecipient_unqualified_hosts = {CLIENT}\n",
        EHLO + lines("MAIL FROM:<x>", "RCPT TO:<bob>") + QUIT,
    ),
    "a client nobody wants": (f"host_reject_connection = {CLIENT}\n", ""),
    "another name for us": ("smtp_active_hostname = other.test\n", EHLO + lines("NOOP") + QUIT),
    "a banner": ("smtp_banner = hello $sender_host_address\n", EHLO + QUIT),
    "a connection refused": ("acl_smtp_connect = deny message = go away\n", ""),
    "a greeting refused": ("acl_smtp_helo = deny message = not you\n", EHLO + lines("HELO y.test") + MAIL),
    "a greeting dropped": ("acl_smtp_helo = drop\nlog_selector = +smtp_connection\n", EHLO),
    "refused, and nothing in the log": (
        "acl_smtp_mail = deny log_reject_target = \n",
        EHLO + MAIL + QUIT,
    ),
    "a name that must be the client's": (
        f"helo_verify_hosts = {CLIENT}\n",
        lines("EHLO [203.0.113.8]", "EHLO [203.0.113.9]") + MAIL + QUIT,
    ),
    "a name that should be the client's": (
        f"helo_try_verify_hosts = {CLIENT}\nacl_smtp_mail = deny !verify = helo\n",
        lines("EHLO [203.0.113.8]") + MAIL + lines("EHLO [203.0.113.9]") + MAIL + QUIT,
    ),
    "no 8BITMIME": ("accept_8bitmime = no\n", EHLO + lines("MAIL FROM:<a@b.test> BODY=8BITMIME") + QUIT),
    "no PIPELINING": ("pipelining_advertise_hosts =\n", EHLO + QUIT),
    "not QUIT": (
        "acl_smtp_notquit = warn logwrite = $smtp_notquit_reason\n",
        EHLO + lines("NOOP") * 12,
    ),
    "not QUIT, with words": ("acl_smtp_notquit = accept message = bye\n", EHLO + lines("NOOP") * 12),
    "pieces": (
        CHUNKING,
        EHLO
        + (MAIL + RCPT + piece(HEADER + "hello\r\n") + piece("abcd", LAST))
        + (MAIL + RCPT + piece("abc", LAST))
        + (MAIL + RCPT + piece(HEADER, LAST))
        + (MAIL + RCPT + piece(HEADER + "a\r\n.\r\n..c\r\n", LAST))
        + (MAIL + RCPT + piece("a: b\r\n", LAST))
        + MESSAGE
        + QUIT,
    ),
    "pieces without recipients": (
        CHUNKING + LOGS_ERRORS,
        EHLO
        + (piece("abcd") + lines("BDAT", "BDAT x") + MAIL + piece("abcd", LAST))
        + lines("RCPT TO:<zork@here.test>")
        + (piece("abcd") + lines("RSET") + QUIT),
    ),
    "other commands between pieces": (
        CHUNKING + LOGS_ERRORS,
        EHLO + MAIL + RCPT + piece("a: b\r\n") + lines("NOOP", "DATA", "NOOP", "RSET") + MAIL + QUIT,
    ),
    "a piece without a size": (
        CHUNKING,
        EHLO + MAIL + RCPT + piece("a: b\r\n") + lines("BDAT") + MAIL + QUIT,
    ),
    "pieces that are too large": (
        CHUNKING + "message_size_limit = 100\n",
        EHLO
        + (MAIL + RCPT + piece(HEADER + "y" * 200 + "\r\n") + piece("abc", LAST))
        + (MAIL + RCPT + piece(HEADER + "yyy") + piece("y" * 200, LAST))
        + lines("NOOP")
        + QUIT,
    ),
    "a piece whose header ends in a bare LF": (
        CHUNKING,
        EHLO + MAIL + RCPT + piece("a: b\n\nx\r\n", LAST) + lines("NOOP") + QUIT,
    ),
    "pieces for too many": (
        CHUNKING + "recipients_max = 1\nrecipients_max_reject\n",
        EHLO + MAIL + RCPT + RCPT + piece(HEADER, LAST) + lines("NOOP") + QUIT,
    ),
    "DSN": (
        CHUNKING + LOGS_ERRORS,
        EHLO
        + lines(
            "MAIL FROM:<a@b.test> RET=HDRS ENVID=abc+20",
            "RCPT TO:<bob@here.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@x",
            "RCPT TO:<ann@here.test> NOTIFY=NEVER,SUCCESS",
            "RCPT TO:<ann@here.test> NOTIFY=",
            "RCPT TO:<ann@here.test> NOTIFY=NEVER NOTIFY=DELAY",
            "RCPT TO:<ann@here.test> ORCPT=a ORCPT=b",
            "RSET",
            "MAIL FROM:<a@b.test> RET=x",
            "MAIL FROM:<a@b.test> RET=FULL RET=HDRS",
            "MAIL FROM:<a@b.test> ENVID=a ENVID=b",
            "MAIL FROM:<a@b.test> SMTPUTF8",
            "MAIL FROM:<a@b.test>SIZE=3",
            'MAIL FROM:<"a b"@b.test> SIZE=5',
        )
        + QUIT,
    ),
    "DSN that is not offered": (
        "",
        EHLO + lines("MAIL FROM:<a@b.test> RET=HDRS", "RCPT TO:<bob@here.test> NOTIFY=NEVER") + QUIT,
    ),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session(name: str, real_exim: RealExim) -> None:
    configuration, said = SESSIONS[name]
    text = configuration + USUAL
    prelude = OFFERS.sub("", PRELUDE) if configuration.startswith(CHUNKING) else PRELUDE
    file = str(real_exim.write("exim.conf", real_exim.configured(prelude) + text))
    theirs = real_exim.run("-C", file, "-bh", CLIENT, stdin=said)
    assert ours(file, said) == heard(theirs.stdout, theirs.stderr)


def ours(file: str, said: str) -> list[str]:
    """The same by labkit-exim, in this process."""
    typed, told = (io.TextIOWrapper(io.BytesIO(text)) for text in (said.encode("latin-1"), b""))
    log = io.StringIO()
    with (
        patch.object(sys, "stdin", typed),
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(log),
    ):
        assert main(["-C", file, "-bh", CLIENT]) == 0
    told.flush()
    return heard(told.buffer.getvalue().decode("latin-1"), log.getvalue())  # type: ignore[attr-defined]


def heard(replies: str, log: str) -> list[str]:
    """Replies, then what goes into the log, without what is different each time."""
    said = [
        line
        for line in replies.splitlines()
        if line and not line.startswith(("****", "220 mx.here.test ESMTP", "220 other.test ESMTP"))
    ]
    logged = [line for line in log.splitlines() if line.startswith("LOG: ")]
    return [_plain(line.rstrip()) for line in said + logged]


def _plain(line: str) -> str:
    line = re.sub(r"\b[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}\b", "<id>", line)
    line = line.replace("LOG: <id> SMTP connection", "LOG: SMTP connection")  # Exim forgets to forget the id
    return re.sub(r"\bS=[0-9]+|\bD=[0-9a-z.]+", "", line)
