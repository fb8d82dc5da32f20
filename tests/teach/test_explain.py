"""Every line of a dialogue is explained, and nothing is explained wrongly."""

from __future__ import annotations

import re

import pytest

from labkit.mail import reply
from labkit.mail.reply import Reply
from labkit.smtp.states import SERVER_TABLE, State, Verb
from labkit.teach import explanations as table
from labkit.teach.explain import Explainer, Explanation, explain, verdict

Lines = list[tuple[str, str]]

BANNER: Lines = [("S", "220 mx.test ESMTP")]
GREETED: Lines = [*BANNER, ("C", "EHLO a.test"), ("S", "250-mx.test Hello"), ("S", "250 HELP")]
SENDER: Lines = [*GREETED, ("C", "MAIL FROM:<ann@a.test>"), ("S", "250 OK")]
RECIPIENT: Lines = [*SENDER, ("C", "RCPT TO:<bob@b.test>"), ("S", "250 Accepted")]
CONTENT: Lines = [*RECIPIENT, ("C", "DATA"), ("S", "354 Go ahead")]
PIECE: Lines = [*RECIPIENT, ("C", "BDAT 20"), ("C", "(20 octets of message)")]
WHOLE: Lines = [*RECIPIENT, ("C", "BDAT 20 LAST"), ("C", "(20 octets of message)")]
SENT: Lines = [*CONTENT, ("C", "Subject: x"), ("C", ".")]

CONSTANTS = {name: value for name, value in vars(reply).items() if isinstance(value, Reply)}
MADE = {
    "closing": reply.closing("mx.test"),
    "commands_supported": reply.commands_supported(("VRFY",)),
    "timed_out": reply.timed_out("mx.test"),
    "bad_greeting": reply.bad_greeting("EHLO"),
    "bad_address": reply.bad_address("<x", "'>' missing at end of address"),
    "line_too_long": reply.line_too_long(998),
    "received": reply.received("1tFqXa-0000-01"),
    "last_straw": reply.last_straw(reply.UNRECOGNIZED),
    "all_recipients_refused": reply.all_recipients_refused([Reply(550, ("relay not permitted",))]),
}


def asked(replied: Reply) -> Lines:
    """A conversation in which this reply is the next line."""
    for verb, states in SERVER_TABLE.items():
        if replied in states.values():
            return [*GREETED, ("C", verb.value)]
    commands = {
        reply.CANNOT_VERIFY: "VRFY x",
        reply.CANNOT_EXPAND: "EXPN x",
        reply.CANNOT_ETRN: "ETRN #x",
        reply.ETRN_WITHOUT_HASH: "ETRN x",
        MADE["commands_supported"]: "HELP",
        reply.RESET_OK: "RSET",
        reply.TLS_GO_AHEAD: "STARTTLS",
        reply.TLS_UNAVAILABLE: "STARTTLS",
    }
    if replied is reply.ENTER_MESSAGE:
        return [*RECIPIENT, ("C", "DATA")]
    if replied == MADE["received"]:
        return SENT
    return [*GREETED, ("C", commands.get(replied, "MAIL FROM:<a@b.test>"))]


def lines_of(replied: Reply) -> list[str]:
    return bytes(replied).decode().splitlines()


@pytest.mark.parametrize("name", [*CONSTANTS, *MADE])
def test_every_reply_of_the_house_has_words_of_its_own(name: str) -> None:
    replied = {**CONSTANTS, **MADE}[name]
    explainer = Explainer()
    for line in asked(replied):
        explainer.hear(*line)
    for text in lines_of(replied):
        explanation = explainer.hear("S", text)
        assert not any(explanation.words.startswith(words) for words in table.FIRST_DIGIT.values())
        assert explanation.source != table.DIGITS or explanation is table.SAME_REPLY


