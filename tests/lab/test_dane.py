"""DANE in the lab: signed zones, TLSA records, what each attack gets, and every option, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import World
from labkit.lab.authority import Authority
from labkit.lab.dane_trials import CASES, DOMAIN, HOST, RECORD, DaneCase, play_dane, publish
from labkit.lab.scenario_file import read_scenario
from labkit.lab.tlsa import publish_tlsa, tlsa_line
from labkit.mail.event import EventKind
from labkit.mail.questions import AddressesOf, DnsOutcome, TlsaOf
from labkit.net.dns_zones import ZoneError
from labkit.net.tls_contexts import server_context

Run = Callable[[Coroutine[Any, Any, Any]], Any]
WAYS = pytest.mark.parametrize(
    "network, engine",
    [("memory", "labkit"), pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))],
)
WAITED = "it waited, then went to Carol"
NO_TLS = "a TLS session is required, but the server did not offer TLS support"
FRAME = "TLS session: (certificate verification failed): "
DIFFERS = f"{FRAME}Verification failed. The certificate differs. "
LOOK_UP = "DANE error: tlsa lookup DEFER"
OUTCOMES = {
    "no record, stripped": ("stolen, in clear", ""),
    "signed, no attacker": ("to Carol, encrypted, checked", ""),
    "signed, stripped": (WAITED, NO_TLS),
    "signed, own certificate": (WAITED, DIFFERS),
    "authority named, own certificate": (WAITED, f"{FRAME}TLSA record problem: none usable"),
    "authority named": ("to Carol, encrypted, checked", ""),
    "not signed, stripped": ("stolen, in clear", ""),
    "not signed, forged TLSA": ("stolen, encrypted", ""),
    "not signed, forged MX": ("stolen, encrypted", ""),
    "signed, forged MX": (WAITED, "host lookup did not complete"),
    "signed, forged address": (WAITED, "host lookup did not complete"),
    "signed, forged TLSA": (WAITED, LOOK_UP),
    "signed, hidden TLSA": (WAITED, LOOK_UP),
    "look-up fails": (WAITED, LOOK_UP),
    "behind an alias": ("to Carol, encrypted, checked", ""),
    "expired": ("to Carol, encrypted, checked", ""),
    "authority named, expired": (
        "it still waits",
        f"{FRAME}Verification failed. CA constrains were violated. ",
    ),
    "useless record, stripped": (WAITED, NO_TLS),
    "useless record, own certificate": ("stolen, encrypted", ""),
    "old record": ("it still waits", DIFFERS),
}


def test_no_case_is_left_out() -> None:
    assert list(OUTCOMES) == list(CASES)


@WAYS
@pytest.mark.parametrize("name", OUTCOMES)
def test_case(run: Run, network: str, engine: str, name: str) -> None:
    found = run(play_dane(name, network=network, engine=engine))
    outcome, words = OUTCOMES[name]
    assert (found.outcome, found.why_waited) == (outcome, words), str(found)
    letter = found.letter
    assert letter.with_mallory + letter.with_carol == (outcome != "it still waits"), (
        "neither lost nor doubled"
    )
    assert letter.engine == engine
    assert ("CV=dane" in letter.log) is found.is_checked
    tried = f"DANE attempt failed; TLS connection to {HOST} [203.0.113.200]: "
    assert (tried in letter.log) is words.startswith(FRAME)
    assert name in str(found)


# --- the options -----------------------------------------------------------------------------------

REQUIRE, SMTP = "hosts_require_dane = *", f"H={HOST} DS [203.0.113.200]"
OPTIONS = [  # case of a record, router, transport, what the log says, because
    ("3 1 1", "", REQUIRE, f"=> carol@bigmail.test R=others T=by_smtp {SMTP} ", "the record is there"),
    ("", "", REQUIRE, "** carol@bigmail.test R=others T=by_smtp: DANE error: tlsa lookup FAIL", "it fails at once"),
    ("insecure", "", REQUIRE, "** carol@bigmail.test R=others T=by_smtp: DANE error: tlsa lookup FAIL", "not signed"),
    ("fails", "", REQUIRE, f"== carol@bigmail.test R=others T=by_smtp defer (-36): {LOOK_UP}", "nobody knows"),
    ("fails", "", "hosts_try_dane =", f"{SMTP} X=", "nobody asked"),
    ("old", "", "hosts_try_dane = ! 203.0.113.200 : *", " CV=no ", "not this host"),
    ("old", "", "hosts_try_dane = other.test\n  hosts_require_dane = mx.bigmail.test", "defer (-37) H=",
     "either will do"),
    ("insecure", "", "", f"DANE error: TLSA lookup for {HOST} not DNSSEC", "it is told, and passed over"),
    ("unsigned", "", REQUIRE, f"T=by_smtp: DANE error: {HOST} lookup not DNSSEC", "not even the host is signed"),
    ("unsigned", "dnssec_require_domains = bigmail.test", "",
     "R=others defer (-1): host lookup done insecurely", "not signed"),
    ("3 1 1", "dnssec_require_domains = *", "", f"{SMTP} X=", "signed"),
    ("old", "dnssec_request_domains = ! bigmail.test : *", "", f"H={HOST} [203.0.113.200] X=", "it does not matter"),
    ("3 1 1", "", f"hosts = {HOST}\n  hosts_override\n  {REQUIRE}", f"{SMTP} X=", "a transport's own host"),
    ("old", "", f"hosts = {HOST}\n  hosts_override\n  dnssec_request_domains =",
     f"H={HOST} [203.0.113.200] X=", "it does not matter"),
    ("old", "", "hosts = 203.0.113.200\n  hosts_override", "H=203.0.113.200 [203.0.113.200] X=", "it has no name"),
    ("unsigned", "", f"hosts = {HOST}\n  hosts_override\n  dnssec_require_domains = *",
     f"defer (-32): lookup of IP address for {HOST} was insecure", "a transport's own host"),
    ("1 1 1", "", "tls_verify_hosts = *\n  tls_verify_certificates = /etc/ssl/lab-authority.pem", " CV=yes ",
     "checked in another way"),
    ("3 1 1", "", "hosts_avoid_tls = *", "a TLS session is required, but an attempt to start TLS failed", "by us"),
    ("3 1 1", "", "hosts_avoid_esmtp = *", NO_TLS, "nobody asked for an offer"),
    ("3 1 1", "", f"port = 587\n  {REQUIRE}", "DANE error: tlsa lookup FAIL", "none for this port"),
    ("3 1 1", f"route_list = * {HOST}", "", f"{SMTP} X=", "a host that the file names"),
    ("old", f"route_list = * {HOST} byname", "", f"H={HOST} [203.0.113.200] X=", "who asks so is not told"),
    ("old", "", f"hosts = {HOST}\n  hosts_override\n  gethostbyname", f"H={HOST} [203.0.113.200] X=", "as above"),
    ("unsigned", f"dnssec_require_domains = *\n  route_list = * {HOST} byname", "", " CV=no ", "nor asked for it"),
    ("old", "route_list = * bigmail.test/mx", "", "defer (-37) H=", "by its MX record"),
    ("wrong name 2", "", "", f"{FRAME}certificate invalid", "with DANE-TA names count"),
    ("wrong name 3", "", "", " CV=dane ", "with DANE-EE they do not"),
]  # fmt: skip


def configured(router: str, transport: str) -> Any:
    """The scenario, with lines added to the first host's exim.conf."""
    scenario = read_scenario("dane")
    first = scenario.hosts[0]
    driver = "manualroute" if "route_list" in router else "dnslookup"
    text = first.configuration.replace("dnslookup\n", f"{driver}\n  {router}\n", 1)
    text = text.replace("  driver = smtp\n", f"  driver = smtp\n  {transport}\n")
    text = text.replace("\nacl_smtp_rcpt", "\nlog_selector = +dnssec\nacl_smtp_rcpt", 1)
    return replace(scenario, hosts=(replace(first, configuration=text), *scenario.hosts[1:]))


