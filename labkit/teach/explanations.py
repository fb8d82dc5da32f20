"""What the lines of an SMTP conversation mean, in tables, for somebody who has never seen one.

WHAT       COMMANDS by verb; BY_WORDS by what a reply says; REPLIES by what was asked and the code; EXTENSIONS by the
           keyword in the answer to EHLO; FIRST_DIGIT and SECOND_DIGIT for every other code.
RULES      1. Short sentences. A word of the trade is explained where it first comes up.
           2. Nothing false to make it simple: 250 after a message is responsibility, not delivery (RFC 5321 §6.1);
              MAIL and RCPT are the envelope, From: and To: belong to the message (§2.3.1).
           3. {braces} stand for what the line itself says; explain.py fills them in.
STANDARDS  each entry names its own
READ NEXT  explain.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.smtp.states import Verb


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a line means, and where one can read it."""

    words: str
    source: str


_E = Explanation

# --- the client ---------------------------------------------------------------------------------

COMMANDS: dict[Verb, Explanation] = {
    Verb.HELO: _E(
        "The client says who it is: {argument}. HELO is the old greeting; it does not ask for extras.",
        "RFC 5321 §4.1.1.1",
    ),
    Verb.EHLO: _E(
        "The client says who it is: {argument}. That is only a claim so far. "
        "EHLO also asks which extras the server offers.",
        "RFC 5321 §4.1.1.1",
    ),
    Verb.MAIL: _E(
        "A message begins. The client names its sender, {address}: whoever is told if it cannot be delivered. "
        "MAIL and RCPT make up the envelope, which servers go by. "
        "The From: line that readers see is inside the message and may name somebody else.",
        "RFC 5321 §4.1.1.2",
    ),
    Verb.RCPT: _E(
        "A recipient: {address}. The server answers for each recipient separately. "
        "This belongs to the envelope; the To: line inside the message does not decide where it goes.",
        "RFC 5321 §4.1.1.3",
    ),
    Verb.DATA: _E(
        "The client asks to send the message itself. What was said before it was the envelope.",
        "RFC 5321 §4.1.1.4",
    ),
    Verb.RSET: _E(
        "The client drops the message it has begun: sender and recipients are forgotten. The connection stays.",
        "RFC 5321 §4.1.1.5",
    ),
    Verb.NOOP: _E(
        "The client asks for nothing. It only wants an answer, to see that the server is still there.",
        "RFC 5321 §4.1.1.9",
    ),
    Verb.VRFY: _E(
        "The client asks whether there is such a mailbox here. Spammers like to ask that too, "
        "so most servers do not say.",
        "RFC 5321 §4.1.1.6",
    ),
    Verb.EXPN: _E(
        "The client asks who is on a mailing list. Few servers tell a stranger.", "RFC 5321 §4.1.1.7"
    ),
    Verb.HELP: _E("The client asks for help: which commands does the server know?", "RFC 5321 §4.1.1.8"),
    Verb.QUIT: _E(
        "The client has nothing more to say. It waits for the goodbye before it hangs up.",
        "RFC 5321 §4.1.1.10",
    ),
    Verb.ETRN: _E(
        "The client asks the server to start sending the mail that waits there for {argument}. "
        "A host that was down asks this when it is back.",
        "RFC 1985",
    ),
    Verb.STARTTLS: _E(
        "The client asks to encrypt the connection from here on, as https does. "
        "If the server agrees, both begin again with EHLO.",
        "RFC 3207 §4",
    ),
    Verb.AUTH: _E(
        "The client wants to log in; the word after AUTH says by which method. With PLAIN and LOGIN the password "
        "goes over in base64, which anybody can decode: it belongs inside an encrypted connection.",
        "RFC 4954 §4",
    ),
    Verb.BDAT: _E(
        "Another way to send the message, to a server that offers CHUNKING: the client says how many bytes follow at "
        "once. It need not wait for a 354, and no dot marks the end.",
        "RFC 3030 §2",
    ),
}

