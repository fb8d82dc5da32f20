"""Which engine an outside host has, by the word that its scenario says.

LAZY       a world without these servers does not import aiosmtpd.
READ NEXT  relay_engine.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lab.outside_engine import OutsideEngine
from labkit.lab.outside_plans import ImpostorPlan, ListPlan, MiddlePlan, ProviderPlan, RelayPlan
from labkit.lab.scenarios import HostPlan

if TYPE_CHECKING:
    from labkit.lab.host import Host


def outside_engine(host: Host, plan: HostPlan, name: str) -> OutsideEngine:
    """The engine of that name. Raises ValueError for a plan without what it needs."""
    if name == OutsideEngine.name:
        return OutsideEngine(host, plan.domains)
    if isinstance(plan.outside, RelayPlan):
        from labkit.lab.relay_engine import RelayEngine

        return RelayEngine(host, plan.domains, plan.outside)
    if isinstance(plan.outside, ProviderPlan):
        from labkit.lab.provider_engine import ProviderEngine

        return ProviderEngine(host, plan.domains, plan.outside)
    if isinstance(plan.outside, ListPlan):
        from labkit.lab.list_engine import ListEngine

        return ListEngine(host, plan.domains, plan.outside)
    if isinstance(plan.outside, ImpostorPlan):
        from labkit.lab.impostor_engine import ImpostorEngine

        return ImpostorEngine(host, plan.domains, plan.outside)
    if isinstance(plan.outside, MiddlePlan):
        from labkit.lab.middle_engine import MiddleEngine

        return MiddleEngine(host, plan.domains, plan.outside)
    raise ValueError(f"engine {name!r}: the plan of {plan.name} does not say what it needs")