def prepare(world: World, record: str) -> None:
    kind, _, usage = record.rpartition(" ") if record.startswith("wrong") else ("good", "", "")
    if usage:
        world.provider.show_certificate(kind)
        pem = world.authority.certificate_for(HOST, kind).read_text()
        publish_tlsa(world, HOST, int(usage), pem=pem)
    elif record == "insecure":
        world.write_zone(DOMAIN, world.zone(DOMAIN) + f"{RECORD}. IN CNAME key.mallory.test.\n")
        digest = "ab" * 32
        world.write_zone("mallory.test", world.zone("mallory.test") + f"key IN TLSA 3 1 1 {digest}\n")
    elif record == "fails":
        publish_tlsa(world, HOST)
        world.nameserver.servfail(RECORD)
    else:
        publish(world, DaneCase("", "", "3 1 1" if record == "unsigned" else record))
        world.sign_zone(DOMAIN, on=record != "unsigned")


@WAYS
@pytest.mark.parametrize("record, router, transport, said, because", OPTIONS)
def test_options(
    run: Run, network: str, engine: str, record: str, router: str, transport: str, said: str, because: str
) -> None:
    async def story() -> None:
        scenario = configured(router, transport)
        async with World(scenario, network=network, engine=engine, alongside=True) as world:
            prepare(world, record)
            await world.mine.send("ann@st11.sne21.test", "carol@bigmail.test", "Subject: x\n\nx\n")
            await world.settle()
            log = world.mine.log()
            assert said in log, f"{because}\n{log}"
            (event,) = (
                event
                for kind in (EventKind.DELIVERED, EventKind.DEFERRED, EventKind.FAILED)
                for event in world.journal.where(kind, host=world.mine.name)
                if event.recipient == "carol@bigmail.test"
            )
            assert event.is_dane is (True if "CV=dane" in log else None)
            assert event.is_secure is (True if f"H={HOST} DS [" in log else None)

    run(story())


