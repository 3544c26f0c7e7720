"""What a study of an alloy would do, as text for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from defectscout.reporting.table import Column, Table, rich_table
from defectscout.reporting.wording import count
from defectscout.workflow.alloys.plan import AlloyPlan


def plan_table(plan: AlloyPlan) -> Table:
    """One line for each defect at each site of each supercell."""
    columns = (
        Column("supercell", "supercell"),
        Column("defect", "defect"),
        Column("environment", "environment"),
        Column("sites", "sites", numeric=True),
        Column("share", "share", digits=2, numeric=True),
        Column("holes", "holes", numeric=True),
        Column("sampling", "sampling_structures", numeric=True),
    )
    rows = []
    for item in plan.supercells:
        for defect in item.plan.defects:
            site = item.supercell.site_of(defect.label)
            rows.append(
                (
                    item.supercell.name,
                    defect.label,
                    site.environment if site is not None else None,
                    site.sites if site is not None else None,
                    site.share if site is not None else None,
                    defect.excess_charge,
                    defect.sampling,
                )
            )
    return Table("alloy-plan", "Sites that would be searched", columns, tuple(rows))


def plan_view(plan: AlloyPlan) -> RenderableType:
    """What a dry run found."""
    lines = [
        f"{count(len(plan.supercells), 'supercell')} of {plan.atoms} atoms on the sites of {plan.parent}: "
        f"{count(plan.sites, 'site')}, {count(plan.sampling, 'sampling structure')}. Nothing was written."
    ]
    plans = [item.plan for item in plan.supercells]
    calls = sum(one.surrogate_calls for one in plans)
    first = plans[0]
    if calls and first.surrogate_seconds is not None:
        lines.append(f"Scouting: about {calls} surrogate force calls of {first.surrogate_seconds:.2f} s each.")
    if first.reference_seconds is not None:
        typical = sum(one.reference_calls[0] for one in plans)
        most = sum(one.reference_calls[1] for one in plans)
        lines.append(
            f"Reference: typically {typical}, at most about {most} force calls of {first.reference_seconds:.1f} s "
            f"each, {'up to ' if first.learns else ''}{first.workers} at once; and about "
            f"{sum(one.host_calls for one in plans)} for the pristine supercells."
        )
    if plan.seconds is not None:
        short, long = plan.seconds
        tuning = ", plus tuning" if first.learns else ""
        lines.append(f"Wall time: roughly {short / 60:.0f} min, at most about {long / 60:.0f} min{tuning}.")
    return Group(Text(lines[0]), rich_table(plan_table(plan)), *(Text(line) for line in lines[1:]))