NULL_SENDER = _E(
    "A message begins, and its sender is empty: <>. So mail servers send their own reports, "
    '"could not be delivered" for one. If such a report fails, nobody is told; '
    "else two servers might send each other reports for ever.",
    "RFC 5321 §4.5.5",
)
ANOTHER_RECIPIENT = _E(
    "One more recipient of the same message: {address}. It gets an answer of its own.", "RFC 5321 §4.1.1.3"
)
NAMELESS = _E("The client greets the server, but does not say who it is.", "RFC 5321 §4.1.1.1")
NO_SENDER = _E("After MAIL must stand FROM:<address>. That is not what stands here.", "RFC 5321 §4.1.1.2")
NO_RECIPIENT = _E("After RCPT must stand TO:<address>. That is not what stands here.", "RFC 5321 §4.1.1.3")
UNKNOWN_COMMAND = _E("This is none of the commands of SMTP.", "RFC 5321 §4.1.1")

# What may stand after the address of MAIL: added to the explanation, with its source.
PARAMETERS: dict[str, Explanation] = {
    "SIZE": _E(
        "SIZE={value} is how big the message is, in bytes, as the client estimates it. MTAs rather name too much: "
        "Exim adds 1024.",
        "RFC 1870 §6",
    ),
    "BODY": _E("BODY={value} says which bytes occur in it.", "RFC 6152 §2"),
}

CONTENT = _E(
    "The message itself: first its header (lines such as From:, To: and Subject:), then an empty line, "
    "then the text. All this is for the reader. Where the message goes was settled by MAIL and RCPT.",
    "RFC 5321 §2.3.1",
)
DOTTED = _E(
    "The server takes the dot at the beginning of this line away. A mail program therefore puts one more dot "
    "before every line that begins with one, so that it cannot be taken for the end of the message. "
    "Who types by hand has to do that, too.",
    "RFC 5321 §4.5.2",
)
DOT = _E(
    "A line with nothing but a dot: the message is complete. Now the server has to say whether it takes it.",
    "RFC 5321 §4.1.1.4",
)
OCTETS = _E(
    "Here the message itself went over, {octets} bytes, and then a line with nothing but a dot: its end. "
    "Now the server has to say whether it takes it.",
    "RFC 5321 §4.1.1.4",
)
LAST_PIECE = _E("LAST: after these bytes the message is complete.", "RFC 3030 §2")
PIECE = _E(
    "A piece of the message went over here, {octets} bytes, as many as BDAT had said.",
    "RFC 3030 §2",
)
PIECE_TYPED = _E(
    "This belongs to the message, until there are as many bytes as BDAT had said.", "RFC 3030 §2"
)
CREDENTIALS = _E("The client answers the server's question, in base64 again.", "RFC 4954 §4")

# --- the server ---------------------------------------------------------------------------------

_LATER = "The client keeps the message and tries again later."

