"""What a search has become in AiiDA's graph: its relaxations, their jobs, and what these left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiida import orm


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
        """Input of the last job, with all that earlier ones have left in it; None before the first."""
        return self.jobs[-1].inputs.files if self.jobs else None

    @property
    def retrieved(self) -> orm.FolderData | None:
        """What the last job has left; None before it ends."""
        return retrieved_of(self.jobs[-1]) if self.jobs else None


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


def scouted_campaign(search: orm.WorkChainNode) -> orm.FolderData | None:
    """The newest snapshot that scouting has brought back; None where there was none."""
    jobs = [job for job in search.called if isinstance(job, orm.CalcJobNode) and "campaign" in job.outputs]
    newest: Sequence[orm.CalcJobNode] = sorted(jobs, key=lambda job: job.pk)
    return newest[-1].outputs.campaign if newest else None
