"""Run by `verdi run graph.py PK`: what AiiDA's provenance says of a search, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from aiida import orm


def ancestors(node: orm.Data) -> list[orm.Node]:
    """All that a node came from, by the links of data and calculations alone."""
    found = orm.QueryBuilder()
    found.append(orm.Node, filters={"uuid": node.uuid}, tag="end")
    found.append(orm.Node, with_descendants="end", project="*")
    return list({item.uuid: item for (item,) in found.all()}.values())


def jobs_of(search: orm.WorkChainNode) -> dict[str, list[dict[str, Any]]]:
    """The jobs of each candidate, first to last."""
    found: dict[str, list[dict[str, Any]]] = {}
    jobs = [node for node in search.called_descendants if isinstance(node, orm.CalcJobNode)]
    for job in sorted(jobs, key=lambda node: node.pk):
        task = job.inputs.task.get_dict()
        summary = job.outputs.summary.get_dict() if "summary" in job.outputs else {}
        found.setdefault(task["candidate"], []).append(
            {
                "job_id": job.get_job_id(),
                "uuid": job.uuid,
                "exit_status": job.exit_status,
                "exit_message": job.exit_message,
                "state": summary.get("state"),
                "steps": summary.get("steps"),
                "energy": summary.get("energy"),
                "files": job.base.repository.list_object_names(),
            }
        )
    return found


def ground_states_of(search: orm.WorkChainNode) -> dict[str, dict[str, Any]]:
    """Each ground state, and what it came from."""
    host = search.inputs.host
    found = {}
    for label, node in search.outputs.ground_states.items() if "ground_states" in search.outputs else ():
        before = ancestors(node)
        found[label] = {
            "formula": node.get_formula(),
            "from_host": host.uuid in {item.uuid for item in before},
            "jobs": [item.uuid for item in before if isinstance(item, orm.CalcJobNode)],
            "codes": sorted({item.full_label for item in before if isinstance(item, orm.AbstractCode)}),
            "structures": sum(isinstance(item, orm.StructureData) for item in before),
        }
    return found


def main(pk: int) -> None:
    """Print it all."""
    search = orm.load_node(pk)
    print(
        json.dumps(
            {
                "label": search.process_label,
                "finished": search.is_finished_ok,
                "exit_message": search.exit_message,
                "host": search.inputs.host.get_formula(),
                "processes": len(search.called_descendants),
                "open": [node.pk for node in search.called_descendants if not node.is_terminated],
                "jobs": jobs_of(search),
                "ground_states": ground_states_of(search),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[-1]))