@WAYS
@pytest.mark.parametrize(
    "record, transport, shown",
    [
        ("3 1 1", "", "yes 8"),
        ("2 1 1", "", "yes 4"),
        ("1 1 1", "", "no 0"),
        ("", "", "no 0"),
        ("3 1 1", "hosts_try_dane =", "no 0"),
    ],
)
def test_variables(run: Run, network: str, engine: str, record: str, transport: str, shown: str) -> None:
    """What a transport may write into the letter: $tls_out_dane and $tls_out_tlsa_usage (a bit for each usage)."""

    async def story() -> None:
        adds = "headers_add = X-Dane: $tls_out_dane $tls_out_tlsa_usage"
        scenario = configured("", f"{adds}\n  {transport}")
        async with World(scenario, network=network, engine=engine, alongside=True) as world:
            prepare(world, record)
            await world.mine.send("ann@st11.sne21.test", "carol@bigmail.test", "Subject: x\n\nx\n")
            await world.settle()
            (arrived,) = (*world.provider.inbox("carol"), *world.provider.spam("carol"))
            assert (arrived.first("X-Dane") or "").strip() == shown

    run(story())


@WAYS
@pytest.mark.parametrize(
    "lines, port, at, said",
    [
        ("port = 587", 587, 587, " CV=dane "),
        ("port = 587", 587, 25, " CV=no "),
        ("protocol = smtps", 465, 465, " CV=dane "),
        ("protocol = smtps", 465, 25, " CV=no "),
    ],
)
def test_each_port_has_records_of_its_own(
    run: Run, network: str, engine: str, lines: str, port: int, at: int, said: str
) -> None:
    async def story() -> None:
        scenario = configured("", f"hosts = mx.mallory.test\n  hosts_override\n  {lines}")
        async with World(scenario, network=network, engine=engine, alongside=True) as world:
            mallory = world.impostor
            path = world.authority.certificate_for(mallory.poses_as, mallory.certificate)
            line = tlsa_line("mx.mallory.test", path.read_text(), port=at)
            world.write_zone("mallory.test", f"{world.zone('mallory.test')}\n{line}\n")
            world.sign_zone("mallory.test")
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            assert said in world.mine.log(), world.mine.log()
            assert len(mallory.letters) == 1

    run(story())


@WAYS
@pytest.mark.parametrize(
    "at, target, said, because",
    [
        ("mx", "mx", f"{SMTP} X=", "the canonical name is the host's"),
        ("alias", "mx", " CV=no ", "nobody looks there"),
        ("mx", "mx.mallory.test.", "H=mx.mallory.test [203.0.113.66] X=", "out of the signed zone"),
    ],
)
def test_a_host_that_is_an_alias(
    run: Run, network: str, engine: str, at: str, target: str, said: str, because: str
) -> None:
    async def story() -> None:
        async with World(configured("", ""), network=network, engine=engine, alongside=True) as world:
            pem = world.authority.certificate_for(HOST).read_text()
            zone = world.zone(DOMAIN).replace("IN MX  10 mx\n", "IN MX  10 alias\n")
            line = tlsa_line(f"{at}.{DOMAIN}", pem)
            world.write_zone(DOMAIN, f"{zone}alias IN CNAME {target}\n{line}\n")
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            log = world.mine.log()
            assert said in log, f"{because}\n{log}"
            assert (" CV=dane " in log) is (at == target)

    run(story())


