"""Stories of DKIM: what a host signs another one verifies, whatever engine it has; an ACL that decides by it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from labkit.lab.host import Host
from labkit.lab.scenarios import HostPlan
from labkit.lab.world import World

from .configurations import CHECK_RCPT, INTO_MAILBOX, exim_conf
from .signing import edwards_key, pem, published, record, rsa_key, signed
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, PARTNERS_LAPTOP, STRANGER, USUAL_MX, Lab, host, message
from .stories_log import lines_of
from .story import story

EVE = "eve@stranger.test"
VARIABLES = """cur_signer verify_status verify_reason domain identity selector algo canon_body canon_headers
    copiedheaders bodylength created expires headernames key_testing key_nosubdomains key_srvtype key_granularity
    key_notes key_length signers""".split()
ALL = " ".join(f"{name}=$dkim_{name}" for name in VARIABLES)
VERIFYING = "log_selector = +dkim_verbose\nacl_smtp_dkim = check_dkim\nacl_smtp_data = check_data\n"
TELLING = f"""\
check_dkim:
  accept  logwrite   = DKIM {ALL}
          add_header = X-DKIM: $dkim_cur_signer $dkim_verify_status
check_data:
  accept  logwrite   = DATA {ALL}
          add_header = :at_start:${{authresults {{$primary_hostname}}}}
"""
P = "v=DKIM1; p="


def zone(*more: str) -> str:
    """The usual records, and keys of everybody."""
    usual = published(rsa_key())
    keys = {
        "one._domainkey.stranger": P + usual,
        "two._domainkey.stranger": f"v=DKIM1; k=ed25519; p={published(edwards_key())}",
        "all._domainkey.stranger": f"v=DKIM1; h=sha1:sha256; t=y:s; s=email; g=*; n=hello=20you; k=rsa; p={usual}",
        "sha1._domainkey.stranger": f"v=DKIM1; h=sha1; p={usual}",
        "web._domainkey.stranger": f"v=DKIM1; s=web; p={usual}",
        "gone._domainkey.stranger": "v=DKIM1; p=",
        "junk._domainkey.stranger": "v=spf1 -all",
        "bad._domainkey.stranger": "v=DKIM1; p=no base64!",
        "new._domainkey.stranger": f"v=DKIM2; p={usual}",
        "mid._domainkey.stranger": P + published(rsa_key("mid", 1024)),
        "other._domainkey.stranger": P + published(rsa_key("other")),
        "rsa._domainkey.st11.sne21": P + usual,
        "ed._domainkey.st11.sne21": f"v=DKIM1; k=ed25519; p={published(edwards_key())}",
        "rsa._domainkey.st2.sne21": P + usual,
    }
    return USUAL_MX + "".join(record(name, text) for name, text in keys.items()) + "".join(more)


def log_of(of: Host) -> list[str]:
    """The main log without the folders in which a real Exim has the host's disk."""
    lines = [line for line in lines_of(of) if line and "SIGHUP received" not in line]
    return [re.sub(r"/\S*/etc/", "/etc/", line) for line in lines]


def hands_in(content: bytes, *, sender: str = EVE, recipient: str = ANN) -> tuple[str | bytes, ...]:
    return "EHLO client.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA", content


def verifier(main: str = VERIFYING, acl: str = TELLING) -> HostPlan:
    return host(MINE, exim_conf(MINE, main, acl=CHECK_RCPT + acl), "ann")


async def all_of(lab: Lab, world: World, messages: Iterable[bytes]) -> list[str]:
    """Hand them in, one by one; the verdicts."""
    verdicts = []
    for content in messages:
        said = await lab.call(world.mine, *hands_in(content))
        await world.settle()
        verdicts.append(said[5])
    lab.note(f"the log of {world.mine.name}", *log_of(world.mine))
    return verdicts


def results(of: Host, account: str = "ann") -> list[list[str]]:
    """What ${authresults} says of the signatures of each message."""
    return [
        re.findall(r"dkim=(\w+)", each.first("Authentication-Results") or "") for each in of.mailbox(account)
    ]


# --- receiving ------------------------------------------------------------------------------------


