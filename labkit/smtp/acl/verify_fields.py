"""verify = header_syntax, header_names_ascii, not_blind: what the header fields of a message must be like.

LIKE EXIM  header_syntax reads all fields that can have lists of addresses; an address without a domain is wrong unless
           the client may send such; not_blind wants each recipient in a To: or Cc: field
STANDARDS  Exim specification, section "ACL conditions"; RFC 5322 §3.4
READ NEXT  verify_address.py
"""

from __future__ import annotations

import re

from labkit.eximconf.field_addresses import Unreadable, addresses_of
from labkit.mail.asking import Asking
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.texts import printed
from labkit.smtp.acl.verdicts import Found
from labkit.smtp.acl.verify_address import Wish

_SENDERS = ("from", "sender")
_WITH_ADDRESSES = ("from", "reply-to", "sender", "to", "cc", "bcc")
_RESENT = "resent-"
_LONGEST_SHOWN = 1024


def _kind(name: str) -> str:
    return name.rstrip(" \t").lower().removeprefix(_RESENT)


def header_syntax(scene: Scene, wish: Wish) -> Asking[Found]:
    for name, body in scene.env.headers:
        kind = _kind(name)
        if kind not in _WITH_ADDRESSES:
            continue
        may_be_bare = scene.takes_unqualified[0 if kind in _SENDERS else 1]
        for item in addresses_of(body):
            if isinstance(item, Unreadable):
                problem = item.problem
            else:
                problem = "" if item.has_domain or may_be_bare else "unqualified address not permitted"
            if problem not in ("", "empty address"):
                return _bad_field(scene, problem, name, item.text)
    return Found.YES
    yield


def _bad_field(scene: Scene, problem: str, name: str, text: str) -> Found:
    verb = "is" if len(text) <= _LONGEST_SHOWN else "begins"
    shown = text[:_LONGEST_SHOWN]
    scene.log = printed(f'{problem}: failing address in "{name.rstrip()}:" header {verb}: {shown}')
    if scene.gives_details:
        scene.words = f"Rejected after DATA: {scene.log}"
    else:
        scene.env.variables["acl_verify_message"] = scene.log
    return Found.NO


def header_names_ascii(scene: Scene, wish: Wish) -> Asking[Found]:
    for name, _ in scene.env.headers:
        if re.search(r"[^!-~]", name):
            scene.log = f'Invalid character in header "{name}" found'
            if scene.gives_details:
                scene.words = f"Rejected after DATA: {scene.log}"
            return Found.NO
    return Found.YES
    yield


def not_blind(scene: Scene, wish: Wish) -> Asking[Found]:
    named: set[tuple[str, str]] = set()
    for name, body in scene.env.headers:
        if _kind(name) not in ("to", "cc"):
            continue
        for item in addresses_of(body):
            if not isinstance(item, Unreadable) and item.has_domain:
                named.add(_key(item.address, wish.folds_case))
    for each in scene.recipients:
        if _key(str(each), wish.folds_case) not in named:
            scene.log = "bcc recipient detected"
            scene.because = f"{each} stands in no To: or Cc: field"
            if scene.gives_details:
                scene.words = f"Rejected after DATA: {scene.log}"
            return Found.NO
    return Found.YES
    yield


def _key(address: str, folds_case: bool) -> tuple[str, str]:
    local_part, _, domain = address.rpartition("@")
    return (local_part.lower() if folds_case else local_part, domain.lower())
