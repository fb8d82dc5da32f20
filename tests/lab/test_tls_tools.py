"""openssl, swaks, smtplib and labkit's own client agree about a server of the lab, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit.lab.certificates import have_signed, install, make_key
from labkit.lab.tls_tools import ToolSaid, ask_all, ask_openssl, ask_smtplib, ask_swaks
from labkit.lab.world import World, partners
from labkit.teach.show import show
from labkit.teach.views.tls_tools import ToolsView

Run = Callable[[Coroutine[Any, Any, None]], None]
Require = Callable[[str], str]
TLS = """\
tls_advertise_hosts = *
tls_certificate     = /etc/tls.crt
tls_privatekey      = /etc/tls.key
daemon_smtp_ports   = smtp : smtps : submission
tls_on_connect_ports = 465
"""
OLD = ("-cipher", "ALL:@SECLEVEL=0")


async def certified(world: World) -> None:
    key = make_key()
    issued = await have_signed(world.mine, key.request(world.mine.name))
    install(world.mine, issued.pem, key)
    world.mine.write_configuration(TLS + world.mine.configuration_file.read_text())
    await world.mine.reload()
    await world.settle()


@pytest.mark.parametrize("engine", ["labkit", "exim"])
def test_all_agree(run: Run, require: Require, engine: str) -> None:
    for program in ("openssl", "swaks", *(["exim"] if engine == "exim" else [])):
        require(program)

    async def story() -> None:
        async with partners(network="loopback", engine=engine) as world:
            await certified(world)
            name, laptop = world.mine.name, world.partner_laptop
            for port in (25, 587, 465):
                view = show(await ask_all(world, laptop, name, port))
                assert isinstance(view, ToolsView) and view.agree, view
                assert all(each.is_good for each in view.said) and len(view.said) == 4
                assert max(map(len, view.text().split("\n"))) <= 110
            # one who vouches for himself: nobody believes it
            key = make_key()
            install(world.mine, key.self_signed(name), key)
            await world.mine.reload()
            await world.settle()
            view = show(await ask_all(world, laptop, name, 587))
            assert isinstance(view, ToolsView) and view.agree, view
            assert not any(each.is_good for each in view.said) and all(each.reason for each in view.said)

    run(story())


def test_the_lines_are_explained_and_do_not_change(run: Run, require: Require) -> None:
    require("openssl")

    async def story() -> None:
        async with partners(network="loopback") as world:
            await certified(world)
            one, other = [
                show(await ask_openssl(world, world.partner_laptop, world.mine.name, 587)).text()
                for _ in range(2)
            ]
            assert one == other and "Verify return code: 0 (ok)" in one and "So: good" in one
            assert "/" not in one.replace("CA", "").split("it says")[0].replace("-", ""), (
                "no path of this machine"
            )
            wrong = await ask_openssl(world, world.partner_laptop, "st11.sne21.test", 587)
            assert wrong.is_good is not True

    run(story())


@pytest.mark.parametrize("engine", ["labkit", "exim"])
def test_versions(run: Run, require: Require, engine: str) -> None:
    """TLS 1.2 works; what is older labkit refuses (RFC 8996), and this Exim does not unless it is told to."""
    for program in ("openssl", *(["exim"] if engine == "exim" else [])):
        require(program)

    async def story() -> None:
        async with partners(network="loopback", engine=engine) as world:
            await certified(world)
            name, laptop = world.mine.name, world.partner_laptop
            said = await ask_openssl(world, laptop, name, 587, options=("-tls1_2",))
            assert said.version == "TLSv1.2" and said.is_good
            if engine == "exim":
                for version, spoken in (("-tls1_1", "TLSv1.1"), ("-tls1", "TLSv1")):
                    said = await ask_openssl(world, laptop, name, 587, options=(version, *OLD))
                    assert said.version == spoken, said
                only_new = "tls_require_ciphers = NORMAL:-VERS-TLS1.1:-VERS-TLS1.0\n"
                world.mine.write_configuration(only_new + world.mine.configuration_file.read_text())
                await world.mine.reload()
                await world.settle()
            for version in ("-tls1_1", "-tls1"):
                said = await ask_openssl(world, laptop, name, 587, options=(version, *OLD))
                assert said.version == "" and said.is_good is None, version
                if engine == "labkit":
                    assert ("alert protocol version", "the server: I do not speak this version") in said.lines
            log = world.mine.log()
            assert "TLS error on connection from" in log and ("unsupported" in log or "version" in log), log

    run(story())


def test_why_not(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            for ask in (ask_openssl, ask_swaks, ask_smtplib):
                said = await ask(world, world.laptop, world.mine.name)
                assert "in memory" in said.why_not and "It was not asked" in show(said).text()

    run(story())


def test_nobody_agrees_who_was_not_asked() -> None:
    long = "the certificate of this server was refused because " + "of this and that " * 9 + "and the end"
    silent = [ToolSaid(tool, tool, 25, why_not="it is not here") for tool in ("openssl", "swaks")]
    bad = ToolSaid("smtplib", "smtplib", 25, "TLSv1.3", "X", is_good=False, reason=long)
    for said, ending in (
        (silent, "None could be asked."),
        ([*silent, bad], "One was asked: nobody is there to agree with it. 2 could not be asked."),
        ([silent[0], bad, bad], "All agree. 1 could not be asked."),
        ([bad, bad], "All agree."),
    ):
        view = ToolsView(said)
        assert view.text().endswith(f"\n{ending}") and f"<p>{ending}</p>" in str(view.html())
        assert "not believed" not in view.text() or "and the end" in view.text()
        assert (long in str(view.html())) is (bad in said)
        assert max(map(len, view.text().split("\n"))) <= 110
