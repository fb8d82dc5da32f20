"""Turns a drawn text into a message: header fields, charset, MIME, line ends.

WHAT       `letter_of(style, number)` gives one message of a style with the time it was sent; lines end in CR LF.
DRESS      person (a mail program), bulk (a program for newsletters), robot (a program that reports), list (a mailing
           list). Ham and spam wear the same dresses, from the same mailers, to the same people, in the same months:
           the shape of a message must not tell what it is. tests/lab/test_corpus_fair.py measures that.
LINES      a line of text is a paragraph, folded at 72 in the plain part. `[link words -> address]` and
           `[image words -> address]` are what they say in HTML.
RULES      nothing of Python's email package writes here: its folding differs from version to version.
READ NEXT  corpus_mime.py, make_corpus.py
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from corpus_mime import Part, address, body_of, unstructured
from corpus_template import Dice, Style

FIRST_DAY = datetime(2024, 2, 1, tzinfo=timezone.utc)
DAYS = 540
HOURS = (6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 12, 13, 14, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 2)
MAILERS = (
    "User-Agent: Pinemail 4.2",
    "User-Agent: Postbote/7.1.3",
    "User-Agent: Quill 115.9 (X11; Linux)",
    "X-Mailer: Courierpad 16.4",
    "X-Mailer: Rundbrief 3.0.8",
    "X-Mailer: sendletters 2.1",
    "",
    "",
)
NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.")
_ENGLISH_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
_ENGLISH_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
}
_WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class Made:
    """A message and when it was sent."""

    sent: datetime
    sender: str
    content: bytes


def letter_of(style: Style, number: int) -> Made:
    """The same message for the same style and number, always."""
    dice = Dice(f"{style.name}.{style.language}.{number}")
    style = style.turn(number)
    sent = _time(dice)
    known = _dates(sent, style.language)
    from_name, from_address = _sender(style, dice, known)
    to_name, to_address = _recipient(style, dice, known)
    subject, lines = style.draw(dice, known)
    dress = dice.one(style["dress"].split(" | "))
    domain = from_address.partition("@")[2]
    fields = [
        f"From: {address(from_name, from_address)}",
        f"To: {address(to_name if dice.happens(60) else '', to_address)}",
        f"Subject: {unstructured(subject, dice)}",
        f"Date: {_date_field(sent)}",
        f"Message-ID: {_message_id(dice, sent, domain)}",
    ]
    fields += _extras(style, dress, dice, known, subject, from_address)
    if mailer := dice.one(MAILERS):
        fields.append(mailer)
    if dice.happens(30):  # some programs write Date first, others last
        fields.insert(0, fields.pop(3))
    if dice.happens(50):
        fields.insert(0, _received(dice, sent, domain))
    parts = _parts(style, dress, lines, dice, known, sent)
    head, body = body_of(parts, dice)
    text = "\r\n".join([*fields, "MIME-Version: 1.0", *head, "", ""])
    return Made(sent, from_address, text.encode("ascii") + body)


def _sender(style: Style, dice: Dice, known: dict[str, str]) -> tuple[str, str]:
    """A name and an address; {me} is the name that a letter is signed with."""
    given = style.expand(dice.one(style["from"].split(" || ")), dice, known)
    if given != "person":
        name, _, rest = given.rpartition(" <")
        known.setdefault("me", name.split(" ")[0])
        known.setdefault("me_full", name)
        return name, _plain(rest.rstrip(">"))
    first, last = style.expand("{first}", dice, known), style.expand("{last}", dice, known)
    known["me"], known["me_full"] = first, f"{first} {last}"
    local = dice.one(
        [
            f"{first}.{last}",
            f"{first[0]}.{last}",
            f"{first}{dice.digits(2)}",
            f"{last}.{first}",
            f"{first}_{last}",
        ]
    )
    return known["me_full"], _plain(f"{local}@{style.expand('{mailbox_domain}', dice, known)}")


def _recipient(style: Style, dice: Dice, known: dict[str, str]) -> tuple[str, str]:
    """One of the few people of the lab; a list has its own address."""
    name, _, rest = dice.one(style["people"].split(" | ")).rpartition(" <")
    known["you"], known["you_full"] = name.split(" ")[0], name
    known["you_address"] = rest.rstrip(">")
    return name, known["you_address"]


def _extras(
    style: Style, dress: str, dice: Dice, known: dict[str, str], subject: str, sender: str
) -> list[str]:
    """The fields that go with a dress."""
    domain = sender.partition("@")[2]
    fields = []
    if dress == "bulk":
        if dice.happens(75):
            fields.append(f"List-Unsubscribe: <https://{domain}/u/{dice.digits(8)}>")
        if dice.happens(30):
            fields.append(f"Reply-To: {sender}")
        if dice.happens(30):
            fields.append("Precedence: bulk")
    elif dress == "robot":
        if dice.happens(40):
            fields.append("Auto-Submitted: auto-generated")
    elif dress == "list":
        list_name = style.expand("{list_name}", dice, known)
        list_domain = "lists.uni.test"
        fields.append(f"List-Id: <{list_name}.{list_domain}>")
        fields.append(f"List-Unsubscribe: <mailto:{list_name}-leave@{list_domain}>")
        if dice.happens(50):
            fields.append(f"Sender: {list_name}-bounces@{list_domain}")
    elif dice.happens(20):
        fields.append(f"Reply-To: {sender}")
    if subject.lower().startswith(("re:", "aw:", "fwd:", "wg:", "tr:")) and dice.happens(80):
        earlier = (
            f"<{dice.digits(10)}.{dice.digits(6)}@{dice.one(('uni.test', 'lab.test', 'freepost.example'))}>"
        )
        fields += [f"In-Reply-To: {earlier}", f"References: {earlier}"]
    return fields


def _parts(
    style: Style, dress: str, lines: list[str], dice: Dice, known: dict[str, str], sent: datetime
) -> list[Part]:
    """Plain text, HTML or both; and a file where the style has one."""
    html_only, both = {"person": (4, 45), "bulk": (25, 90), "robot": (10, 45), "list": (0, 10)}[dress]
    form = style.head.get("form", "")
    rolled = dice.below(100)
    kinds = (
        ["html"]
        if form == "html" or (not form and rolled < html_only)
        else ["plain"]
        if form == "plain" or rolled >= both
        else ["plain", "html"]
    )
    parts = [Part(kind, lines) for kind in kinds]
    if "attachment" in style.head and dice.happens(int(style.head.get("attached", "60"))):
        name = style.expand(style["attachment"], dice, known)
        parts.append(Part("file", [name, known["you_address"], f"{sent:%Y%m%dT%H0000Z}"]))
    return parts


def _time(dice: Dice) -> datetime:
    zone = timezone(timedelta(hours=dice.one((0, 1, 1, 1, 2, 2, 2, -5, 3))))
    day = FIRST_DAY + timedelta(days=dice.below(DAYS))
    hour, minute, second = dice.one(HOURS), dice.below(60), dice.below(60)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone)


def _dates(sent: datetime, language: str) -> dict[str, str]:
    """The words of a text for days near the day it was sent."""
    known = {"year": str(sent.year), "time": f"{8 + sent.minute % 11:02}:{15 * (sent.second % 4):02}"}
    for name, days in (("today", 0), ("soon", 3), ("later", 14), ("before", -9)):
        day = sent + timedelta(days=days)
        month = _MONTHS[language][day.month - 1]
        known[name] = f"{day.day}. {month}" if language == "de" else f"{day.day} {month}"
        known[f"{name}_day"] = _WEEKDAYS[language][day.weekday()]
        known[f"{name}_iso"] = f"{day:%Y-%m-%d}"
    known["month"] = _MONTHS[language][sent.month - 1]
    return known


def _date_field(sent: datetime) -> str:
    day, month = _ENGLISH_DAYS[sent.weekday()], _ENGLISH_MONTHS[sent.month - 1]
    return f"{day}, {sent.day:02} {month} {sent:%Y %H:%M:%S %z}"


def _message_id(dice: Dice, sent: datetime, domain: str) -> str:
    hexed = f"{dice.below(1 << 48):012x}"
    forms = (
        f"{sent:%Y%m%d%H%M%S}.{hexed[:6]}",
        f"{hexed[:8]}-{hexed[8:]}-4{dice.digits(3)}-{dice.digits(12)}",
        hexed,
    )
    return f"<{dice.one(forms)}@{domain}>"


def _received(dice: Dice, sent: datetime, domain: str) -> str:
    client = f"{dice.one(('mail', 'mx', 'out', 'smtp', 'relay'))}{dice.one(('', '1', '2'))}.{domain}"
    number = f"{dice.one(NETWORKS)}{dice.between(2, 250)}"
    seen = sent + timedelta(seconds=dice.between(1, 40))
    queue_id = f"1{dice.digits(5)}-{dice.digits(6)}-0{dice.digits(1)}"
    way = f"from {client} ([{number}])\r\n\tby mx.lab.test with esmtp id {queue_id}"
    return f"Received: {way};\r\n\t{_date_field(seen)}"


def _plain(text: str) -> str:
    """An address as it is written in ASCII: müller is mueller, rené is rene."""
    spelled = unicodedata.normalize("NFKD", text.lower().translate(_UMLAUTS))
    return spelled.encode("ascii", "ignore").decode("ascii").replace(" ", "").replace("'", "")
