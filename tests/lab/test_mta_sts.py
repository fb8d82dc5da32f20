"""MTA-STS in the lab: a policy host, the agent, an exim.conf that obeys; what each attack gets, on both engines."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labkit import World
from labkit.lab.authority import ON_HOSTS
from labkit.lab.data import data_path
from labkit.lab.mta_sts_trials import CASES, DOMAIN, play
from labkit.lab.policy_agent import PolicyAgent, fetch_policy
from labkit.lab.policy_host import FAULTS
from labkit.lab.scenario_file import scenario_of
from labkit.lab.yaml_nodes import FileErrors
from labkit.mail.event import EventKind
from labkit.mail.questions import PolicyAt, TextOf

Run = Callable[[Coroutine[Any, Any, Any]], Any]
WAYS = pytest.mark.parametrize(
    "network, engine",
    [("memory", "labkit"), pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))],
)
OUTCOMES = {
    "no attacker": "to Carol, encrypted",
    "no policy, stripped": "stolen, in clear",
    "no policy, own certificate": "stolen, encrypted",
    "testing, stripped": "stolen, in clear",
    "enforce, no attacker": "to Carol, encrypted",
    "enforce, stripped": "it waited, then went to Carol",
    "enforce, own certificate": "it waited, then went to Carol",
    "enforce, forged MX": "it waited, then went to Carol",
    "no policy, forged MX": "stolen, encrypted",
    "first contact hidden": "stolen, in clear",
    "hidden later": "it waited, then went to Carol",
    "hidden for longer than max_age": "stolen, in clear",
}


def opened(network: str = "memory", engine: str = "labkit") -> World:
    return World.open("mta_sts", network=network, engine=engine, alongside=True)


def test_no_case_is_left_out() -> None:
    assert list(OUTCOMES) == list(CASES)


@WAYS
@pytest.mark.parametrize("name", OUTCOMES)
def test_case(run: Run, network: str, engine: str, name: str) -> None:
    found = run(play(name, network=network, engine=engine))
    assert found.outcome == OUTCOMES[name], str(found)
    assert found.letter.with_mallory + found.letter.with_carol == 1, "one letter: neither lost nor doubled"
    assert found.letter.engine == engine
    words = {
        "enforce, stripped": "a TLS session is required, but the server did not offer TLS support",
        "hidden later": "a TLS session is required, but the server did not offer TLS support",
        "enforce, own certificate": "certificate verification failed",
        "enforce, forged MX": "MTA-STS: the policy of bigmail.test names none of its mail exchangers",
    }
    assert words.get(name, "") in found.why_waited
    assert bool(found.why_waited) == (name in words)
    if name == "enforce, forged MX":  # a router before has found no host (docs/differences.md, `host-number`)
        assert f"R=not_named defer ({'-1' if engine == 'labkit' else '-32'}): MTA-STS" in found.letter.log
    (told,) = found.report.policies
    counted = {
        "testing, stripped": (0, "starttls-not-supported"),
        "enforce, stripped": (1, "starttls-not-supported"),
        "enforce, own certificate": (1, "validation-failure"),
        "enforce, no attacker": (1, ""),
    }
    if name in counted:
        assert (told.successful, "".join(each.kind for each in told.details)) == counted[name]


@WAYS
def test_each_exchanger_is_judged_by_its_name(run: Run, network: str, engine: str) -> None:
    """Two mail exchangers, the first of which the policy does not name: the second gets the mail."""

    async def story() -> None:
        async with opened(network, engine) as world:
            agent = PolicyAgent(world.mine)
            await world.publish_policy(DOMAIN, mx=["*.bigmail.test"])
            zone = world.zone(DOMAIN)
            world.write_zone(DOMAIN, zone + "@ IN MX 5 mx.mallory.test.\n")
            await agent.refresh(DOMAIN)
            await world.laptop.send("carol@bigmail.test", "hello", "hello")
            await world.settle()
            (sent,) = world.journal.where(EventKind.DELIVERED, host=world.mine.name)
            assert (sent.remote_host, sent.is_verified) == ("mx.bigmail.test", True)
            assert not agent.judge(DOMAIN, "mx.mallory.test").is_allowed

    run(story())


@WAYS
def test_the_agent_may_die(run: Run, network: str, engine: str) -> None:
    """What it wrote counts until max_age, and no longer: the exim.conf looks at the clock itself."""

    async def story() -> None:
        async with opened(network, engine) as world:
            await world.publish_policy(DOMAIN, max_age=3600)
            await PolicyAgent(world.mine).refresh(DOMAIN)
            world.impostor.forge(offers_tls=False)
            await world.laptop.send("carol@bigmail.test", "one", "hello")
            await world.settle()
            assert world.mine.queue and not world.impostor.letters
            await world.advance(hours=2)
            assert not world.mine.queue and len(world.impostor.letters) == 1

    run(story())


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_policy_host(run: Run, fault: str) -> None:
    async def story() -> None:
        async with opened() as world:
            agent = PolicyAgent(world.mine)
            published = await world.publish_policy(DOMAIN, fault=fault)
            assert published.url in str(published)
            found = await agent.refresh(DOMAIN)
            assert found.result == ("none" if fault else "fresh"), str(found)
            failures = {"": "", "broken": "sts-policy-invalid"}
            for kind in ("self-signed", "expired", "wrong name"):
                failures[kind] = "sts-webpki-invalid"
            assert found.failure == failures.get(fault, "sts-policy-fetch-error")
            await world.publish_policy(DOMAIN)  # it is mended
            again = await agent.refresh(DOMAIN)
            if fault and fault != "broken":
                waits = "less than five minutes" in again.reason or again.result == "fresh"
                assert waits, again.reason
                assert again.result == "fresh" or again.failure == found.failure, (
                    "what it waits for is still told"
                )
            await world.advance(minutes=6)
            assert (await agent.refresh(DOMAIN)).mode == "enforce"

    run(story())


def test_a_fetch_that_has_failed_is_not_tried_again_at_once(run: Run) -> None:
    """RFC 8461 §3.3: five minutes; what is remembered counts meanwhile. And the agent knows whom it looked at."""

    async def story() -> None:
        async with opened() as world:
            agent = PolicyAgent(world.mine)
            assert "nothing cached" in repr(agent)
            await agent.look_after()
            assert agent.found == {}, "nobody was looked at yet"
            await world.publish_policy(DOMAIN, fault="404")
            assert (await agent.refresh(DOMAIN)).remember is None
            await world.publish_policy(DOMAIN)  # mended
            for seconds, is_found in ((0, False), (299, False), (1, True)):
                await world.advance(seconds=seconds)
                found = await agent.refresh(DOMAIN.upper() + ".")
                assert (found.remember is not None) is is_found, seconds
            assert DOMAIN in repr(agent) and f"\n{DOMAIN}: mode=enforce " in agent.file_text
            await world.publish_policy(DOMAIN, mode="none")
            await agent.look_after()
            assert f"\n{DOMAIN}:" not in agent.file_text, "mode none asks for nothing"
            with pytest.raises(ValueError, match="Name a domain"):
                await agent.refresh()

    run(story())


def test_whom_the_agent_lets_the_mta_believe(run: Run) -> None:
    """The authority's certificate, unless the administrator has put one there."""

    async def story() -> None:
        async with opened() as world:
            place = world.mine.path(ON_HOSTS)
            place.unlink(missing_ok=True)
            PolicyAgent(world.mine)
            assert place.read_bytes() == world.authority.prepare().read_bytes()
            place.write_text("mine\n")
            PolicyAgent(world.mine)
            assert place.read_text() == "mine\n"

    run(story())