@story(is_long=True)
async def dkim_good_signatures(lab: Lab) -> None:
    """Both kinds of keys, all forms, l=, two signatures: what the variables hold, what the log says."""
    plain = message("x", "hello  world \n\n\n", EVE)
    usual = signed(plain, rsa_key())
    forms = [(one, two) for one in (b"simple", b"relaxed") for two in (b"simple", b"relaxed")]
    async with lab.world(verifier(), zone=zone()) as world:
        await all_of(
            lab,
            world,
            [
                plain,
                usual,
                *(signed(plain, rsa_key(), canonicalization=form) for form in forms),
                signed(plain, edwards_key(), selector="two"),
                signed(usual, edwards_key(), selector="two"),
                signed(plain, rsa_key(), selector="all", identity="me@sub.stranger.test", length=True)
                + b"footer\r\n",
                signed(plain, rsa_key("mid", 1024), selector="mid"),
                signed(message("empty", "", EVE), rsa_key()),
                signed(message("blank", "\n \n", EVE), rsa_key(), canonicalization=(b"simple", b"simple")),
                signed(message("dots", "..\n...\n", EVE).replace(b"\r\n..", b"\r\n."), rsa_key()).replace(
                    b"\r\n.", b"\r\n.."
                ),
            ],
        )
        assert results(world.mine) == [[], *[["pass"]] * 6, ["pass", "pass"], *[["pass"]] * 5]


@story(is_long=True)
async def dkim_bad_signatures(lab: Lab) -> None:
    """A changed body, a changed header, a key that is not there or not good, a field that cannot be read."""
    plain = message("x", "hello\n", EVE)
    usual = signed(plain, rsa_key())
    selectors = "gone junk bad new web sha1 other nobody".split()
    async with lab.world(verifier(), zone=zone()) as world:
        await all_of(
            lab,
            world,
            [
                usual + b"more\r\n",
                usual.replace(b"Subject: x", b"Subject: y"),
                *(signed(plain, rsa_key(), selector=selector) for selector in selectors),
                signed(plain, rsa_key(), domain="nowhere.example"),
                signed(plain, rsa_key(), algorithm=b"rsa-sha1"),
                usual.replace(b"v=1;", b"v=2;"),
                usual.replace(b"v=1; ", b""),
                usual.replace(b" s=one;", b""),
                usual.replace(b" b=", b" b=!"),
                usual.replace(b"a=rsa-sha256", b"a=rsa-md5"),
                usual.replace(b"v=1;", b"v=1; t=1000; x=2000; z=From:a=40b|To:=c;"),
                usual.replace(b"v=1;", b"v=1; l=-5; i=a=3bb=zz=40c; unknown=1; V=2"),
                usual.replace(b"d=stranger.test", b"d=Stranger.TEST"),
                signed(usual, rsa_key(), selector="nobody"),
                signed(plain, edwards_key(), selector="one"),
            ],
        )
        found = results(world.mine)
        assert found[:2] == [["fail"], ["fail"]]
        assert found[2:10] == [
            ["neutral"],
            ["tmperror"],
            *[["neutral"]] * 3,
            ["fail"],
            ["fail"],
            ["tmperror"],
        ]


@story()
async def dkim_too_much(lab: Lab) -> None:
    """With twenty signatures, or a line of 16 KiB, nothing is verified, and the log says so."""
    plain = message("x", "hello\n", EVE)
    field = signed(plain, rsa_key()).removesuffix(plain)
    count = "${reduce{$dkim_verify_status}{0}{${eval:$value+1}}}"
    acl = f"check_dkim:\n  accept\ncheck_data:\n  accept add_header = X-Results: {count}\n"
    async with lab.world(verifier(acl=acl), zone=zone()) as world:
        await all_of(lab, world, [field * 19 + plain, field * 20 + plain])
        assert [letter.first("X-Results") for letter in world.mine.mailbox("ann")] == ["38", "0"]