# Where the words of a refusal say more than its code: (a part of the text in small letters, what it means).
BY_WORDS: tuple[tuple[str, Explanation], ...] = (
    *(
        (
            words,
            _E(
                "No. The server would have to pass this message on to somebody else's server, and it does that "
                "only for clients it knows. One that does it for everybody is an open relay, and soon full of spam.",
                "RFC 5321 §3.6.2",
            ),
        )
        for words in ("relay not permitted", "relay access denied", "relaying denied", "relay denied")
    ),
    ("unrouteable address", _E("No: the server has no way to deliver to this address.", "RFC 5321 §3.3")),
    (
        "temporary local problem",
        _E(f"Not now: the server has a problem of its own. {_LATER}", "RFC 5321 §4.5.4.1"),
    ),
    (
        "greylist",
        _E(
            "Not now. The server has not met this client before and waits whether it comes back, as real mail "
            f"servers do. That is greylisting. {_LATER}",
            "RFC 6647",
        ),
    ),
    (
        "too many recipients",
        _E(
            "Not now: this message has as many recipients as the server takes at once. "
            "The client sends it to those accepted so far, and then comes back for the rest.",
            "RFC 5321 §4.5.3.1.10",
        ),
    ),
    (
        "all rcpt commands were rejected",
        _E("Every recipient was refused, so there is nobody to send the message to.", "RFC 5321 §3.3"),
    ),
    (
        "must precede data",
        _E(
            "Not yet: a recipient comes before the message, and the server has accepted none.",
            "RFC 5321 §3.3",
        ),
    ),
    (
        "must precede bdat",
        _E(
            "Not yet: a recipient comes before the message, and the server has accepted none.",
            "RFC 3030 §2",
        ),
    ),
    (
        "only bdat permissible",
        _E(
            "Not now: a message has begun to come in pieces. The next piece comes first, or RSET.",
            "RFC 3030 §2",
        ),
    ),
    (
        "for bdat command",
        _E(
            "After BDAT must stand how many bytes follow, and after the last ones the word LAST.",
            "RFC 3030 §2",
        ),
    ),
    (
        "helo or ehlo required",
        _E("Not yet: the client first has to say who it is, with EHLO.", "RFC 5321 §4.1.4"),
    ),
    (
        "sender already given",
        _E(
            "Not now: a message has already begun. It is sent first, or dropped with RSET.",
            "RFC 5321 §4.1.4",
        ),
    ),
    (
        "sender not yet given",
        _E("Not yet: the sender (MAIL) comes before the recipients.", "RFC 5321 §4.1.4"),
    ),
    (
        "when not advertised",
        _E(
            "The server did not offer this in its answer to EHLO, so the client may not use it.",
            "RFC 5321 §2.2",
        ),
    ),
    (
        "chunking not advertised",
        _E(
            "The server did not offer CHUNKING in its answer to EHLO, so the client may not use it.",
            "RFC 5321 §2.2",
        ),
    ),
    (
        "synchronization error",
        _E(
            "The client went on talking without waiting for the answer. "
            "Programs that send spam in a hurry do that; this server hangs up.",
            "RFC 5321 §4.3.1",
        ),
    ),
    (
        "too many nonmail commands",
        _E("Many commands, but no mail among them: the server has had enough and hangs up.", "RFC 5321 §7.8"),
    ),
    (
        "too many unrecognized commands",
        _E("Too many lines that are no commands: the server hangs up.", "RFC 5321 §7.8"),
    ),
    (
        "too many syntax or protocol errors",
        _E("Too many mistakes in one conversation: the server hangs up.", "RFC 5321 §7.8"),
    ),
    (
        "a command ends in cr lf",
        _E(
            "Every line has to end with two characters, carriage return and line feed (CR LF). "
            "Only one of them came, so the server throws the line away.",
            "RFC 5321 §2.3.8",
        ),
    ),
    ("nul characters", _E("A command is text; a byte of value zero has no place in it.", "RFC 5321 §2.4")),
    ("unexpected argument", _E("This command stands alone; nothing may follow it.", "RFC 5321 §4.1.1")),
    ("address operand", _E("The address is missing.", "RFC 5321 §4.1.2")),
    ("empty address", _E("The address is missing.", "RFC 5321 §4.1.2")),
    ("syntactically invalid", _E("This is not how a host's name is written.", "RFC 5321 §4.1.2")),
    ("invalid data for body", _E("BODY= can only be 7BIT or 8BITMIME.", "RFC 6152 §2")),
    ("message size exceeds", _E("No: the message is bigger than this server takes.", "RFC 1870 §4")),
    (
        "allowed line length",
        _E("No: a line of the message is longer than mail allows, 998 characters.", "RFC 5322 §2.1.1"),
    ),
    (
        "command timeout",
        _E("The client was silent for too long. The server ends the conversation.", "RFC 5321 §4.5.3.2.7"),
    ),
    (
        "too many concurrent",
        _E(f"Not now: the server is talking to as many clients as it can. {_LATER}", "RFC 5321 §3.8"),
    ),
    ("already authenticated", _E("The client has logged in already; once is enough.", "RFC 4954 §4")),
    (
        "not permitted in mail transaction",
        _E("Not now: a message has begun. One logs in before it.", "RFC 4954 §4"),
    ),
    ("invalid base64", _E("What the client answered is not base64.", "RFC 4954 §4")),
    (
        "must issue a starttls",
        _E("Not yet: this server wants the connection encrypted first (STARTTLS).", "RFC 3207 §4"),
    ),
)

# what a reply may answer, besides the names of the verbs
BANNER, END, LAST, ANY = "BANNER", ".", "BDAT LAST", "*"