def test_a_policy_host_without_an_address(run: Run) -> None:
    async def story() -> None:
        async with opened() as world:
            await world.publish_policy(DOMAIN)
            zone = world.zone(DOMAIN)
            lines = [
                line
                for line in zone.splitlines()
                if not line.startswith("mta-sts ") and "mta-sts." not in line
            ]
            world.write_zone(
                DOMAIN, "\n".join(line for line in lines if not line.startswith("mta-sts\t")) + "\n"
            )
            page = await fetch_policy(world, PolicyAt(DOMAIN), world.mine)
            assert page.status == 0 and f"mta-sts.{DOMAIN} has no address" in page.problem

    run(story())


def test_another_policy_has_another_id(run: Run) -> None:
    async def story() -> None:
        async with opened() as world:
            agent = PolicyAgent(world.mine)
            await world.publish_policy(DOMAIN)
            assert (await agent.refresh(DOMAIN)).result == "fresh"
            assert (await agent.refresh(DOMAIN)).result == "cached"
            await world.publish_policy(DOMAIN, "none")
            assert (await agent.refresh(DOMAIN)).result == "fresh"
            assert "bigmail" not in agent.file_text, "mode none leaves no line"
            await world.withdraw_policy(DOMAIN)
            assert (await agent.refresh(DOMAIN)).result == "cached"
            assert "_mta-sts" not in world.zone(DOMAIN)

    run(story())


