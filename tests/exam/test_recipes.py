"""The exam, tasks 6 and 7: the recipes of many administrators, each on both engines with the same file.

HOW        a daemon with that file, real sockets; what is said, what is logged, what is in the mailbox.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from labkit.net.translation import real_address
from tests.differential.certificates import Authority

from .conftest import Open
from .recipes import GTUBE, RECIPES, ZONE, Talk
from .world import Host, World, _answer, real, until

BEGINNING = """\
exim_path = EXIMBIN
exim_user = LABUSER
exim_group = LABGROUP
deliver_drop_privilege = true
keep_environment = LD_PRELOAD : LABNET : LABADDR : PATH
add_environment = PATH=/usr/bin:/bin
spool_directory = LABDIR/spool
log_file_path = LABDIR/log/%slog
pid_file_path = LABDIR/exim.pid
check_spool_space = 0
check_spool_inodes = 0
local_interfaces = <; 203.0.113.11
rfc1413_query_timeout = 0s
dns_dnssec_ok = 0
chunking_advertise_hosts =
prdr_enable = false
log_selector = +tls_cipher +tls_certificate_verified
"""


@pytest.fixture(scope="module")
def lab(open_world: Open) -> World:
    return open_world(ZONE)


@pytest.fixture(scope="module")
def spamd(lab: World) -> Iterator[str]:
    """A filter that speaks SpamAssassin's protocol: GTUBE is spam."""
    path = str(lab.folder / "spamd.sock")
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    os.chmod(path, 0o777)
    door.listen()
    ending = threading.Event()

    def serve() -> None:
        while True:
            call, _ = door.accept()
            if ending.is_set():
                call.close()
                return
            with call, suppress(OSError):
                call.settimeout(5)
                heard = b""
                while data := call.recv(65536):
                    heard += data
                is_spam = GTUBE.encode() in heard
                found = (b"True ; 999.0", b"GTUBE") if is_spam else (b"False ; -1.0", b"because")
                call.sendall(b"SPAMD/1.1 0 EX_OK\r\nSpam: %b / 5.0\r\n\r\n%b\r\nit is so\r\n" % found)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path
    ending.set()
    with socket.socket(socket.AF_UNIX) as last:
        last.connect(path)
    thread.join()
    door.close()


@pytest.fixture(scope="module")
def host(lab: World) -> Host:
    found = lab.host("mx.st1.test", "st1.test", "203.0.113.11")
    for file, text in zip(("tls.crt", "tls.key"), Authority().certify("mx.st1.test")):
        path = found.write(file, text)
        if "user" in lab.candidate.identity:
            os.chown(path, lab.candidate.identity["user"], lab.candidate.identity["group"])
        path.chmod(0o600)
    return found


def configure(host: Host, text: str, spamd: str) -> None:
    values = {
        "EXIMBIN": host.world.candidate.exim_path,
        "LABUSER": host.world.candidate.user,
        "LABGROUP": host.world.candidate.group,
        "LABDIR": str(host.folder),
        "SPAMD": spamd,
        "NOBODY": "9",
    }
    text = BEGINNING + text
    for name, value in values.items():
        text = text.replace(name, value)
    host.write("exim.conf", text)


def said_by(host: Host, talk: Talk) -> Iterator[tuple[str, str, str]]:
    """Each line, how its answer should begin, and the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = socket.create_connection(real(host.address, talk.port), 20, (real_address(talk.source), 0))
    try:
        if talk.port == 465:
            connection = context.wrap_socket(connection, server_hostname=host.name)
        stream = connection.makefile("rwb")
        banner = _answer(stream)
        for number, (line, expected) in enumerate(talk.said):
            if line == ">banner":
                yield line, expected, banner
            elif line == ">sleep":
                time.sleep(2.1)
            elif line == ">tls":
                connection = context.wrap_socket(connection, server_hostname=host.name)
                stream = connection.makefile("rwb")
            else:
                stream.write(line.format(n=number).encode() + b"\r\n")
                stream.flush()
                yield line, expected, _answer(stream)
    finally:
        connection.close()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe(host: Host, name: str, spamd: str) -> None:
    recipe = RECIPES[name]
    for file in [*(host.folder / "spool").rglob("*"), host.folder / "log/mainlog", host.folder / "mail/ann"]:
        if file.is_file():
            file.unlink()
    configure(host, recipe.text, spamd)
    host.start()
    try:
        for talk in recipe.talks:
            for line, expected, answer in said_by(host, talk):
                assert answer.startswith(expected), (line, answer, host.log())
        for pattern in recipe.logged:
            until(lambda: re.search(pattern, host.log()), f"{pattern} in\n{host.log()}", 3)  # noqa: B023
        for words in recipe.mail:
            until(lambda: words in host.mail("ann"), f"{words} in\n{host.mail('ann')}", 3)  # noqa: B023
    finally:
        host.stop()
