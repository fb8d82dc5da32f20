"""What a scenario file says of the servers outside: the fields of `engine: relay`, `provider`, `list` and `impostor`.

WHAT       `read_outside` makes the plan of such a host of its section, `read_mta_sts` that of the policy of any host;
           every mistake is noted with its line.
READ NEXT  outside_plans.py, scenario_file.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from yaml.nodes import MappingNode

from labkit.lab.authority import KINDS
from labkit.lab.outside_plans import (
    BOUNCES_TO,
    DEMANDS,
    LIST_MODES,
    WEEK,
    Customer,
    ImpostorPlan,
    ListPlan,
    MailingList,
    MiddlePlan,
    OutsidePlan,
    PolicyPlan,
    ProviderPlan,
    RelayPlan,
)
from labkit.lab.scenario_fields import names
from labkit.lab.scenarios import is_domain
from labkit.lab.yaml_nodes import Reader
from labkit.mail.address import AddressSyntaxError, Mailbox

OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "relay": ("customers", "certificate", "keeps_plaintext"),
    "provider": ("demands", "trusts", "rate", "certificate", "keeps_plaintext"),
    "list": ("lists", "certificate"),
    "impostor": ("poses_as", "certificate"),
    "middle": ("stands_before", "certificate", "account"),
}
MOST_MESSAGES = 1_000_000
LONGEST_FOOTER = 2000


def read_outside(section: Reader, engine: str) -> OutsidePlan | None:
    """The plan of a host; None for one that has none."""
    own = OWN_FIELDS.get(engine, ())
    for field in dict.fromkeys(name for fields in OWN_FIELDS.values() for name in fields):
        if field not in own and section.has(field):
            of = " and ".join(kind for kind, fields in OWN_FIELDS.items() if field in fields)
            section.wrong(
                field, f"this host is no {of}", f"take {field} out, or write engine: {of.split()[0]}"
            )
    if engine == "relay":
        keeps = section.yes("keeps_plaintext", default=False)
        return RelayPlan(tuple(_customers(section)), _certificate(section), keeps)
    if engine == "provider":
        demands = _choices(section, "demands", DEMANDS)
        trusts = _expect_domains(section, "trusts")
        keeps = section.yes("keeps_plaintext", default=False)
        return ProviderPlan(demands, trusts, _count(section, "rate", 0), _certificate(section), keeps)
    if engine == "list":
        return ListPlan(tuple(_lists(section)), _certificate(section))
    if engine == "impostor":
        name = section.text(
            "poses_as", needed="write poses_as: and the name of the host that it pretends to be"
        )
        return ImpostorPlan(name.lower(), _certificate(section, "self-signed"))
    if engine == "middle":
        name = section.text("stands_before", needed="write stands_before: and the name of the server")
        kind = _certificate(section, "self-signed")
        if kind == "good":  # nobody would vouch for it under the server's name
            section.wrong("certificate", "a middle cannot have a good one", "write certificate: self-signed")
        return MiddlePlan(name.lower(), kind, *_account(section))
    return None


def read_mta_sts(section: Reader) -> PolicyPlan | None:
    """The policy that the host's domain publishes; None: none."""
    from labkit.auth.mta_sts_policy import NotAPolicy, write_policy
    from labkit.lab.policy_host import FAULTS

    node = section.node("mta_sts")
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        section.wrong("mta_sts", "a mapping is expected", "write mta_sts: {mode: enforce}")
        return None
    inner = Reader(node, section.field("mta_sts"), section.problems, section.fill)
    inner.done(("mode", "mx", "max_age", "fault"))
    mode, mx = inner.text("mode", default="enforce"), tuple(each.text for each in inner.texts("mx"))
    age, fault = inner.number("max_age"), inner.text("fault")
    if age is not None and age != int(age):
        inner.wrong("max_age", f"{age} cannot be", "write a whole number of seconds: max_age: 604800")
    if fault not in FAULTS:
        may = ", ".join(filter(None, FAULTS))
        inner.wrong("fault", f"{fault[:40]!r} cannot be", f"it is one of: {may}")
        return None
    plan = PolicyPlan(mode, mx, WEEK if age is None else int(age), fault)
    try:
        write_policy(plan.mode, plan.mx or ("any.test",), plan.max_age)
    except NotAPolicy as problem:
        section.wrong("mta_sts", str(problem), "write mta_sts: {mode: enforce, max_age: 604800}")
        return None
    return plan