@pytest.mark.parametrize("verb", list(Verb))
def test_every_command_is_explained(verb: Verb) -> None:
    argument = {Verb.MAIL: " FROM:<ann@a.test>", Verb.RCPT: " TO:<bob@b.test>"}.get(verb, " a.test")
    explanation = explain("C", verb.value + argument, GREETED)
    assert explanation.words != table.UNKNOWN_COMMAND.words
    assert explain("C", verb.value.lower() + argument, GREETED) == explanation, "case does not matter"


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", list(Verb))
def test_every_answer_of_the_server_table_is_explained(verb: Verb, state: State) -> None:
    if isinstance(answer := SERVER_TABLE[verb].get(state), Reply):
        words = explain("S", lines_of(answer)[0], [*GREETED, ("C", verb.value)]).words
        assert not any(words.startswith(general) for general in table.FIRST_DIGIT.values())


@pytest.mark.parametrize(
    "previous, speaker, text, words, source, because",
    [
        ([], "S", "220 mx.test ESMTP", "server speaks first", "5321 §3.1", "the banner"),
        ([], "S", "554 no", "No mail service here", "5321 §3.1", "a refusal instead of the banner"),
        ([], "S", "421 busy", "has to end the conversation", "5321 §3.8", "421 at any time"),
        (BANNER, "C", "EHLO a.test", "who it is: a.test", "5321 §4.1.1.1", "the name is in it"),
        (BANNER, "C", "EHLO", "does not say who", "5321 §4.1.1.1", "no name"),
        (GREETED[:2], "S", "250 mx.test", "offers no extras", "5321 §4.1.1.1", "one line only"),
        (GREETED[:2], "S", "250-mx.test", "names one extra", "5321 §4.1.1.1", "extras follow"),
        (GREETED[:3], "S", "250-SIZE 52428800", "52,428,800 bytes (52 MB)", "1870 §3", "a limit"),
        (GREETED[:3], "S", "250-SIZE 0", "No limit", "1870 §3", "0 is no limit"),
        (GREETED[:3], "S", "250-SIZE", "No limit", "1870 §3", "nor is nothing"),
        (GREETED[:3], "S", "250-AUTH PLAIN LOGIN", "PLAIN LOGIN", "4954 §3", "methods"),
        (GREETED[:3], "S", "250-STARTTLS", "can be encrypted", "3207 §3", "an offer"),
        (GREETED[:3], "S", "250-DSN", "report", "3461 §4", "an offer"),
        (GREETED[:3], "S", "250-XFROB 1", "XFROB: an extra", "5321 §2.2.1", "never heard of it"),
        (GREETED, "C", "MAIL FROM:<>", "its sender is empty", "5321 §4.5.5", "a report"),
        (GREETED, "C", "MAIL FROM:<a@b.test> SIZE=9 BODY=8BITMIME", "SIZE=9", "1870 §6", "parameters"),
        (GREETED, "C", "MAIL ann", "must stand FROM:", "5321 §4.1.1.2", "no path"),
        (SENDER, "C", "RCPT ann", "must stand TO:", "5321 §4.1.1.3", "no path"),
        (GREETED, "C", "FROB", "none of the commands", "5321 §4.1.1", "unknown"),
        ([*GREETED, ("C", "MAIL FROM:<a@b>")], "S", "250 OK", "promises nothing", "5321 §3.3", "MAIL"),
        ([*SENDER, ("C", "RCPT TO:<b@c>")], "S", "250 OK", "would take", "5321 §3.3", "the same words, RCPT"),
        ([*SENDER, ("C", "RCPT TO:<b@c>")], "S", "550 relay not permitted", "open relay", "5321 §3.6.2", "ACL"),
        ([*SENDER, ("C", "RCPT TO:<b@c>")], "S", "550 relay.test: no such user", "no such mailbox", "§3.3", "a name"),
        ([*SENDER, ("C", "RCPT TO:<b@c>")], "S", "450 greylisted", "greylisting", "6647", "come back"),
        ([*SENDER, ("C", "RCPT TO:<b@c>")], "S", "556 null MX", "no mail at all", "7504", "null MX"),
        (RECIPIENT, "C", "RCPT TO:<c@d.test>", "One more recipient", "5321 §4.1.1.3", "the second"),
        ([*RECIPIENT, ("C", "DATA")], "S", "354 go", "until a line with nothing but a dot", "4.1.1.4", "go on"),
        (CONTENT, "C", "From: x", "The message itself", "5321 §2.3.1", "content"),
        (CONTENT, "C", "QUIT", "The message itself", "5321 §2.3.1", "no command inside a message"),
        (CONTENT, "C", "..", "one more dot", "5321 §4.5.2", "transparency"),
        (CONTENT, "C", ".", "the message is complete", "5321 §4.1.1.4", "the end"),
        (CONTENT, "C", "(5120 octets of message, then a dot)", "5,120 bytes", "§4.1.1.4", "as machines note it"),
        (SENT, "S", "250 OK id=1tFqXa-0000-01", "called 1tFqXa-0000-01", "5321 §6.1", "the queue id"),
        (SENT, "S", "451 later", "has not kept", "5321 §4.2.5", "still the client's"),
        (SENT, "S", "550 spam", "has not kept", "5321 §4.2.5", "still the client's"),
        (RECIPIENT, "C", "BDAT 20 LAST", "LAST: after these", "3030 §2", "all of it"),
        (RECIPIENT, "C", "BDAT 20", "bytes follow", "3030 §2", "a piece"),
        (WHOLE[:-1], "C", "(20 octets of message)", "20 bytes", "3030 §2", "as the client notes it"),
        (PIECE[:-1], "C", "(20 octets of a piece of the message)", "20 bytes", "3030 §2", "as the server notes it"),
        ([*RECIPIENT, ("C", "BDAT 0 LAST")], "C", "(0 octets of message)", "0 bytes", "3030 §2", "an empty end"),
        (PIECE[:-1], "C", "QUIT", "belongs to the message", "3030 §2", "no command inside a piece"),
        ([*PIECE[:-1], ("C", "x" * 18)], "C", "QUIT", "nothing more to say", "5321 §4.1.1.10", "20 have come"),
        ([*PIECE[:-1], ("S", "503 no")], "C", "QUIT", "nothing more to say", "5321 §4.1.1.10", "refused at once"),
        (PIECE, "S", "250 20 byte chunk received", "promised nothing", "3030 §2", "a piece is no message"),
        (PIECE, "S", "452 full", "has not kept", "5321 §4.2.5", "still the client's"),
        (PIECE, "C", "BDAT 20 LAST", "LAST: after these", "3030 §2", "the next piece, in the same go"),
        (WHOLE, "S", "250- 20 byte chunk, total 20", "how many bytes came", "3030 §2", "no promise yet"),
        ([*WHOLE, ("S", "250- 20 byte chunk, total 20")], "S", "250 OK id=1tFqXa-00", "called 1tFqXa", "§6.1", "id"),
        (WHOLE, "S", "250 2.0.0 Ok: queued as 4XyZ", "taken responsibility", "5321 §6.1", "another server's words"),
        (WHOLE, "S", "550 spam", "has not kept", "5321 §4.2.5", "still the client's"),
        ([*GREETED, ("C", "STARTTLS")], "S", "220 go", "both set up the encryption", "3207 §4", "no banner"),
        ([*GREETED, ("C", "AUTH LOGIN")], "S", "334 VXNlcm5hbWU6", '"Username:"', "4954 §4", "decoded"),
        ([*GREETED, ("C", "AUTH PLAIN x")], "S", "535 no", "does not say which", "4954 §6", "password"),
        ([*GREETED, ("C", "QUIT")], "S", "221 bye", "Goodbye", "5321 §4.1.1.10", "the end"),
        ([*GREETED, ("C", "NOOP")], "S", "299 hm", "begins with 2", "5321 §4.2.1", "by digits"),
        ([*GREETED, ("C", "NOOP")], "S", "477 hm", "may work later", "5321 §4.2.1", "by digits"),
        ([*GREETED, ("C", "NOOP")], "S", "559 hm", "mail and mailboxes", "5321 §4.2.1", "second digit"),
        ([*GREETED, ("C", "NOOP")], "S", "hello", "no SMTP reply", "5321 §4.2", "nonsense"),
        ([*GREETED, ("C", "NOOP")], "S", "550 5.7.1 no", "5.7.1 says that it is about security", "3463", "finer"),
    ],
)  # fmt: skip
def test_meaning(previous: Lines, speaker: str, text: str, words: str, source: str, because: str) -> None:
    explanation = explain(speaker, text, previous)
    assert words in explanation.words, because
    assert source in explanation.source, because


