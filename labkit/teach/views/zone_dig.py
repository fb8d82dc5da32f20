"""The program dig, run inside the lab.

WHAT       `dig(world, "st2.sne21.test MX")` runs it on the student's laptop and shows what it printed; where it cannot
           run, the view says why, and labkit answers the same question.
READ NEXT  zone_cache.py
"""

from __future__ import annotations

import shlex
import shutil

from labkit.lab.world import World
from labkit.mail.questions import Account
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.view import View
from labkit.teach.views.zone_answers import Answer, AnswerView, ask

LONGEST_OUTPUT = 20_000
PATIENCE = 30.0  # seconds of real time for the program
WITHOUT_DIG = "labkit asks the same question in its place"


async def dig(world: World, words: str) -> DigView:
    """Run `dig WORDS` on the student's laptop: names, time and the nameserver are the lab's.

    Where the program is missing or cannot live in the lab, the view says so and shows labkit's own answer.
    Raises ValueError for words that are no question, when labkit has to answer.
    """
    program = shutil.which("dig")
    if program is None:
        return DigView(
            words, f"dig is not installed on this computer; {WITHOUT_DIG}", await _instead(world, words)
        )
    laptop = world.laptop
    login = laptop.owner.partition("@")[0]
    try:
        programs = world.programs
        labnet = programs.introduce(f"{laptop.name}.dig", {login: Account(login, "/")}, None, ticks=False)
        environment = await programs.environment(labnet, laptop.address, laptop.name, login)
    except RuntimeError as problem:  # a world in memory, or no C compiler for the library that puts dig there
        return DigView(words, f"{problem}; {WITHOUT_DIG}", await _instead(world, words))
    supervisor = await programs.supervisor()
    ended = await supervisor.run([program, *shlex.split(words)], env=environment, timeout=PATIENCE)
    return DigView(words, (ended.stdout + ended.stderr).decode("utf-8", "replace").strip("\n"))


async def _instead(world: World, words: str) -> Answer:
    """labkit's answer to a command line of dig. What begins with + only says how dig prints."""
    asked = [word for word in shlex.split(words) if not word.startswith("+")]
    if asked[:1] == ["-x"] and len(asked) == 2:
        return await ask(world, asked[1], "PTR")
    if not 1 <= len(asked) <= 2 or asked[0].startswith(("-", "@")):
        raise ValueError(
            f"dig {words}: without the program only `NAME`, `NAME TYPE` and `-x ADDRESS` are answered"
        )
    return await ask(world, *asked)


class DigView(View):
    """A command and what it printed."""

    def __init__(self, words: str, printed: str, answer: Answer | None = None) -> None:
        self.command = f"$ dig {words}"
        self.printed = clip(printed, LONGEST_OUTPUT)
        self.answer = None if answer is None else AnswerView(answer)

    def html(self) -> Markup:
        return join(
            tag("pre", tag("b", self.command), f"\n{self.printed}"),
            None if self.answer is None else self.answer.html(),
        )

    def text(self) -> str:
        rest = "" if self.answer is None else f"\n{self.answer.text()}"
        return f"{self.command}\n{self.printed}{rest}"
