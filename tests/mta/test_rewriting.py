"""Rewriting where mail moves: at reception, in aliases, by S rules; and what is refused."""

from __future__ import annotations

import pytest

from labkit.eximconf.configuration import read
from labkit.eximconf.reader import ConfigurationError
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mta.compiled import compile_configuration

from .typed import ANN, OTHERS, OURS, exim_conf, facts, letter, run, typed

ALIASES = """\
aliases:
  driver = redirect
  local_parts = all
  data = carl@old.test
"""
TO_ANN = "begin rewrite\n*@old.test ann@st11.sne21.test T\n"


@pytest.mark.parametrize("setting, became", [("", "ann"), ("  no_rewrite\n", None)])
def test_aliases_are_rewritten(setting: str, became: str | None) -> None:
    """no_rewrite leaves carl@old.test, which nobody knows."""

    async def story(world: World) -> None:
        assert (await letter(world, "all@st11.sne21.test")).startswith("250")
        delivered = facts(world, EventKind.DELIVERED)
        assert [(each.recipient, each.became) for each in delivered if each.recipient != ANN] == (
            [("all@st11.sne21.test", "ann")] if became else []
        )

    aliases = ALIASES + setting
    run(f"{exim_conf(routers=aliases + OTHERS + OURS)}\n{TO_ANN}", story)


def test_the_log_tells_it_if_it_is_asked_to() -> None:
    async def story(world: World) -> None:
        await letter(world, "bob@old.test", sender="eve@old.test")
        told = [line[20:] for line in world.mine.log().split("\n") if "rewritten" in line]
        assert (
            told
            == [
                '"bob@old.test" from env-to rewritten as "ann@st11.sne21.test" by rule 1',
                '"eve@old.test" from env-from rewritten as "mallory@old.test" by rule 2',
                '"eve@old.test" from from: rewritten as "mallory@old.test" by rule 2',
            ][: len(told)]
        )
        assert len(told) >= 2
        (received,) = facts(world, EventKind.RECEIVED)
        assert (received.sender, received.raw_sender) == ("mallory@old.test", "eve@old.test")
        assert " from <eve@old.test> for bob@old.test" in world.mine.log()

    rules = f"{TO_ANN}eve@old.test mallory@old.test\n"
    main = "log_selector = +address_rewrite +received_sender +received_recipients\n"
    run(f"{exim_conf(main)}\n{rules}", story)


def test_the_log_is_silent_otherwise() -> None:
    async def story(world: World) -> None:
        await letter(world, "bob@old.test")
        assert "rewritten" not in world.mine.log()

    run(f"{exim_conf()}\n{TO_ANN}", story)


@pytest.mark.parametrize(
    "argument, reply, because",
    [
        ("RCPT TO:<ann%st11.sne21.test>", "250 Accepted", "the rule makes an address of it"),
        ("RCPT TO:ann%st11.sne21.test", "250 Accepted", "brackets may be missing"),
        ("RCPT TO:<ann>", "501 ann: recipient address must contain a domain", "no rule fits"),
        ("RCPT TO:<%>", "501 <%>: missing or malformed local part", "what a rule makes may be no address"),
    ],
)
def test_smtp_arguments(argument: str, reply: str, because: str) -> None:
    async def story(world: World) -> None:
        said = await typed(world, "EHLO c.test", "MAIL FROM:<a@b.test>", argument)
        assert said[-1].split(" ")[0] == reply.split(" ")[0], because

    rules = "begin rewrite\n^<?([^%]*)%([^>]*)>?\\$ <$1@$2> S\n"
    run(f"{exim_conf()}\n{rules}", story)


def test_a_look_up_is_too_much_for_an_smtp_argument() -> None:
    text = f"{exim_conf()}\nbegin rewrite\n^x ${{lookup{{x}}lsearch{{/etc/x}}}} S\n"
    compile_configuration(read(text), "mx.test", ("203.0.113.1",), runs=False)
    with pytest.raises(ConfigurationError, match="real Exim only"):
        compile_configuration(read(text), "mx.test", ("203.0.113.1",))


def test_header_addresses_stay_bare_unless_the_client_may_send_such() -> None:
    async def story(world: World) -> None:
        await letter(world, ANN, text=("From: eve", "To: ann, bob", "", "x"))
        (kept,) = world.mine.mailbox("ann")
        assert (kept.first("From"), kept.first("To")) == ("eve", "ann, bob")

    run(exim_conf(), story)
