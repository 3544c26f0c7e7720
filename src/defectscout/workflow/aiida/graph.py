"""What a search has become in AiiDA's graph: its relaxations, their jobs, and what these left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiida import orm

from defectscout.workflow.aiida.tasks import RelaxationTask, task_from_dict

SEARCH: Final = "SearchWorkChain"
"""How AiiDA calls the process of a search."""

RELAXATION: Final = "RelaxationWorkChain"
"""How it calls that of a relaxation."""


@dataclass(frozen=True, slots=True, eq=False)
class RelaxationNodes:
    """One candidate's relaxation.

    Attributes:
        key: name of its links: `d000_c000`.
        chain: the work chain.
        jobs: its jobs, first to last.
    """

    key: str
    chain: orm.WorkChainNode
    jobs: tuple[orm.CalcJobNode, ...] = field(default=())

    @property
    def task(self) -> orm.Dict:
        """What is relaxed, and how."""
        node: orm.Dict = self.chain.inputs.task
        return node

    @property
    def files(self) -> orm.FolderData | None:
        """Input of the last job that has ended, with all that earlier ones have left in it; of the first one where none
        has; None before that."""
        job = self._told or (self.jobs[0] if self.jobs else None)
        return job.inputs.files if job is not None else None

    @property
    def retrieved(self) -> orm.FolderData | None:
        """What the last job that has ended has left; None before one ends."""
        return retrieved_of(self._told) if self._told is not None else None

    @property
    def _told(self) -> orm.CalcJobNode | None:
        return next((job for job in reversed(self.jobs) if retrieved_of(job) is not None), None)


def retrieved_of(job: orm.CalcJobNode) -> orm.FolderData | None:
    """What a job has left; None before it ends."""
    return job.outputs.retrieved if "retrieved" in job.outputs else None


def candidates_made(search: orm.WorkChainNode) -> list[tuple[str, str, str]]:
    """Name of each candidate of a search, and UUIDs of its structure and its task, in the order of the candidates."""
    found: dict[str, dict[str, str]] = {"structures": {}, "tasks": {}}
    for kind, name in ((orm.StructureData, "structures"), (orm.Dict, "tasks")):
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"uuid": search.uuid}, tag="search")
        query.append(orm.CalcFunctionNode, with_incoming="search", tag="function")
        edge = {"label": {"like": f"{name}\\_\\_d%"}}
        query.append(kind, with_incoming="function", edge_filters=edge, edge_project="label", project="uuid")
        found[name] = {label.removeprefix(f"{name}__"): uuid for uuid, label in query.all()}
    return [(key, found["structures"][key], found["tasks"][key]) for key in sorted(found["structures"])]


def folders_gathered(search: orm.WorkChainNode) -> list[orm.FolderData]:
    """What was gathered of each defect."""
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"uuid": search.uuid}, tag="search")
    query.append(orm.CalcFunctionNode, with_incoming="search", filters={"label": "gathered"}, tag="function")
    query.append(orm.FolderData, with_incoming="function", project="*", tag="folder")
    return sorted(query.all(flat=True), key=lambda node: int(node.pk))


def relaxations_of(search: orm.WorkChainNode, defect: str = "") -> tuple[RelaxationNodes, ...]:
    """The relaxations that a search has begun, all or those of one defect, in the order of the candidates."""
    task = {"attributes.defect": defect} if defect else {}
    chains = orm.QueryBuilder()
    chains.append(orm.WorkChainNode, filters={"uuid": search.uuid}, tag="search")
    chains.append(orm.WorkChainNode, with_incoming="search", tag="lane")
    chains.append(orm.WorkChainNode, with_incoming="lane", edge_project="label", project="*", tag="relaxation")
    chains.append(orm.Dict, with_outgoing="relaxation", edge_filters={"label": "task"}, filters=task)
    jobs = orm.QueryBuilder()
    jobs.append(orm.WorkChainNode, filters={"uuid": search.uuid}, tag="search")
    jobs.append(orm.WorkChainNode, with_incoming="search", tag="lane")
    jobs.append(orm.WorkChainNode, with_incoming="lane", project="id", tag="relaxation")
    jobs.append(orm.Dict, with_outgoing="relaxation", edge_filters={"label": "task"}, filters=task)
    jobs.append(orm.CalcJobNode, with_incoming="relaxation", project="*", tag="job")
    of_chain: dict[int, list[orm.CalcJobNode]] = {}
    for chain, job in jobs.all():
        of_chain.setdefault(chain, []).append(job)
    found = [
        RelaxationNodes(key, chain, tuple(sorted(of_chain.get(chain.pk, ()), key=lambda job: job.pk)))
        for chain, key in chains.all()
    ]
    return tuple(sorted(found, key=lambda item: item.key))


def relaxations_in(node: orm.WorkChainNode) -> tuple[tuple[RelaxationNodes, RelaxationTask], ...]:
    """All relaxations of what was submitted, with what each is: of a search, of rounds of learning, or of a host."""
    if node.process_label == RELAXATION:
        jobs = sorted((one for one in node.called if isinstance(one, orm.CalcJobNode)), key=lambda job: int(job.pk))
        found = [RelaxationNodes("", node, tuple(jobs))]
    else:
        found = [item for search in searches_of(node) for item in relaxations_of(search)]
    return tuple((item, task_from_dict(item.task.get_dict())) for item in found)


def searches_of(node: orm.WorkChainNode) -> list[orm.WorkChainNode]:
    """The searches that what was submitted consists of, first to last: itself, or one for each round of learning."""
    own = [one for one in node.called if isinstance(one, orm.WorkChainNode) and one.process_label == SEARCH]
    return sorted(own, key=lambda one: int(one.pk)) or [node]


def scouted_campaign(node: orm.WorkChainNode) -> orm.FolderData | None:
    """The newest snapshot that scouting or learning has brought back; None where there was none."""
    called = [*node.called, *(one for search in searches_of(node) if search.pk != node.pk for one in search.called)]
    jobs = [job for job in called if isinstance(job, orm.CalcJobNode) and "campaign" in job.outputs]
    newest: Sequence[orm.CalcJobNode] = sorted(jobs, key=lambda job: job.pk)
    return newest[-1].outputs.campaign if newest else None
