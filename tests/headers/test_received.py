"""Received fields as the servers of the world write them, and what is read from each."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from labkit.headers.received import read_received

WHEN = "Tue, 12 Mar 2024 10:00:00 +0000"
Y, N, U = True, False, None  # yes, no, unknown


def shape(text: str, because: str, **said: Any) -> Any:
    return pytest.param(text, said, because, id=because)


SHAPES = [
    shape(
        "from mail.a.test (mail.a.test [192.0.2.1]) by mx.b.test (Postfix) with ESMTPS id 4Tv0Lq1zXcz "
        f"for <bob@b.test>; {WHEN} (UTC)",
        "Postfix: HELO name, then reverse name and address",
        helo="mail.a.test", reverse_name="mail.a.test", address="192.0.2.1", by="mx.b.test", software="Postfix",
        protocol="ESMTPS", is_encrypted=Y, is_authenticated=N, id="4Tv0Lq1zXcz", recipient="bob@b.test",
    ),
    shape(
        "from laptop (unknown [198.51.100.7]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) "
        'key-exchange X25519 server-signature RSA-PSS (2048 bits)) (No client certificate requested) '
        f"(Authenticated sender: ann) by mail.a.test (Postfix) with ESMTPSA id 3F; {WHEN}",
        "Postfix submission: TLS and the login are comments; unknown is no name",
        helo="laptop", reverse_name="", address="198.51.100.7", login="ann", is_encrypted=Y, is_authenticated=Y,
    ),
    shape(
        f"from x (y.a.test [IPv6:2001:db8::25]) by mx.b.test (Postfix) with ESMTP id 1; {WHEN}",
        "Postfix, IPv6 literal",
        address="2001:db8::25", reverse_name="y.a.test", is_encrypted=N,
    ),
    shape(
        f"by mail.a.test (Postfix, from userid 1000) id 2B1; {WHEN}",
        "Postfix pickup: a program of the host",
        helo="", address="", login="uid 1000", is_local=Y, is_encrypted=U, by="mail.a.test",
    ),
    shape(
        "from mail.a.test ([192.0.2.1]) by mx.b.test with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) "
        f"(envelope-from <ann@a.test>) id 1rk0Xy-0001ab-2C for bob@b.test; {WHEN}",
        "Exim: what stands in front of the address was looked up, and HELO said the same",
        helo="mail.a.test", reverse_name="mail.a.test", address="192.0.2.1", software="Exim 4.96",
        tls="TLS1.3 TLS_AES_256_GCM_SHA384", is_encrypted=Y, envelope_from="ann@a.test", recipient="bob@b.test",
        id="1rk0Xy-0001ab-2C",
    ),
    shape(
        f"from mail.a.test ([192.0.2.1] helo=other.test) by mx.b.test with esmtp (Exim 4.96) id 1; {WHEN}",
        "Exim: helo= where it differs",
        helo="other.test", reverse_name="mail.a.test", address="192.0.2.1", is_encrypted=N,
    ),
    shape(
        f"from [192.0.2.1] (port=40112 helo=laptop) by mx.b.test with esmtpsa (Exim 4.96) id 1; {WHEN}",
        "Exim: no reverse name",
        helo="laptop", reverse_name="", address="192.0.2.1", is_authenticated=Y,
    ),
    shape(
        f"from [2001:db8::1] (helo=[IPv6:2001:db8::1]) by mx.b.test with esmtp (Exim 4.96) id 1; {WHEN}",
        "Exim: an address literal as HELO", helo="[IPv6:2001:db8::1]", address="2001:db8::1",
    ),
    shape(
        f"from ann by mx.b.test with local (Exim 4.96) (envelope-from <ann@b.test>) id 1; {WHEN}",
        "Exim: a local user", login="ann", is_local=Y, is_encrypted=U, is_authenticated=U, helo="", protocol="local",
    ),
    shape(
        "from mail.a.test (mail.a.test [192.0.2.1] (may be forged)) by mx.b.test (8.15.2/8.15.2) with ESMTPS id u1 "
        f"(version=TLSv1.2 cipher=ECDHE-RSA-AES256-GCM-SHA384 bits=256 verify=NO) for <bob@b.test>; {WHEN}",
        "Sendmail: (may be forged) inside the comment",
        reverse_name="mail.a.test", address="192.0.2.1", software="8.15.2/8.15.2", is_encrypted=Y,
    ),
    shape(
        f"from laptop ([198.51.100.7]) (authenticated bits=0) by mx.b.test (8.17.1/8.17.1) with ESMTPA id 1; {WHEN}",
        "Sendmail with a login and without a reverse name",
        helo="laptop", reverse_name="", address="198.51.100.7", is_authenticated=Y,
    ),
    shape(
        f"(from ann@localhost) by mx.b.test (8.15.2/8.15.2/Submit) id 42CA; {WHEN}",
        "Sendmail: handed in by a local user", login="ann@localhost", is_local=Y, by="mx.b.test", id="42CA",
    ),
    shape(
        f"from helo.a.test (IDENT:ann@mail.a.test [192.0.2.1]) by mx.b.test (8.9.3/8.9.3) with SMTP id 1; {WHEN}",
        "Sendmail with an ident answer", reverse_name="mail.a.test", helo="helo.a.test", address="192.0.2.1",
    ),
    shape(
        "from AM0PR01.eurprd01.prod.outlook.com (2603:10a6:208:7::5) by DB9PR01.eurprd01.prod.outlook.com "
        "(2603:10a6:10:1::9) with Microsoft SMTP Server (version=TLS1_2, "
        f"cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.7472.30; {WHEN}",
        "Exchange Online: bare IPv6 addresses in brackets, a protocol of three words",
        helo="am0pr01.eurprd01.prod.outlook.com", address="2603:10a6:208:7::5", by_address="2603:10a6:10:1::9",
        protocol="Microsoft SMTP Server", is_encrypted=Y, id="15.20.7472.30",
    ),
    shape(
        "from AM0PR01.eurprd01.prod.outlook.com ([fe80::1%5]) by AM0PR01.eurprd01.prod.outlook.com ([fe80::1%5]) "
        f"with mapi id 15.20.7472.027; {WHEN}",
        "Exchange: inside one server", address="fe80::1", protocol="mapi", is_encrypted=U,
    ),
    shape(
        "from mail.a.test (192.0.2.1) by x.mail.protection.outlook.com (10.1.2.3) with Microsoft SMTP Server "
        f"(version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 1 via Frontend Transport; {WHEN}",
        "Exchange's front end", address="192.0.2.1", via="Frontend Transport", is_encrypted=Y,
    ),
    shape(
        "from mail-sor-f41.google.com (mail-sor-f41.google.com. [209.85.220.41]) by mx.google.com with SMTPS id "
        "a1sor12 for <bob@b.test> (Google Transport Security); Tue, 12 Mar 2024 03:00:00 -0700 (PDT)",
        "Gmail: a reverse name with a dot, SMTPS",
        reverse_name="mail-sor-f41.google.com", address="209.85.220.41", is_encrypted=Y, protocol="SMTPS",
        recipient="bob@b.test",
    ),
    shape(
        f"by 2002:a05:6520:1c2b:b0:123:4567 with SMTP id abc; {WHEN}",
        "Gmail inside: no client at all", by="2002:a05:6520:1c2b:b0:123:4567", helo="", address="",
    ),
    shape(
        "from [10.0.0.5] (cpe.isp.test. [198.51.100.9]) by smtp.gmail.com with ESMTPSA id x1 "
        f"(version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256 bits=128/128); {WHEN}",
        "Gmail submission: HELO is the private address",
        helo="[10.0.0.5]", reverse_name="cpe.isp.test", address="198.51.100.9", is_authenticated=Y,
    ),
    shape(
        "from unknown (HELO mail.a.test) (ann@192.0.2.1) by mx.b.test with ESMTPA; 12 Mar 2024 10:00:00 -0000",
        "qmail: HELO in one comment, ident and address in the next",
        helo="mail.a.test", reverse_name="", address="192.0.2.1", is_authenticated=Y,
    ),
    shape(
        "from mail.a.test (192.0.2.1) by mx.b.test with SMTP; 12 Mar 2024 10:00:00 -0000",
        "qmail: an address without square brackets", helo="mail.a.test", reverse_name="mail.a.test",
        address="192.0.2.1",
    ),
    shape(
        "(qmail 12345 invoked by uid 89); 12 Mar 2024 10:00:00 -0000",
        "qmail's own step", software="qmail", is_local=Y, login="uid 89", by="",
    ),
    shape("(qmail 99 invoked from network); 12 Mar 2024 10:00:00 -0000", "qmail from the network", software="qmail"),
    shape(
        "from mail.a.test (mail.a.test [192.0.2.1]) by mx.b.test (OpenSMTPD) with ESMTPS id 4f5e6a7b "
        f"(TLSv1.3:TLS_CHACHA20_POLY1305_SHA256:256:NO) for <bob@b.test>; {WHEN}",
        "OpenSMTPD", software="OpenSMTPD", tls="TLSv1.3:TLS_CHACHA20_POLY1305_SHA256:256:NO", is_encrypted=Y,
    ),
    shape(
        f"from localhost (mx.b.test [local]) by mx.b.test (OpenSMTPD) with ESMTPA id 1 for <b@b.test>; {WHEN}",
        "OpenSMTPD, local", helo="localhost", address="", by="mx.b.test",
    ),
    shape(
        "from helo.a.test ([::ffff:192.0.2.1]) (AUTH: LOGIN ann@a.test, SSL: TLSv1/SSLv3,256bits,AES256-SHA) "
        f"by mx.b.test with ESMTPSA; {WHEN}",
        "Courier: an IPv4 address in IPv6's clothes, the login in a comment",
        address="192.0.2.1", login="ann@a.test", is_authenticated=Y, is_encrypted=Y,
    ),
    shape(
        f"from mx.b.test ([127.0.0.1]) by mx.b.test with LMTP id KJ8x (envelope-from <ann@a.test>) for <bob>; {WHEN}",
        "Dovecot's LMTP", protocol="LMTP", envelope_from="ann@a.test", address="127.0.0.1", is_encrypted=N,
    ),
    shape(
        "from mx.b.test ([127.0.0.1]) by localhost (mx.b.test [127.0.0.1]) (amavisd-new, port 10024) with ESMTP "
        f"id Zk1; {WHEN}",
        "amavis", by="localhost", by_address="127.0.0.1", software="amavisd-new, port 10024",
    ),
    shape(
        "from a.test (mail.a.test [192.0.2.1]) by relay.test with ESMTP with STARTTLS (version=TLSv1.2, "
        f"cipher=TLS_ECDHE) id us-1; {WHEN}",
        "Mimecast: with stands twice", protocol="ESMTP", is_encrypted=Y,
    ),
    shape(
        f"from a.test (mail.a.test [192.0.2.1]) by mx.b.test (Haraka/3.0.3) with ESMTPS id F1.1 "
        f"envelope-from <ann@a.test> (cipher=TLS_AES_256_GCM_SHA384); {WHEN}",
        "Haraka", envelope_from="ann@a.test", software="Haraka/3.0.3",
    ),
    shape(
        "from a.test by b.test (4.1/SMI-4.1) id AA12345; Tue, 12 Mar 91 10:00:00 EST",
        "an old Sendmail: a year of two digits", helo="a.test", id="AA12345",
    ),
    shape(
        "by filter0059.relay.test with SMTP id filter0059-1 2024-03-12 10:00:00.5 +0000 UTC m=+1.5",
        "no semicolon, and no date that can be told apart", by="filter0059.relay.test", date=None,
    ),
    shape(
        "by geopod.relay.test (SG) with HTTP id abc; 2024-03-12 10:00:00.123 +0000 UTC m=+12.5",
        "Go's date", protocol="HTTP", is_encrypted=N,
    ),
    shape(
        f"from a.test (192.0.2.1) by b.test with ESMTP id x {WHEN}",
        "no semicolon before the date", id="x", protocol="ESMTP",
    ),
    shape(
        f"from mail.a.test by sonic.b.test with HTTP; {WHEN}",
        "Yahoo inside", helo="mail.a.test", protocol="HTTP", address="",
    ),
    shape(
        f"from 192.0.2.1 (EHLO mail.a.test) by 10.2.3.4 with SMTPs; {WHEN}",
        "Yahoo's edge: address first, EHLO in a comment",
        helo="mail.a.test", address="192.0.2.1", reverse_name="", by="10.2.3.4", is_encrypted=Y,
    ),
    shape(
        "from [192.0.2.1] (account ann@a.test HELO laptop) by a.test (CommuniGate Pro SMTP 6.1.20) with ESMTPSA "
        f"id 123; {WHEN}",
        "CommuniGate", helo="laptop", login="ann@a.test", is_authenticated=Y,
    ),
    shape(
        f"from a.test ([192.0.2.1]) by b.test (Lotus Domino Release 8.5.3) with ESMTP id 2024-1; {WHEN}",
        "Domino", helo="a.test", address="192.0.2.1", software="Lotus Domino Release 8.5.3",
    ),
    shape(
        "from pop.a.test [192.0.2.1] by localhost with POP3 (fetchmail-6.3.26) for <ann@localhost> (single-drop); "
        f"{WHEN}",
        "fetchmail: it came by POP3", helo="pop.a.test", address="192.0.2.1", protocol="POP3", is_encrypted=U,
    ),
    shape(
        f"from by (by [192.0.2.1]) by mx.b.test (Postfix) with ESMTP id with; {WHEN}",
        "a host that is called by", helo="by", reverse_name="", by="mx.b.test", id="with",
    ),
    shape(f"by mx.b.test id 7; {WHEN}", "no from", by="mx.b.test", helo="", address=""),
    shape("", "an empty field", is_understood=N, date=None),
    shape("forged by nobody with nothing", "words that are none", by="nobody", protocol="nothing", date=None),
    shape(
        f"from a.test (a.test [192.0.2.999]) by b.test with UTF8SMTPSA id 1; {WHEN}",
        "an address that is none; RFC 6531's protocols", address="", is_encrypted=Y, is_authenticated=Y,
    ),
]  # fmt: skip


@pytest.mark.parametrize("text, said, because", SHAPES)
def test_shape(text: str, said: dict[str, Any], because: str) -> None:
    received = read_received(text)
    read = {name: getattr(received, name) for name in said}
    assert read == said, because
    assert pickle.loads(pickle.dumps(received)) == received


@pytest.mark.parametrize("text, said, because", SHAPES)
def test_folding_changes_nothing(text: str, said: dict[str, Any], because: str) -> None:
    """Unfolded, a line end is gone and its tab stays."""
    folded, plain = read_received(text.replace(" by ", "\tby ").replace(" id ", "\tid ")), read_received(text)
    assert (folded.by, folded.id, folded.helo) == (plain.by, plain.id, plain.helo)


DATED = [s for s in SHAPES if s.values[1].get("date", 0) is not None]


@pytest.mark.parametrize("text, said, because", DATED)
def test_date_is_found(text: str, said: dict[str, Any], because: str) -> None:
    date = read_received(text).date
    assert (
        date is not None and date.instant is not None and date.instant.month == 3 and date.instant.day == 12
    )