def test_by_asking(run: Run) -> None:
    async def story() -> None:
        async with opened() as world:
            await world.publish_policy(DOMAIN, "testing")
            page = await world.ask(PolicyAt(DOMAIN))
            assert page.status == 200 and b"mode: testing" in page.body
            assert (await world.ask(TextOf(f"_mta-sts.{DOMAIN}"))).records[0].startswith("v=STSv1; id=")
            with pytest.raises(ValueError, match="mode"):
                await world.publish_policy(DOMAIN, "reject")
            with pytest.raises(ValueError, match="fault"):
                await world.publish_policy(DOMAIN, fault="gone")
            with pytest.raises((KeyError, ValueError)):
                await world.publish_policy("nowhere.test")
            with pytest.raises(
                KeyError, match=f"'nowhere.test' publishes no policy; those that do: {DOMAIN}"
            ):
                await world.withdraw_policy("nowhere.test")

    run(story())


def _scenario(field: str) -> Any:
    path = data_path("scenarios", "mta_sts.yaml")
    text = path.read_text(encoding="utf-8").replace(
        "    engine: provider\n", f"    engine: provider\n    {field}\n"
    )
    return scenario_of(text, path)


def test_a_scenario_has_a_policy(run: Run) -> None:
    async def story() -> None:
        scenario = _scenario("mta_sts: {mode: enforce, mx: ['*.bigmail.test'], max_age: 86400}")
        async with World(scenario, network="memory", alongside=True) as world:
            found = await PolicyAgent(world.mine).refresh(DOMAIN)
            assert found.policy is not None
            assert (found.policy.mx, found.policy.max_age) == (("*.bigmail.test",), 86400)

    run(story())


@pytest.mark.parametrize(
    "field, words",
    [
        ("mta_sts: {mode: reject}", "none of enforce"),
        ("mta_sts: enforce", "a mapping is expected"),
        ("mta_sts: {fault: gone}", "cannot be"),
        ("mta_sts: {modes: enforce}", "there is no such field"),
        ("mta_sts: {mx: ['a b']}", "no host name"),
    ],
)
def test_mistakes_in_a_scenario(field: str, words: str) -> None:
    with pytest.raises(FileErrors, match=words):
        _scenario(field)


@pytest.mark.needs("gcc")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_fetches_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An external program, under the shim: it believes the certificate, and finds the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # `labkit run` takes the newest lab: let it be ours

    async def story() -> None:
        async with opened("loopback") as world:
            await world.publish_policy(DOMAIN)
            address, port = world.real(world.policies[DOMAIN].address, 443)
            name = f"mta-sts.{DOMAIN}"
            command = ["curl", "-sS", "--cacert", str(world.authority.prepare()), "-m", "10"]
            command += ["--connect-to", f"{name}:443:{address}:{port}", "-D", "-", PolicyAt(DOMAIN).url]
            ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
            assert "200" in ran.stdout.splitlines()[0] and "mx: mx.bigmail.test" in ran.stdout
            inside = [sys.executable, "-m", "labkit.cli", "run", "curl", "-sS", "--cacert"]
            inside += [str(world.authority.ca), "-m", "10", PolicyAt(DOMAIN).url]
            ran = await asyncio.to_thread(
                subprocess.run, inside, capture_output=True, text=True, env=os.environ
            )
            assert ran.returncode == 0, ran.stderr
            assert "mode: enforce" in ran.stdout

    run(story())
