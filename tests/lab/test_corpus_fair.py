"""A filter cannot win on the corpus by its form: no shape tells ham from spam, and nothing is in training and held out.

The figures of a Bayesian filter stay where the lesson needs them: good on letters like those it learned from, clearly
worse on other styles and on another language, and hopeless on none.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from labkit.filters.bayes import Bayes
from labkit.filters.measures import auc, confusion
from labkit.filters.tokens import tokens_of
from labkit.lab.corpus import Letter, read_corpus

WORDS_IN_A_ROW = 5
CORPUS = read_corpus()
TRAINING, HELD_OUT = CORPUS.training, CORPUS.held_out
OTHER_STYLES = [letter for letter in HELD_OUT if letter.language != "fr"]
FRENCH = [letter for letter in HELD_OUT if letter.language == "fr"]

Judged = list[tuple[float, bool]]
Scorer = Callable[[Letter], float]


@pytest.fixture(scope="module")
def messages() -> dict[str, EmailMessage]:
    return {letter.name: message_from_bytes(letter.content, policy=policy.default) for letter in CORPUS}


def judged(score: Scorer, letters: Iterable[Letter]) -> Judged:
    return [(score(letter), letter.is_spam) for letter in letters]


def crossed(trained: Callable[[list[Letter]], Scorer], letters: Iterable[Letter], folds: int = 5) -> Judged:
    """Every letter judged by a filter that learned from the other folds."""
    every = list(letters)
    found: Judged = []
    for fold in range(folds):
        score = trained([letter for at, letter in enumerate(every) if at % folds != fold])
        found += judged(score, every[fold::folds])
    return found


# --- the shape of a letter ---------------------------------------------------------------------------


def shape(message: EmailMessage, size: int) -> set[str]:
    """Everything about a letter that is not a word of it."""
    parts = list(message.walk())
    names = message.keys()
    return {
        *(f"has {name.lower()}" for name in names),
        *(f"type {part.get_content_type()}" for part in parts),
        *(f"charset {part.get_content_charset()}" for part in parts),
        *(f"encoding {part['Content-Transfer-Encoding']}" for part in parts),
        f"mailer {message['User-Agent'] or message['X-Mailer']}",
        f"order {names[0]} {names[1]}",
        f"size {int(2 * math.log2(size))}",
        f"id {len(str(message['Message-ID']).partition('@')[0])}",
        f"named {'<' in message['To']}",
        f"to {message['To'].addresses[0].addr_spec}",
        f"answer {str(message['Subject']).lower().startswith(('re:', 'aw:', 'fwd:', 'wg:'))}",
        f"subject {len(message['Subject']) // 12}",
        f"hour {message['Date'].datetime.hour // 3}",
        f"zone {message['Date'].datetime.utcoffset()}",
        f"month {message['Date'].datetime:%Y-%m}",
    }


def by_features(features: dict[str, set[str]], letters: Iterable[Letter]) -> Scorer:
    """Naive Bayes over what is there, with one added to each count."""
    many: Counter[bool] = Counter()
    seen: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for letter in letters:
        many[letter.is_spam] += 1
        seen[letter.is_spam].update(features[letter.name])

    def score(letter: Letter) -> float:
        return sum(
            math.log((seen[True][each] + 1) / (many[True] + 2) * (many[False] + 2) / (seen[False][each] + 1))
            for each in features[letter.name]
        )

    return score


def test_the_shape_of_a_letter_hardly_tells_what_it_is(messages: dict[str, EmailMessage]) -> None:
    shapes = {letter.name: shape(messages[letter.name], len(letter.content)) for letter in CORPUS}
    among = auc(crossed(lambda letters: by_features(shapes, letters), TRAINING))
    trained = by_features(shapes, TRAINING)
    others, french = (auc(judged(trained, letters)) for letters in (OTHER_STYLES, FRENCH))
    assert among is not None and others is not None and french is not None
    assert among < 0.65, among
    assert 0.35 < others < 0.65, others
    assert 0.35 < french < 0.65, french


def test_the_shape_classifier_sees_a_shape(messages: dict[str, EmailMessage]) -> None:
    """Were there one field more in half of the spam, the measure above would say so."""
    shapes = {
        letter.name: shape(messages[letter.name], len(letter.content))
        | ({"has x-leak"} if letter.is_spam and at % 2 else set())
        for at, letter in enumerate(CORPUS)
    }
    leaking = auc(crossed(lambda letters: by_features(shapes, letters), TRAINING))
    assert leaking is not None and leaking > 0.7


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain", "html"))
    assert part is not None
    return str(part.get_content())


def share(text: str, wanted: Callable[[str], bool]) -> float:
    return sum(map(wanted, text)) / (len(text) + 1)


def figures(message: EmailMessage, size: int) -> dict[str, float]:
    """Single numbers by which somebody without any filter might tell one from the other."""
    text, subject = text_of(message), str(message["Subject"])
    words = re.findall(r"\w+", text)
    unique, _, place = str(message["Message-ID"]).strip("<>").partition("@")
    author = message["From"].addresses[0]
    sent = message["Date"].datetime
    return {
        "octets": size,
        "characters": len(text),
        "lines": text.count("\n"),
        "longest line": max(map(len, text.split("\n"))),
        "letters in a word": sum(map(len, words)) / (len(words) + 1),
        "different words": len(set(words)) / (len(words) + 1),
        "links": text.count("http"),
        "a link": "http" in text,
        "money": len(re.findall(r"[$€£%]", text)),
        "digits": share(text, str.isdigit),
        "capitals": share(text, str.isupper),
        "not ASCII": 1 - share(text, str.isascii),
        **{f"sign {sign}": share(text, lambda letter, sign=sign: letter == sign) for sign in "!?.,:-"},  # type: ignore[misc]
        "subject": len(subject),
        "subject !": "!" in subject,
        "date": sent.timestamp(),
        "hour": sent.hour,
        "minute": sent.minute,
        "second": sent.second,
        "day of the week": sent.weekday(),
        "fields": len(message.keys()),
        "parts": len(list(message.walk())),
        "Received": len(message.get_all("Received", [])),
        "id": len(unique),
        "digits of the id": share(unique, str.isdigit),
        "different characters of the id": len(set(unique)),
        "id of the author's domain": place == author.domain,
        "a name": bool(author.display_name),
        "author": len(author.username),
        "domain": len(author.domain),
        "odd domain": bool(re.search(r"[-0-9]", author.domain)),
    }


def test_no_single_figure_tells_what_a_letter_is(messages: dict[str, EmailMessage]) -> None:
    """The best of them is whether there is a link: 0.70 in training, 0.63 among what is held out."""
    found = {letter.name: figures(messages[letter.name], len(letter.content)) for letter in CORPUS}
    for name in next(iter(found.values())):
        areas = []
        for side in (TRAINING, HELD_OUT):
            area = auc([(float(found[letter.name][name]), letter.is_spam) for letter in side])
            assert area is not None
            areas.append(area)
            assert 0.29 < area < 0.71, (name, areas)
        assert not min(areas) > 0.64 and not max(areas) < 0.36, (name, areas)


def signs(text: str) -> set[str]:
    """How often each sign stands there, in steps of twice as often."""
    return {
        f"{sign} {int(2 * math.log2(1 + 200 * share(text, lambda letter, sign=sign: letter == sign)))}"  # type: ignore[misc]
        for sign in "!?.,;:-()'\"$€%&/@#*+=0123456789"
    } | {f"capitals {int(40 * share(text, str.isupper))}", f"length {int(2 * math.log2(len(text) + 1))}"}


def test_punctuation_tells_campaigns_and_no_spam(messages: dict[str, EmailMessage]) -> None:
    """Learned from some styles it says next to nothing of others; French ones are punctuated like their models."""
    features = {letter.name: signs(text_of(messages[letter.name])) for letter in CORPUS}
    styles = sorted({letter.style for letter in TRAINING})
    found: Judged = []
    for fold in range(4):
        away = styles[fold::4]
        score = by_features(features, [letter for letter in TRAINING if letter.style not in away])
        found += judged(score, [letter for letter in TRAINING if letter.style in away])
    trained = by_features(features, TRAINING)
    among, others, french = (
        auc(each) for each in (found, judged(trained, OTHER_STYLES), judged(trained, FRENCH))
    )
    assert among is not None and others is not None and french is not None
    assert 0.4 < among < 0.6 and 0.4 < others < 0.6, (among, others)
    assert 0.6 < french < 0.8, french


def test_no_single_word_does(messages: dict[str, EmailMessage]) -> None:
    """Whichever word one takes: on the side where it was not chosen it is right in hardly more than half."""
    tokens = {letter.name: set(tokens_of(letter.content)) for letter in CORPUS}
    many = Counter(token for letter in TRAINING for token in tokens[letter.name])
    for token in (token for token, count in many.items() if count >= 10):
        for letters in (TRAINING, HELD_OUT):
            area = auc([(float(token in tokens[letter.name]), letter.is_spam) for letter in letters])
            assert area is not None and 0.36 < area < 0.64, (token, area)


def test_no_field_belongs_to_one_class(messages: dict[str, EmailMessage]) -> None:
    seen: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for letter in CORPUS:
        message = messages[letter.name]
        mailers = {f"mailer {message['User-Agent'] or message['X-Mailer']}"}
        months = {f"month {message['Date'].datetime:%Y-%m}"}
        seen[letter.is_spam].update({name.lower() for name in message} | mailers | months)
    for each in seen[True] | seen[False]:
        assert seen[True][each] >= 3 and seen[False][each] >= 3, each


def test_senders_of_both_classes_share_domains(messages: dict[str, EmailMessage]) -> None:
    domains: dict[bool, set[str]] = {True: set(), False: set()}
    for letter in CORPUS:
        domains[letter.is_spam].add(messages[letter.name]["From"].addresses[0].domain)
    assert len(domains[True] & domains[False]) >= 8


# --- the same text twice -----------------------------------------------------------------------------


def rows_of_words(message: EmailMessage) -> set[tuple[str, ...]]:
    part = message.get_body(("plain", "html"))
    assert part is not None
    words = re.findall(r"\w+", re.sub(r"<[^>]+>", " ", part.get_content()).lower())
    return {tuple(words[at : at + WORDS_IN_A_ROW]) for at in range(len(words) - WORDS_IN_A_ROW + 1)}


def test_no_held_out_letter_resembles_one_to_train_on(messages: dict[str, EmailMessage]) -> None:
    where: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for letter in TRAINING:
        for row in rows_of_words(messages[letter.name]):
            where[row].add(letter.name)
    for letter in HELD_OUT:
        rows = rows_of_words(messages[letter.name])
        common = Counter(name for row in rows for name in where.get(row, ()))
        for name, count in common.most_common(1):
            assert count / len(rows) < 0.15, (letter.name, name, count)


def test_no_content_is_there_twice(messages: dict[str, EmailMessage]) -> None:
    """The variants of a campaign differ; only what is too short to differ may be said again."""
    bodies: Counter[str] = Counter()
    for message in messages.values():
        part = message.get_body(("plain", "html"))
        assert part is not None
        bodies[part.get_content()] += 1
    assert [text for text, count in bodies.items() if count > 1 and len(text) > 60] == []


# --- a filter that learns ----------------------------------------------------------------------------


def bayes(letters: Iterable[Letter]) -> Scorer:
    trained = Bayes.trained(letters)
    return lambda letter: trained.score(letter.content).probability


def rates(found: Judged) -> tuple[float, float]:
    area, right = auc(found), confusion(found, 0.5).accuracy.value
    assert area is not None and right is not None
    return area, right


def test_bayes_does_well_among_letters_like_those_it_learned_from() -> None:
    area, right = rates(crossed(bayes, TRAINING))
    assert area > 0.97
    assert 0.92 < right < 1, "it makes mistakes, too"


def test_bayes_is_clearly_worse_on_other_styles_and_another_language() -> None:
    score = bayes(TRAINING)
    styles, right = rates(judged(score, OTHER_STYLES))
    assert 0.6 < styles < 0.9, styles
    assert 0.5 < right < 0.85, right
    french, right = rates(judged(score, FRENCH))
    assert 0.7 < french < 0.97, french
    assert 0.7 < right < 0.95, right
