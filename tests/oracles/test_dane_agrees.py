"""DANE: our verdict on a chain and OpenSSL's, for the same TLSA records."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from datetime import datetime, timezone
from pathlib import Path

import pytest

from labkit.auth.dane import Tlsa, judge_chain, read_tlsa, record_for
from labkit.lab.authority import Authority

NAME = "mx.bigmail.test"
NOW = datetime(2026, 9, 7, tzinfo=timezone.utc)
CASES = [(usage, selector, matching) for usage in (2, 3) for selector in (0, 1) for matching in (0, 1, 2)]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def _chain(path: Path) -> list[bytes]:
    blocks = path.read_text().split("-----BEGIN CERTIFICATE-----")[1:]
    ends = [block.partition("-----END CERTIFICATE-----")[0] for block in blocks]
    return [
        ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{b}-----END CERTIFICATE-----") for b in ends
    ]


async def _openssl(path: Path, asked: list[tuple[str, list[Tlsa]]]) -> list[bool]:
    """What `openssl s_client` says of a server with that chain, for each name and its records."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    verdicts = []
    for name, records in asked:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-dane_tlsa_domain", name]
        command += ["-dane_ee_no_namechecks", "-verify_return_error"]
        for record in records:
            command += ["-dane_tlsa_rrdata", str(record)]
        ran = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(ran.communicate(), 10)
        verdicts.append(b"Verification: OK" in out)
    server.close()
    return verdicts


@pytest.mark.parametrize("kind", ["good", "expired", "wrong name", "self-signed"])
def test_same_verdict(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path / "authority")
    path = authority.certificate_for(NAME, kind)
    chain = _chain(path)
    authority.prepare()
    ca = ssl.PEM_cert_to_DER_cert(authority.ca.read_text())
    other = _chain(authority.certificate_for("other.test"))[0]
    asked: list[tuple[str, list[Tlsa]]] = []
    for usage, selector, matching in CASES:
        own = record_for(ca if usage == 2 else chain[0], usage, selector, matching)
        wrong = record_for(other, usage, selector, matching)
        asked += [(NAME, [own]), (NAME, [wrong]), (NAME, [wrong, own])]
        if (usage, selector, matching) != (
            2,
            1,
            0,
        ):  # OpenSSL lets a whole key vouch that is in no certificate
            asked.append((NAME, [record_for(chain[0], usage, selector, matching)]))  # its own authority?
        if matching == 1:
            asked.append(("somebody.else.test", [own]))
    ours = [judge_chain(records, chain, [name], NOW).result == "verified" for name, records in asked]
    theirs = asyncio.run(_openssl(path, asked))
    different = [
        (name, [str(r)[:20] for r in records], a, b)
        for (name, records), a, b in zip(asked, ours, theirs)
        if a != b
    ]
    assert not different
    if kind == "good":
        assert any(ours) and not all(ours)


def test_an_authority_that_only_stands_there(tmp_path: Path) -> None:
    """Mallory's own chain, and behind it the certificate of the authority that the record names."""
    true, mallory = Authority(tmp_path / "true"), Authority(tmp_path / "mallory")
    shown = mallory.certificate_for(NAME).read_text()
    begin = shown.index("-----BEGIN PRIVATE KEY")
    path = tmp_path / "appended.pem"
    path.write_text(shown[:begin] + true.prepare().read_text() + shown[begin:])
    chain = _chain(path)
    named = {
        who.folder.name: [record_for(ssl.PEM_cert_to_DER_cert(who.ca.read_text()), 2)]
        for who in (true, mallory)
    }
    assert asyncio.run(_openssl(path, [(NAME, named["true"]), (NAME, named["mallory"])])) == [False, True]
    assert judge_chain(named["true"], chain, [NAME], NOW).result == "failed"
    assert judge_chain(named["mallory"], chain, [NAME], NOW).result == "verified"


def test_records() -> None:
    digest = "ab" * 32
    assert str(read_tlsa(f"3 1 1 {digest}")) == f"3 1 1 {digest.upper()}"
    for text in (
        "",
        "3 1 1",
        "3 1 1 xyz",
        "3 1 1 abc",
        "999 1 1 ab",
        "3 1 1 " + "ab" * 100_000,
        f"3 1 1{' ' * 50_000}x",
    ):
        with pytest.raises(ValueError, match=r"usage|digits"):
            read_tlsa(text)
    useless = [
        read_tlsa(text) for text in (f"0 1 1 {digest}", f"3 2 1 {digest}", "3 1 1 abcd", f"3 1 9 {digest}")
    ]
    assert all(each.objection for each in useless)
    assert judge_chain(useless, [], [NAME], NOW).result == "unusable"
    assert judge_chain([read_tlsa(f"3 1 1 {digest}")], [b"junk"], [NAME], NOW).result == "failed"
    assert judge_chain([read_tlsa(f"3 1 1 {digest}")], [], [NAME], NOW).result == "failed"