DECIDING = """\
check_dkim:
  accept  dkim_signers   = trusted.test : @trusted.test
          logwrite       = trusted: $dkim_cur_signer is $dkim_verify_status
  warn    condition      = ${if eq{$h_subject:}{override}}
          set dkim_verify_status = fail
          set dkim_verify_reason = because of the subject
  warn    condition      = ${if eq{$h_subject:}{confirm}}
          set dkim_verify_status = pass
  discard condition      = ${if eq{$h_subject:}{discard}}
  defer   condition      = ${if eq{$h_subject:}{defer}}
          message        = not now
  drop    condition      = ${if eq{$h_subject:}{drop}}
          message        = never
  deny    dkim_status    = none : invalid
          !dkim_signers  = @stranger.test
          message        = $dkim_cur_signer: $dkim_verify_status ($dkim_verify_reason)
  deny    dkim_status    = FAIL
          message        = 550 5.7.20 $dkim_cur_signer $dkim_verify_reason
  warn    add_header     = X-Good: $dkim_cur_signer
  accept
check_data:
  accept  add_header     = ${authresults {$primary_hostname}}
          logwrite       = $dkim_verify_status by $dkim_signers
"""


@story()
async def dkim_acl_decides(lab: Lab) -> None:
    """Deny, defer, drop, discard, accept; what an ACL puts in the place of a result."""
    plain = message("x", "hello\n", EVE)
    subjects = "x override confirm discard defer drop".split()
    good = [signed(message(subject, "hello\n", EVE), rsa_key()) for subject in subjects]
    async with lab.world(verifier(acl=DECIDING), zone=zone()) as world:
        verdicts = await all_of(
            lab,
            world,
            [
                plain,
                *good,
                good[0] + b"more\r\n",
                signed(plain, rsa_key(), selector="nobody"),
                signed(plain, rsa_key(), selector="one", domain="trusted.test"),
            ],
        )
        codes = [verdict[:3] for verdict in verdicts]
        assert codes == "250 250 550 250 250 451 550 550 550 250".split()
        assert verdicts[7] == "550 5.7.20 stranger.test bodyhash_mismatch"
        assert verdicts[8] == "550 stranger.test: invalid (pubkey_unavailable)"


@story()
async def dkim_log_of_signatures(lab: Lab) -> None:
    """Without an ACL the log alone is told, as far as log_selector wants it."""
    both = signed(signed(message("x", "hello\n", EVE), edwards_key(), selector="two"), rsa_key())
    async with lab.world(verifier("log_selector = -dkim\n", ""), zone=zone()) as world:
        await all_of(lab, world, [both, signed(both, rsa_key(), selector="nobody")])


WANTED = """\
check_dkim:
  deny    dkim_status    = none
          message        = no signature of $dkim_cur_signer
  accept  logwrite       = $dkim_cur_signer: $dkim_selector $dkim_verify_status
"""


@story()
async def dkim_signers_wanted(lab: Lab) -> None:
    """dkim_verify_signers names who must have signed, whether he has or not; once each."""
    main = (
        "log_selector = +dkim_verbose\nacl_smtp_dkim = check_dkim\n"
        "dkim_verify_signers = $sender_address_domain : me@stranger.test : $sender_address_domain : $dkim_signers\n"
    )
    plain = message("x", "hello\n", EVE)
    async with lab.world(verifier(main, WANTED), zone=zone()) as world:
        verdicts = await all_of(
            lab,
            world,
            [plain, signed(plain, rsa_key()), signed(plain, rsa_key(), identity="me@stranger.test")],
        )
        assert verdicts[0] == "550 no signature of stranger.test"
        assert verdicts[1] == "550 no signature of me@stranger.test"
        assert verdicts[2].startswith("250 ")