def test_replies_find_their_commands_when_pipelined() -> None:
    explainer = Explainer()
    for line in GREETED:
        explainer.hear(*line)
    for text in ("MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "RCPT TO:<e@f.test>", "DATA"):
        explainer.hear("C", text)
    assert "noted the sender" in explainer.hear("S", "250 OK").words
    assert "would take" in explainer.hear("S", "250 Accepted").words
    assert "for this recipient" in explainer.hear("S", "550 no").words
    assert "Every line from here on" in explainer.hear("S", "354 go").words
    assert explainer.is_content


def test_a_login_is_followed_to_its_end() -> None:
    explainer = Explainer()
    login = [("C", "AUTH LOGIN"), ("S", "334 VXNlcm5hbWU6"), ("C", "QUIT"), ("S", "334 UGFzc3dvcmQ6")]
    for line in [*GREETED, *login]:
        explainer.hear(*line)
    assert explainer.hear("C", "c2VjcmV0") == table.CREDENTIALS, "whatever it looks like"
    assert "login has worked" in explainer.hear("S", "235 ok").words
    assert explainer.hear("C", "QUIT") == table.COMMANDS[Verb.QUIT]


def test_who_comes_late_does_not_take_a_reply_for_the_banner() -> None:
    assert "promises nothing" in explain("S", "250 OK", [("C", "MAIL FROM:<a@b.test>")]).words


def test_250_after_the_message_is_not_called_delivery() -> None:
    words = explain("S", "250 OK id=x", SENT).words
    assert "responsibility" in words
    assert not re.search(r"\b(has been|was|is) delivered\b", words)


def test_the_envelope_is_told_from_the_header() -> None:
    for verb in (Verb.MAIL, Verb.RCPT):
        assert "envelope" in table.COMMANDS[verb].words
        assert "inside the message" in table.COMMANDS[verb].words


def test_sources_name_an_rfc() -> None:
    every = [value for value in vars(table).values() if isinstance(value, Explanation)]
    for rows in (table.COMMANDS, table.REPLIES, table.EXTENSIONS, table.PARAMETERS, dict(table.BY_WORDS)):
        every += rows.values()  # type: ignore[attr-defined]
    assert len(every) > 100
    for explanation in every:
        assert re.fullmatch(r"RFC \d+( §\d+(\.\d+)*)?", explanation.source), explanation
        assert explanation.words.endswith((".", "!", "?"))


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "{0}", "{argument}", "x" * 100_000, "250", "250-", "🦉 §", "MAIL FROM:<{x}"]
)
@pytest.mark.parametrize("speaker", ["C", "S", "?"])
@pytest.mark.parametrize("previous", [[], GREETED, SENDER, CONTENT, SENT])
def test_anything_is_explained(previous: Lines, speaker: str, text: str) -> None:
    explanation = explain(speaker, text, previous)
    assert 0 < len(explanation.words) < 1000
    assert explanation.source.startswith("RFC ")


@pytest.mark.parametrize(
    "text, comes_to",
    [
        ("220 a", "yes"),
        ("354", "go on"),
        ("421-x", "not now"),
        ("550 x", "no"),
        ("hello", ""),
        ("2500", ""),
        ("", ""),
    ],
)
def test_verdict(text: str, comes_to: str) -> None:
    assert verdict(text) == comes_to