REPLIES: dict[tuple[str, int], Explanation] = {
    (BANNER, 220): _E(
        "In SMTP the server speaks first. It has answered the call and is ready; "
        "it gives its name and often its software. 220 is the code: machines read that, people read the words.",
        "RFC 5321 §3.1",
    ),
    (BANNER, 554): _E("No mail service here: the server says so instead of a greeting.", "RFC 5321 §3.1"),
    (BANNER, 521): _E("This host takes no mail at all.", "RFC 7504"),
    ("HELO", 250): _E("The server greets back. After HELO it offers no extras.", "RFC 5321 §4.1.1.1"),
    ("EHLO", 250): _E("The server greets back, and offers no extras.", "RFC 5321 §4.1.1.1"),
    ("MAIL", 250): _E(
        "The server has noted the sender. That promises nothing yet: it knows neither recipient nor message.",
        "RFC 5321 §3.3",
    ),
    ("RCPT", 250): _E(
        "Yes: the server would take a message for this recipient. None has been sent so far.", "RFC 5321 §3.3"
    ),
    ("MAIL", 500): _E(
        "The server expects MAIL FROM:<address>. The colon belongs to it.", "RFC 5321 §4.1.1.2"
    ),
    ("RCPT", 500): _E("The server expects RCPT TO:<address>. The colon belongs to it.", "RFC 5321 §4.1.1.3"),
    ("RCPT", 251): _E(
        "Yes. The mailbox is elsewhere, but the server will pass the message on.", "RFC 5321 §3.4"
    ),
    ("RCPT", 550): _E(
        "No, not for this recipient: there is no such mailbox, or the server's rules forbid it. "
        "Other recipients of the message are not affected.",
        "RFC 5321 §3.3",
    ),
    ("RCPT", 551): _E("No: the mailbox is elsewhere, and the client may try there.", "RFC 5321 §3.4"),
    ("RCPT", 556): _E("No: the recipient's domain takes no mail at all.", "RFC 7504"),
    ("RCPT", 450): _E(
        f"Not now: the mailbox cannot be reached, or the server's rules say to wait. {_LATER}",
        "RFC 5321 §4.5.4.1",
    ),
    ("DATA", 354): _E(
        "Go on! Every line from here on belongs to the message, until a line with nothing but a dot.",
        "RFC 5321 §4.1.1.4",
    ),
    ("DATA", 503): _E("Not yet: no recipient has been accepted.", "RFC 5321 §3.3"),
    ("DATA", 554): _E("No: no recipient has been accepted.", "RFC 5321 §3.3"),
    (END, 250): _E(
        "The server has taken responsibility for the message: from now on it must deliver it, "
        "or report the failure to the sender in the envelope. It may still be far from the mailbox.",
        "RFC 5321 §6.1",
    ),
    ("BDAT", 250): _E(
        "The server has this piece and waits for the next. It has promised nothing for the message yet.",
        "RFC 3030 §2",
    ),
    ("RSET", 250): _E("Done: the server has forgotten the message that had begun.", "RFC 5321 §4.1.1.5"),
    ("NOOP", 250): _E("The server is still there. Nothing else has happened.", "RFC 5321 §4.1.1.9"),
    ("VRFY", 250): _E("Yes, there is such a mailbox here.", "RFC 5321 §3.5.3"),
    ("VRFY", 252): _E(
        "Neither yes nor no: the server does not tell. One has to send a message to find out.",
        "RFC 5321 §3.5.3",
    ),
    ("VRFY", 550): _E("No: there is no such mailbox, or the server will not say.", "RFC 5321 §3.5.2"),
    ("EXPN", 250): _E("These are the members of the list.", "RFC 5321 §3.5.4"),
    ("EXPN", 550): _E("No: the server does not tell who is on its lists.", "RFC 5321 §7.3"),
    ("HELP", 214): _E("The server says which commands it knows.", "RFC 5321 §4.1.1.8"),
    ("QUIT", 221): _E("Goodbye. The server closes the connection.", "RFC 5321 §4.1.1.10"),
    ("ETRN", 250): _E("The server begins to send the mail that waits.", "RFC 1985"),
    ("ETRN", 251): _E("No mail is waiting for this host.", "RFC 1985"),
    ("ETRN", 458): _E("The server will not start its queue for this client.", "RFC 1985"),
    ("STARTTLS", 220): _E(
        "Agreed. What follows is no longer plain text: both set up the encryption and begin again with EHLO.",
        "RFC 3207 §4",
    ),
    ("STARTTLS", 454): _E(
        "Not now: the server cannot encrypt at the moment. The client has to decide whether to go on without.",
        "RFC 3207 §4",
    ),
    ("AUTH", 235): _E("The login has worked: the server knows who this is.", "RFC 4954 §6"),
    ("AUTH", 334): _E("The server asks the next question of the login, in base64.", "RFC 4954 §4"),
    ("AUTH", 435): _E(
        "Not now: the server cannot check logins at the moment. Exim says 435; the standard has 454 for it.",
        "RFC 4954 §6",
    ),
    ("AUTH", 454): _E("Not now: the server cannot check logins at the moment.", "RFC 4954 §6"),
    ("AUTH", 504): _E("The server does not know this way to log in.", "RFC 4954 §4"),
    ("AUTH", 535): _E("No: the name or the password is wrong. The server does not say which.", "RFC 4954 §6"),
    (ANY, 211): _E("The server tells how it is.", "RFC 5321 §4.2.2"),
    (ANY, 214): _E("The server gives help, for people to read.", "RFC 5321 §4.2.2"),
    (ANY, 220): _E("The server is ready.", "RFC 5321 §4.2.2"),
    (ANY, 221): _E("The server closes the connection.", "RFC 5321 §4.2.2"),
    (ANY, 421): _E(
        "The server has to end the conversation: it is shutting down, too busy, or has waited too long. "
        "The client comes back later.",
        "RFC 5321 §3.8",
    ),
    (ANY, 450): _E(f"Not now: the mailbox cannot be used at the moment. {_LATER}", "RFC 5321 §4.2.2"),
    (ANY, 451): _E(f"Not now: something went wrong inside the server. {_LATER}", "RFC 5321 §4.2.2"),
    (ANY, 452): _E(f"Not now: the server is short of room. {_LATER}", "RFC 5321 §4.2.2"),
    (ANY, 455): _E("Not now: the server cannot do what stands after the address.", "RFC 5321 §4.1.1.11"),
    (ANY, 500): _E("The server does not know this command.", "RFC 5321 §4.2.4"),
    (ANY, 501): _E(
        "The server knows the command, but cannot make sense of what stands after it.", "RFC 5321 §4.2.2"
    ),
    (ANY, 502): _E("The server knows this command, but does not carry it out.", "RFC 5321 §4.2.4"),
    (ANY, 503): _E("Not at this point: the commands came in the wrong order.", "RFC 5321 §4.1.4"),
    (ANY, 504): _E("The server knows the command, but not this way to use it.", "RFC 5321 §4.2.2"),
    (ANY, 530): _E("Not yet: the client has to log in first.", "RFC 4954 §6"),
    (ANY, 550): _E("No: there is no such mailbox, or the server's rules forbid it.", "RFC 5321 §4.2.2"),
    (ANY, 552): _E("No: the message is too big, or the mailbox is full.", "RFC 5321 §4.2.2"),
    (ANY, 553): _E("No: the server does not allow an address like this one.", "RFC 5321 §4.2.2"),
    (ANY, 554): _E("No: the server will not have it, and no other code fits.", "RFC 5321 §4.2.2"),
    (ANY, 555): _E("The server does not know what stands after the address.", "RFC 5321 §4.1.1.11"),
}

