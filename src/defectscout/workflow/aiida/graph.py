"""What a search has become in AiiDA's graph: its relaxations, their jobs, and what these left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiida import orm

from defectscout.workflow.aiida.tasks import RelaxationTask, task_from_dict

SEARCH: Final = "SearchWorkChain"
"""How AiiDA calls the process of a search."""

RELAXATION: Final = "RelaxationWorkChain"
"""How it calls that of a relaxation."""


@dataclass(frozen=True, slots=True, eq=False)
class JobNodes:
    """One job of a relaxation.

    Attributes:
        job: the job.
        files: its input.
        retrieved: what it has left; None before it ends.
        summary: how it stands, as its parser has it; empty before that.
    """

    job: orm.CalcJobNode
    files: orm.FolderData
    retrieved: orm.FolderData | None
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RelaxationNodes:
    """One candidate's relaxation, or a host's.

    Attributes:
        key: name of its links: `d000_c000`; empty for a host's.
        chain: the work chain.
        task: what is relaxed, and how.
        jobs: its jobs, first to last.
    """

    key: str
    chain: orm.WorkChainNode
    task: orm.Dict
    jobs: tuple[JobNodes, ...] = field(default=())

    @property
    def files(self) -> orm.FolderData | None:
        """Input of the last job that has ended, with all that earlier ones have left in it; of the first one where none
        has; None before that."""
        job = self._told or (self.jobs[0] if self.jobs else None)
        return job.files if job is not None else None

    @property
    def retrieved(self) -> orm.FolderData | None:
        """What the last job that has ended has left; None before one ends."""
        return self._told.retrieved if self._told is not None else None

    @property
    def _told(self) -> JobNodes | None:
        return next((job for job in reversed(self.jobs) if job.retrieved is not None), None)


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
    chains = orm.QueryBuilder()
    chains.append(orm.WorkChainNode, filters={"uuid": search.uuid}, tag="search")
    chains.append(orm.WorkChainNode, with_incoming="search", tag="lane")
    chains.append(orm.WorkChainNode, with_incoming="lane", edge_project="label", project="*", tag="relaxation")
    task = {"attributes.defect": defect} if defect else {}
    chains.append(orm.Dict, with_outgoing="relaxation", edge_filters={"label": "task"}, filters=task, project="*")
    found = list(chains.all())  # nodes first, then labels
    jobs = _jobs_of([chain.pk for chain, _, _ in found])
    relaxations = [RelaxationNodes(key, chain, task, jobs.get(chain.pk, ())) for chain, task, key in found]
    return tuple(sorted(relaxations, key=lambda item: item.key))


def relaxations_in(node: orm.WorkChainNode) -> tuple[tuple[RelaxationNodes, RelaxationTask], ...]:
    """All relaxations of what was submitted, with what each is: of a search, of rounds of learning, or of a host."""
    if node.process_label == RELAXATION:
        found = [RelaxationNodes("", node, node.inputs.task, _jobs_of([node.pk]).get(node.pk, ()))]
    else:
        found = [item for search in searches_of(node) for item in relaxations_of(search)]
    return tuple((item, task_from_dict(item.task.get_dict())) for item in found)


def _jobs_of(chains: Sequence[int]) -> dict[int, tuple[JobNodes, ...]]:
    """Jobs of relaxations by the numbers of their work chains, first to last.

    A few queries for all of them: AiiDA's own way to what is linked to a node takes 15 ms for each.
    """
    jobs = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": {"in": list(chains)}}, project="id", tag="chain")
    jobs.append(orm.CalcJobNode, with_incoming="chain", project="*")
    of_chain: dict[int, list[orm.CalcJobNode]] = {}
    for chain, job in jobs.all() if chains else ():
        of_chain.setdefault(chain, []).append(job)
    numbers = [job.pk for found in of_chain.values() for job in found]
    files = _linked(numbers, orm.FolderData, "files", "with_outgoing", "*")
    retrieved = _linked(numbers, orm.FolderData, "retrieved", "with_incoming", "*")
    summaries = _linked(numbers, orm.Dict, "summary", "with_incoming", "attributes")
    return {
        chain: tuple(
            JobNodes(job, files[job.pk], retrieved.get(job.pk), summaries.get(job.pk, {}))
            for job in sorted(found, key=lambda job: int(job.pk))
        )
        for chain, found in of_chain.items()
    }


def _linked(jobs: Sequence[int], kind: type[orm.Data], label: str, relation: str, project: str) -> dict[int, Any]:
    """What is linked to jobs under a label, by their numbers."""
    if not jobs:
        return {}
    query = orm.QueryBuilder().append(orm.CalcJobNode, filters={"id": {"in": list(jobs)}}, project="id", tag="job")
    query.append(kind, **{relation: "job"}, edge_filters={"label": label}, project=project)
    return dict(query.all())


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