@story()
async def dkim_rules(lab: Lab) -> None:
    """Which hashes and keys count, in which order; how long a key must be; when to stop."""
    plain = message("x", "hello\n", EVE)
    middle = signed(plain, rsa_key("mid", 1024), selector="mid")
    both = signed(signed(plain, edwards_key(), selector="two"), rsa_key())
    mains = [
        "dkim_verify_keytypes = rsa : ed25519\ndkim_verify_min_keysizes = rsa=2048 ed25519=250\n",
        "dkim_verify_keytypes = rsa\ndkim_verify_hashes = sha512 : sha256 : sha1\ndkim_verify_minimal\n",
        "dkim_verify_minimal\ndkim_verify_hashes = sha512\n",
        "dkim_verify_minimal = true\n",
    ]
    sha1 = signed(plain, rsa_key(), algorithm=b"rsa-sha1")
    unknown = signed(both, rsa_key(), selector="nobody")
    async with lab.world(verifier(), zone=zone()) as world:
        for main in mains:
            world.mine.path("/etc/exim.conf").write_text(verifier(VERIFYING + main).configuration)
            await world.mine.reload()
            for content in (both, middle, sha1):
                await lab.call(world.mine, *hands_in(content))
                await world.settle()
        world.mine.path("/etc/exim.conf").write_text(
            verifier("log_selector = +dkim_verbose\n", "").configuration
        )
        await world.mine.reload()
        await all_of(lab, world, [both, unknown])
        assert [len(found) for found in results(world.mine)[:12]] == [2, 1, 0, 1, 1, 1, 0, 0, 0, 2, 1, 0]


@story()
async def dkim_not_verified(lab: Lab) -> None:
    """control = dkim_disable_verify: nobody looks, and the next message is looked at again."""
    acl = CHECK_RCPT.replace(
        "check_rcpt:\n",
        "check_rcpt:\n  warn control = ${if eq{$local_part}{dora}{dkim_disable_verify}fail}\n",
    )
    configuration = exim_conf(MINE, VERIFYING, acl=acl + TELLING)
    content = signed(message("x", "hello\n", EVE), rsa_key())
    async with lab.world(host(MINE, configuration, "ann", "dora"), zone=zone()) as world:
        to_dora = (
            "RCPT TO:<dora@st11.sne21.test>",
            "DATA",
            content,
        )  # two at once for one mailbox: any order
        greeting, sender, *to_ann = hands_in(content)
        await lab.call(world.mine, greeting, sender, *to_dora, sender, *to_ann)
        await world.settle()
        lab.note("log", *log_of(world.mine))
        assert results(world.mine, "dora") == [[]]
        assert results(world.mine) == [["pass"]]


@story()
async def authentication_results(lab: Lab) -> None:
    """${authresults}: the client's name, a password, signatures; where nothing is known it says nothing."""
    main = (
        "host_lookup = !203.0.113.2 : *\n"
        "acl_smtp_data = check_data\nauth_advertise_hosts = *\nlog_selector = +dkim_verbose\n"
    )
    acl = CHECK_RCPT + "check_data:\n  accept add_header = :at_start:${authresults {me.test}}\n"
    password = (
        "begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n"
    )
    condition = "  server_condition = yes\n"
    other = password.partition("\n")[2].replace("plain:", "login:").replace("PLAIN", "LOGIN") + condition
    condition += "  server_set_id = $auth2\n"
    configuration = exim_conf(MINE, main, acl=acl) + "\n" + password + condition + other
    reverse = "$TTL 60\n@ IN SOA ns.test. h.test. ( 1 2 3 4 5 )\n@ IN NS ns.test.\n"
    reverse += "66 IN PTR stranger.test.\n11 IN PTR x.test.\n"
    content = signed(message("x", "hello\n", EVE), rsa_key())
    zones = [("100.51.198.in-addr.arpa.", reverse)]
    async with lab.world(host(MINE, configuration, "ann"), zone=zone(), zones=zones) as world:
        greeting, sender, *rest = hands_in(content)
        for source in (STRANGER, LAPTOP, PARTNERS_LAPTOP):
            await lab.call(world.mine, greeting, sender, *rest, source=source)
            await world.settle()  # of two at once a real Exim delivers any one first
        for login in ("PLAIN AGFubgB4", "LOGIN AGFubgB4"):
            await lab.call(world.mine, greeting, f"AUTH {login}", f"{sender} AUTH=ann@x.test", *rest)
            await world.settle()
        first, second, third, *others = (
            letter.first("Authentication-Results") or "" for letter in world.mine.mailbox("ann")
        )
        assert first.startswith(
            "me.test;\tiprev=pass (stranger.test) smtp.remote-ip=198.51.100.66;\tdkim=pass "
        )
        assert "iprev=fail smtp.remote-ip=198.51.100.11" in second
        assert "iprev=fail" in third
        assert "auth=pass (PLAIN) smtp.auth=ann smtp.mailfrom=ann@x.test" in others[0]
        assert "auth=pass (LOGIN, no id saved) smtp.mailfrom=ann@x.test" in others[1]


