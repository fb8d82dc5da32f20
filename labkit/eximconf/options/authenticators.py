"""The options of authenticators.

STANDARDS  Exim specification, chapters "SMTP authentication", "The plaintext authenticator",
           "The cram_md5 authenticator"
READ NEXT  ../configuration.py
"""

from __future__ import annotations

from labkit.eximconf.options import kinds
from labkit.eximconf.options.kinds import Kind
from labkit.eximconf.options.row import Option, Standing

DRIVERS = ("cram_md5", "plaintext")
_GENERIC = "SMTP authentication"
_PLAINTEXT = "The plaintext authenticator"
_CRAM = "The cram_md5 authenticator"


def _works(scope: str, name: str, kind: Kind, default: str | None, chapter: str, effect: str) -> Option:
    return Option(scope, name, kind, default, chapter, effect)


def _tested(scope: str, name: str, kind: Kind, default: str | None, chapter: str, effect: str) -> Option:
    return Option(scope, name, kind, default, chapter, effect, Standing.TESTED)


_TEXT = kinds.EXPANSION
_ANY = "authenticator"
_PLAIN = "authenticator plaintext"
ROWS: tuple[Option, ...] = (
    _works(_ANY, "driver", kinds.STRING, None, _GENERIC, "which kind of authenticator this is"),
    _works(_ANY, "public_name", kinds.STRING, None, _GENERIC, "its name in SMTP: PLAIN, LOGIN, CRAM-MD5"),
    _works(_ANY, "client_condition", _TEXT, None, _GENERIC, "whether our client uses it"),
    _works(_ANY, "client_set_id", _TEXT, None, _GENERIC, "what our client calls itself afterwards"),
    _works(_ANY, "server_advertise_condition", _TEXT, None, _GENERIC, "whether our server offers it"),
    _works(_ANY, "server_condition", _TEXT, None, _GENERIC, "whether a client is who it says"),
    Option(
        _ANY,
        "server_debug_print",
        _TEXT,
        None,
        _GENERIC,
        "words for exim -d, which labkit does not print",
        Standing.MOOT,
    ),
    _works(_ANY, "server_mail_auth_condition", _TEXT, None, _GENERIC, "whether AUTH= on MAIL is believed"),
    _works(_ANY, "server_set_id", _TEXT, None, _GENERIC, "$authenticated_id"),
    _works(
        _PLAIN, "client_ignore_invalid_base64", kinds.BOOLEAN, None, _PLAINTEXT, "go on after a bad prompt"
    ),
    _works(_PLAIN, "client_send", _TEXT, None, _PLAINTEXT, "what our client sends"),
    _works(_PLAIN, "server_prompts", _TEXT, None, _PLAINTEXT, "what our server asks for"),
    _works("authenticator cram_md5", "client_name", _TEXT, None, _CRAM, "the name our client sends"),
    _works(
        "authenticator cram_md5", "client_secret", _TEXT, None, _CRAM, "the secret our client proves to know"
    ),
    _works("authenticator cram_md5", "server_secret", _TEXT, None, _CRAM, "the secret of the user in $auth1"),
)