def _customers(section: Reader) -> Iterator[Customer]:
    if not section.has("customers"):
        section.missing("customers", "write customers: and below it - login: …, password: …, domains: […]")
    seen: set[str] = set()
    for each in section.sections("customers", "customer"):
        each.where = f"{section.where}, {each.where}"
        each.done(names("customer"))
        login = each.text("login", needed="write login: and a name, such as st11")
        password = each.text("password", needed="write password: and a word that is used nowhere else")
        domains = _expect_domains(each, "domains")
        if not domains:
            each.missing("domains", "write domains: [a.test], those the customer sends from")
        bounces = each.text("bounces_to", default="sender")
        if bounces not in BOUNCES_TO:
            each.wrong("bounces_to", f"{bounces[:40]!r} cannot be", f"it is one of: {', '.join(BOUNCES_TO)}")
        if login in seen:
            each.wrong("login", f"{login[:40]} is there already", "each customer has a login of its own")
        seen.add(login)
        quota = _count(each, "quota", 200)
        if login and password:
            yield Customer(login, password, domains, quota, bounces)


def _lists(section: Reader) -> Iterator[MailingList]:
    if not section.has("lists"):
        section.missing("lists", "write lists: and below it - name: …, members: […]")
    seen: set[str] = set()
    for each in section.sections("lists", "list"):
        each.where = f"{section.where}, {each.where}"
        each.done(names("list"))
        name = each.text("name", needed="write name: and the local part, such as mta").lower()
        if name in seen:
            each.wrong("name", f"{name[:40]} is there already", "each list has a name of its own")
        seen.add(name)
        members = each.texts("members")
        if not members:
            each.missing("members", "write members: and an address, or [several, of them]")
        for member in members:
            try:
                Mailbox.parse(member.text)
            except AddressSyntaxError as problem:
                each.wrong("members", str(problem), "write it like ann@a.test", member.line)
        mode = each.text("mode", default="plain")
        if mode not in LIST_MODES:
            each.wrong("mode", f"{mode[:40]!r} cannot be", f"it is one of: {', '.join(LIST_MODES)}")
        footer = each.text("footer")
        if len(footer) > LONGEST_FOOTER:
            each.wrong("footer", "it is too long", f"no more than {LONGEST_FOOTER} characters")
        if name:
            yield MailingList(name, tuple(member.text for member in members), mode, footer)


def _account(section: Reader) -> tuple[str, str, str]:
    """Of a middle: its own address, login and password at the server; "" for what is not said."""
    found = section.texts("account")
    words = [each.text for each in found]
    if len(words) not in (0, 1, 3):
        section.wrong(
            "account", f"there are {len(words)} words", "write [address], or [address, login, password]"
        )
        return "", "", ""
    if words:
        try:
            Mailbox.parse(words[0])
        except AddressSyntaxError as problem:
            section.wrong("account", str(problem), "write it like mallory@a.test", found[0].line)
    address, login, password = (*words, "", "", "")[:3]
    return address, login, password


def _expect_domains(section: Reader, name: str) -> tuple[str, ...]:
    found = section.texts(name)
    for each in found:
        if not is_domain(each.text.lower()):
            section.wrong(name, f"{each.text[:60]!r} is no domain", "write it like a.test", each.line)
    return tuple(each.text.lower() for each in found)


def _certificate(section: Reader, usual: str = "good") -> str:
    kind = section.text("certificate", default=usual)
    if kind not in KINDS:
        section.wrong("certificate", f"{kind[:40]!r} cannot be", f"it is one of: {', '.join(KINDS)}")
    return kind


def _choices(section: Reader, name: str, known: Mapping[str, str]) -> tuple[str, ...]:
    found = section.texts(name)
    for each in found:
        if each.text not in known:
            section.wrong(name, f"{each.text[:40]!r} cannot be", f"it is of: {', '.join(known)}", each.line)
    return tuple(each.text for each in found)


def _count(section: Reader, name: str, usual: int) -> int:
    number = section.number(name)
    if number is None:
        return usual
    if not isinstance(number, int) or not 0 <= number <= MOST_MESSAGES:
        section.wrong(name, f"{number} cannot be", f"write a whole number: {name}: 50")
        return usual
    return number