# --- sending --------------------------------------------------------------------------------------

KEYS = {f"{MINE}/etc/dkim/rsa.key": pem(rsa_key()), f"{MINE}/etc/dkim/ed.key": pem(edwards_key())}
SIGNING = """\
by_smtp:
  driver = smtp
  dkim_domain      = st11.sne21.test
  dkim_selector    = rsa
  dkim_private_key = /etc/dkim/$dkim_selector.key
"""


def signer(*options: str, usual: str = SIGNING) -> HostPlan:
    """A host that signs. An option of the same name replaces the usual one."""
    lines = usual.splitlines()
    for option in options:
        name = option.partition("=")[0].strip()
        lines = [line for line in lines if line.split()[0] != name] + [f"  {option}"]
    transports = "\n".join(lines) + "\n" + INTO_MAILBOX
    return host(MINE, exim_conf(MINE, "log_selector = +dkim_verbose\n", transports=transports), "ann")


def partner() -> HostPlan:
    return host(PARTNER, exim_conf(PARTNER, VERIFYING, acl=CHECK_RCPT + TELLING), "bob")


def signatures(of: Host) -> list[str]:
    """The DKIM-Signature fields in Bob's mailbox, octet for octet."""
    return [field.raw.decode() for letter in of.mailbox("bob") for field in letter.all("DKIM-Signature")]


@story()
async def dkim_signed_and_verified(lab: Lab) -> None:
    """What Ann's host signs Bob's host verifies, with both kinds of keys; octet for octet the same signature."""
    async with lab.world(signer("dkim_selector = rsa : ed"), partner(), zone=zone(), files=KEYS) as world:
        await lab.submit(world.mine, BOB, message("x", "hello  world \n..dot\n\n\n"))
        lab.note("the signatures", *signatures(world.partner))
        lab.note("the log of Bob's host", *log_of(world.partner))
        assert results(world.partner, "bob") == [["pass", "pass"]]


@story()
async def dkim_answered(lab: Lab) -> None:
    """Both sign, each verifies the other; of what a third one breaks on the way the header still tells."""
    back = exim_conf(
        PARTNER,
        VERIFYING,
        acl=CHECK_RCPT + TELLING,
        transports=SIGNING.replace("st11", "st2") + INTO_MAILBOX,
    )
    mine = exim_conf(MINE, VERIFYING, acl=CHECK_RCPT + TELLING, transports=SIGNING + INTO_MAILBOX)
    files = {**KEYS, f"{PARTNER}/etc/dkim/rsa.key": pem(rsa_key())}
    async with lab.world(
        host(MINE, mine, "ann"), host(PARTNER, back, "bob"), zone=zone(), files=files
    ) as world:
        await lab.submit(world.mine, BOB, message("there"))
        await lab.submit(world.partner, ANN, message("back", sender=BOB), sender=BOB, source=PARTNERS_LAPTOP)
        (there,), (answer,) = world.partner.mailbox("bob"), world.mine.mailbox("ann")
        assert results(world.partner, "bob") == results(world.mine) == [["pass"]]
        assert there.first("DKIM-Signature") != answer.first("DKIM-Signature")
        field = next(answer.all("DKIM-Signature")).raw
        commands = hands_in(field + message("back", "other words\n", BOB), sender=BOB)
        await lab.call(world.mine, *commands)
        await world.settle()
        assert results(world.mine)[1] == ["fail"]
        for each in (world.mine, world.partner):
            lab.note(f"the log of {each.name}", *log_of(each))


