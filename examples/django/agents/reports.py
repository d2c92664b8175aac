"""Runs as trees, and days as chart data."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ragstone.models import Day, Step

SUMS = ("done", "failed", "cancelled", "input_tokens", "output_tokens", "cost", "errors")
PERCENTILES = ("p50_ms", "p95_ms")


class Node(NamedTuple):
    """A step and its child steps."""

    step: Step
    children: list["Node"]


def tree(steps: Iterable[Step]) -> list[Node]:
    """Arranges the steps of a run under their parents, in order; a step whose parent is missing is at the top."""
    nodes = {step.pk: Node(step, []) for step in steps}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.step.parent_id)
        (parent.children if parent else roots).append(node)
    return roots


def charts(days: Iterable[Day]) -> dict[str, Any]:
    """Returns the sums of all agents for each day, and the percentiles of each agent, which cannot be added up."""
    sums: dict[str, dict] = defaultdict(lambda: dict.fromkeys(SUMS, 0))
    percentiles: dict[str, dict] = defaultdict(dict)
    for row in days:
        day = row.day.isoformat()
        for name in SUMS:
            sums[day][name] += getattr(row, name)
        for name in PERCENTILES:
            percentiles[f"{row.agent} {name[:3]}"][day] = getattr(row, name)
    order = sorted(sums)
    return {
        "days": order,
        "sums": {name: [sums[day][name] for day in order] for name in SUMS},
        "latency": {name: [values.get(day) for day in order] for name, values in sorted(percentiles.items())},
    }