@WAYS
@pytest.mark.parametrize("others, said", [(99, " CV=dane "), (100, DIFFERS)])
def test_many_records(run: Run, network: str, engine: str, others: int, said: str) -> None:
    """The hundredth record still counts, and the one after it no more: so it is in the library that Exim uses."""

    async def story() -> None:
        async with World.open("dane", network=network, engine=engine, alongside=True) as world:
            old = "".join(f"{RECORD}. IN TLSA 3 1 1 {number:064x}\n" for number in range(others))
            world.write_zone(DOMAIN, world.zone(DOMAIN) + old)
            publish_tlsa(world, HOST)
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            assert said in world.mine.log(), world.mine.log()

    run(story())


# --- the lab's part --------------------------------------------------------------------------------


@WAYS
def test_who_stands_at_the_address(run: Run, network: str, engine: str) -> None:
    """hijack: the DNS tells the truth, and somebody else answers."""

    async def story() -> None:
        async with World.open("dane", network=network, engine=engine, alongside=True) as world:
            mallory, carol = world.impostor, world.host("mx.bigmail.test")
            await mallory.hijack(offers_tls=False)
            await mallory.hijack(offers_tls=True)
            assert not carol.is_running
            await world.laptop.send("carol@bigmail.test", "one", "x")
            await world.settle()
            assert len(mallory.letters) == 1 and not world.provider.inbox("carol")
            await mallory.give_back()
            await mallory.give_back()
            assert carol.is_running
            await world.laptop.send("carol@bigmail.test", "two", "x")
            await world.settle()
            assert len(mallory.letters) == 1
            assert len(world.provider.inbox("carol")) + len(world.provider.spam("carol")) == 1
            await mallory.hijack()
        assert not carol.is_running, "a world that ends leaves nobody behind"

    run(story())


def test_records_in_a_zone(run: Run) -> None:
    async def story() -> None:
        async with World.open("dane", network="memory", alongside=True) as world:
            first = publish_tlsa(world, HOST)
            second = publish_tlsa(world, HOST, 2)
            assert first.startswith(f"{RECORD}. IN TLSA 3 1 1 ") and second.startswith(
                f"{RECORD}. IN TLSA 2 1 1 "
            )
            found = await world.ask(TlsaOf(RECORD))
            assert found.is_secure and [record[:6] for record in found.records] == ["3 1 1 ", "2 1 1 "]
            world.forge_zone(DOMAIN, world.zone(DOMAIN).replace("203.0.113.200", "203.0.113.66"))
            assert "203.0.113.200" in world.zone(DOMAIN), "what its owner wrote"
            assert (await world.ask(AddressesOf(HOST))).outcome is DnsOutcome.SERVFAIL
            world.sign_zone(DOMAIN, on=False)
            assert (await world.ask(AddressesOf(HOST))).records == ("203.0.113.66",)
            world.forge_zone(DOMAIN, None)
            assert (await world.ask(AddressesOf(HOST))).records == ("203.0.113.200",)
            world.impostor.forge()
            world.forge_zone("mallory.test", lambda text: text.replace("203.0.113.66", "203.0.113.67"))
            world.write_zone(DOMAIN, world.zone(DOMAIN) + "new IN A 203.0.113.9\n")
            assert (await world.ask(AddressesOf(HOST))).records == ("203.0.113.66",), "he goes on lying"
            assert (await world.ask(AddressesOf("new.bigmail.test"))).records == ("203.0.113.9",)
            with pytest.raises(ZoneError):
                world.forge_zone(DOMAIN, "nonsense")
            assert (await world.ask(AddressesOf(HOST))).records == ("203.0.113.200",), (
                "there is no lie any more"
            )
            world.impostor.relent()
            for refused in (lambda: world.sign_zone("c.test"), lambda: world.forge_zone("c.test", None)):
                with pytest.raises(KeyError, match="no zone"):
                    refused()

    run(story())