@story(is_long=True)
async def dkim_signing_options(lab: Lab) -> None:
    """Each option, by the subject of the message: the same octets from both engines."""
    by_subject = "${{lookup{{$h_subject:}}lsearch{{/etc/{0}}}{{$value}}{{{1}}}}}"
    table = {
        "canon": ("relaxed", {"simple": "simple", "odd": "relaxed/simple", "empty": ""}),
        "hash": ("sha256", {"sha512": "sha512", "sha1": "sha1", "md5": "md5"}),
        "identity": ("", {"identity": "me@st11.sne21.test", "long": f"me@{'x' * 70}.test"}),
        "sign_headers": (
            "From:To:Subject:Date:Message-ID",
            {
                "over": "+From : +To:+Cc:Subject",
                "present": "=From:=Cc:To : x-odd",
                "twice": "From:Subject:From:X-Odd:X-Odd:X-Odd",
                "long": ":".join(f"X-Field-Number-{number}" for number in range(40)) + ":From",
            },
        ),
        "timestamps": ("", {"expires": "3600", "junk": "x"}),
        "private_key": (
            "/etc/dkim/$dkim_selector.key",
            {"unsigned": "0", "false": "false", "nothing": ""},
        ),
        "domain": (
            "st11.sne21.test",
            {"several": "ST11.sne21.test:other.test:st11.sne21.test", "none": "", "fails": "<fail>"},
        ),
        "selector": ("rsa", {"several": "rsa:ed", "ed": "ed", "comma": "<, rsa, ed"}),
    }
    files = dict(KEYS)
    options = []
    for name, (usual, rows) in table.items():
        files[f"{MINE}/etc/{name}"] = "".join(f"{key}: {value}\n" for key, value in rows.items())
        value = by_subject.format(name, usual)
        if name == "domain":
            value = "${if eq{$h_subject:}{fails}{${if eq{a}{b}{x}fail}}{" + value + "}}"
        if name == "private_key":
            value = f"${{if eq{{$h_subject:}}{{inline}}{{${{readfile{{/etc/dkim/rsa.key}}}}}}{{{value}}}}}"
        options.append(f"dkim_{name} = {value}")
    subjects = list(dict.fromkeys(["inline", *(key for _, rows in table.values() for key in rows)]))
    async with lab.world(signer(*options), partner(), zone=zone(), files=files) as world:
        for subject in subjects:
            content = message(subject, f"{subject} \t x\n\n") if subject != "none" else message(subject, "")
            odd = b"X-Odd: one\r\n  two\t three \r\nX-Odd: \r\nx-odd : four\r\n"
            await lab.submit(world.mine, BOB, odd + content)
        lab.note("the signatures", *signatures(world.partner))
        lab.note("the log of Ann's host", *log_of(world.mine))
        lab.note("the log of Bob's host", *log_of(world.partner))
        assert len(world.partner.mailbox("bob")) == len(subjects)
        assert len(signatures(world.partner)) >= 20


@story()
async def dkim_key_trouble(lab: Lab) -> None:
    """A key that is not there or is none: the message goes unsigned; with dkim_strict it waits until there is one."""
    file = "${if match{$h_subject:}{half}{half}{${if match{$h_subject:}{junk}{junk}{no}}}}"
    options = (
        f"dkim_private_key = /etc/dkim/{file}.key",
        "dkim_strict = ${if match{$h_x-strict:}{.}{true}{no}}",
    )
    files = {**KEYS, f"{MINE}/etc/dkim/junk.key": "junk\n", f"{MINE}/etc/dkim/half.key": pem(rsa_key())[:500]}
    async with lab.world(signer(*options), partner(), zone=zone(), files=files) as world:
        for subject in ("nobody", "junk", "half"):
            await lab.submit(world.mine, BOB, message(subject))
        assert signatures(world.partner) == []
        assert len(world.partner.mailbox("bob")) == 3
        await lab.submit(world.mine, BOB, b"X-Strict: yes\r\n" + message("junk"))
        assert len(world.partner.mailbox("bob")) == 3
        lab.listing(world.mine)
        world.mine.path("/etc/dkim/junk.key").write_text(pem(rsa_key()))
        await world.advance(hours=1)
        assert results(world.partner, "bob")[3:] == [["pass"]]
        lab.note("the log of Ann's host", *log_of(world.mine))