OFFERS = _E(
    "The server greets back. Each line that follows names one extra it offers. "
    "The dash after the code means: another line comes. The last line has a blank there.",
    "RFC 5321 §4.1.1.1",
)
COUNTED = _E(
    "The server says how many bytes came, in the last piece and in all. The same answer goes on.",
    "RFC 3030 §2",
)
NOT_KEPT_NOW = _E(
    "Not now: the server has not kept the message. It is still the client's to deliver; it tries again later.",
    "RFC 5321 §4.2.5",
)
NOT_KEPT = _E(
    "No: the server has not kept the message. It is still the client's, which has to tell the sender.",
    "RFC 5321 §4.2.5",
)
QUEUE_ID = "Here the message is called {id}: look for that in the server's log."
SAME_REPLY = _E(
    "The same answer goes on. A dash after the code means that another line comes.", "RFC 5321 §4.2.1"
)
NO_REPLY = _E("This is no SMTP reply: it would begin with a code of three digits.", "RFC 5321 §4.2")

FIRST_DIGIT: dict[str, str] = {
    "2": "Yes. A code that begins with 2 means: done.",
    "3": "Go on. A code that begins with 3 means: so far so good, now send the rest.",
    "4": "Not now. A code that begins with 4 means: it did not work, but may work later, unchanged.",
    "5": "No. A code that begins with 5 means: it did not work, and will not if tried again unchanged.",
}
SECOND_DIGIT: dict[str, str] = {
    "0": "The 0 in the middle: it is about how the command is written.",
    "1": "The 1 in the middle: it is information.",
    "2": "The 2 in the middle: it is about the connection.",
    "5": "The 5 in the middle: it is about mail and mailboxes.",
}
DIGITS = "RFC 5321 §4.2.1"
VERDICTS: dict[str, str] = {"2": "yes", "3": "go on", "4": "not now", "5": "no"}