def test_what_makes_no_record(tmp_path: Path) -> None:
    pem = Authority(tmp_path / "authority").certificate_for(HOST).read_text()
    assert tlsa_line(HOST, pem, port=587).startswith(f"_587._tcp.{HOST}. IN TLSA 3 1 1 ")
    with pytest.raises(ValueError, match="BEGIN CERTIFICATE"):
        tlsa_line(HOST, "")
    with pytest.raises(ValueError, match="not for SMTP"):
        tlsa_line(HOST, pem, 1)
    with pytest.raises(KeyError, match="no case"):
        play_dane("nothing like it").send(None)


# --- where the engines differ: docs/differences.md ------------------------------------------------


def appended(folder: Path, world: World) -> Path:
    """Mallory's certificate for Carol's host, by an authority of his own, and the true authority's behind them."""
    mallory = Authority(folder)
    shown = mallory.certificate_for(HOST).read_bytes()
    path = folder / "appended.pem"
    begin = shown.index(b"-----BEGIN PRIVATE KEY")
    path.write_bytes(shown[:begin] + world.authority.prepare().read_bytes() + shown[begin:])
    return path


@WAYS
def test_an_authority_that_only_stands_there(run: Run, network: str, engine: str, tmp_path: Path) -> None:
    """`dane-authority`: 2 1 1 names an authority that is in the chain and has signed nothing in it."""

    async def story() -> None:
        async with World.open("dane", network=network, engine=engine, alongside=True) as world:
            publish_tlsa(world, HOST, 2)
            path = appended(tmp_path, world)
            world.impostor.context = lambda: server_context(path)
            await world.impostor.hijack()
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            assert len(world.impostor.letters) == (engine == "exim")
            said = (
                " CV=dane "
                if engine == "exim"
                else f"{FRAME}Verification failed. CA constrains were violated. "
            )
            assert said in world.mine.log()

    run(story())


@WAYS
def test_an_authority_that_is_believed_anyway(run: Run, network: str, engine: str) -> None:
    """`dane-name`: 2 1 1, the certificate is for another name, and tls_verify_certificates has the authority."""

    async def story() -> None:
        scenario = configured("", "tls_verify_certificates = /etc/ssl/lab-authority.pem")
        async with World(scenario, network=network, engine=engine, alongside=True) as world:
            prepare(world, "wrong name 2")
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            said = " CV=yes " if engine == "exim" else f"{FRAME}certificate invalid"
            assert said in world.mine.log()

    run(story())


@WAYS
def test_two_domains_at_one_host(run: Run, network: str, engine: str) -> None:
    """`dane-domains`: each gets a conversation of its own, or they share one."""

    async def story() -> None:
        async with World.open("dane", network=network, engine=engine, alongside=True) as world:
            world.write_zone(DOMAIN, world.zone(DOMAIN) + "sub IN MX 10 mx\n")
            to = ("carol@bigmail.test", "carol@sub.bigmail.test")
            for record, conversations in (("", 1), ("3 1 1", 2 if engine == "exim" else 1)):
                publish(world, DaneCase("", "", record))
                before = len(world.provider.host.conversations())
                await world.laptop.send(to, "our prices", "x")
                await world.settle()
                assert len(world.provider.host.conversations()) - before == conversations, record

    run(story())


@WAYS
@pytest.mark.parametrize("record", ["3 1 1", "old"])
def test_one_of_two_hosts_has_no_record(run: Run, network: str, engine: str, record: str) -> None:
    """`dane-required`: the recipient fails; Exim still calls the other host, and dies if its certificate is wrong."""

    async def story() -> None:
        scenario = configured("", REQUIRE)
        async with World(scenario, network=network, engine=engine, alongside=True) as world:
            both = "IN MX  5 mx.mallory.test.\n    IN MX  10 mx\n"
            world.write_zone(DOMAIN, world.zone(DOMAIN).replace("IN MX  10 mx\n", both))
            publish(world, DaneCase("", "", record))
            await world.laptop.send("carol@bigmail.test", "our prices", "x")
            await world.settle()
            log = world.mine.log()
            dies = engine == "exim" and record == "old"
            failed = "** carol@bigmail.test R=others T=by_smtp: DANE error: mx.mallory.test lookup not DNSSEC"
            assert (failed in log) is not dies
            assert ("terminated by signal 11" in log and " Frozen" in log) is dies
            assert len(world.provider.host.conversations()) == (engine == "exim")
            assert not world.impostor.letters and not world.provider.inbox("carol")

    run(story())