# The middle part of an enhanced status code such as 5.7.1.
ENHANCED = _E("The finer code {enhanced} says that it is about {subject}.", "RFC 3463 §2")
SUBJECTS: dict[str, str] = {
    "0": "nothing in particular",
    "1": "an address",
    "2": "a mailbox",
    "3": "the mail system",
    "4": "the network or the way there",
    "5": "the protocol",
    "6": "the message's content",
    "7": "security or rules",
}

# --- what EHLO offers ---------------------------------------------------------------------------

EXTENSIONS: dict[str, Explanation] = {
    "SIZE": _E(
        "SIZE: a message may have at most {parameters} bytes{megabytes}. "
        "The client can tell its message's size beforehand and is spared sending it in vain.",
        "RFC 1870 §3",
    ),
    "8BITMIME": _E(
        "8BITMIME: the text of the message (not its header, and not addresses) may hold letters such as é or ж as "
        "they are. Without it, a program has to write them in ASCII.",
        "RFC 6152 §3",
    ),
    "PIPELINING": _E(
        "PIPELINING: the client may send several commands in one go and read the answers afterwards. "
        "That saves time when the other side is far away.",
        "RFC 2920 §3",
    ),
    "HELP": _E("HELP: the server answers the command HELP.", "RFC 5321 §4.1.1.8"),
    "STARTTLS": _E(
        "STARTTLS: the connection can be encrypted. Everything before that is plain text on the wire.",
        "RFC 3207 §3",
    ),
    "AUTH": _E("AUTH: users can log in here, by one of these methods: {parameters}.", "RFC 4954 §3"),
    "DSN": _E(
        "DSN: the client may say when the sender wants a report: on success, on delay, on failure or never.",
        "RFC 3461 §4",
    ),
    "ENHANCEDSTATUSCODES": _E(
        "ENHANCEDSTATUSCODES: replies carry a second, finer code such as 5.7.1.", "RFC 2034"
    ),
    "CHUNKING": _E(
        "CHUNKING: the message may be sent in pieces (chunks) of known length, by BDAT instead of DATA.",
        "RFC 3030 §2",
    ),
    "BINARYMIME": _E(
        "BINARYMIME: the message may be any bytes at all, not only lines of text.", "RFC 3030 §3"
    ),
    "SMTPUTF8": _E("SMTPUTF8: addresses may have letters outside ASCII.", "RFC 6531 §3"),
    "VRFY": _E("VRFY: the server answers the command VRFY, if only with a perhaps.", "RFC 5321 §4.1.1.6"),
    "EXPN": _E("EXPN: the server can say who is on a mailing list.", "RFC 5321 §4.1.1.7"),
    "ETRN": _E("ETRN: a host that was down can ask for the mail that waits for it.", "RFC 1985"),
    "LIMITS": _E("LIMITS: how much the server takes in one go: {parameters}.", "RFC 9422"),
    "REQUIRETLS": _E(
        "REQUIRETLS: a message may be marked so that every server on its way must encrypt.", "RFC 8689"
    ),
}
UNLIMITED = _E("SIZE: the client may tell its message's size beforehand. No limit is named.", "RFC 1870 §3")
UNKNOWN_EXTENSION = _E(
    "{keyword}: an extra that this course does not use. A client that does not know it passes over it.",
    "RFC 5321 §2.2.1",
)
