"""The learning loop as a workflow: a search, what the surrogate learns of it, a search of what is new, and so on."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, WorkChain, if_, while_

from defectscout.workflow.aiida.data import unpacked
from defectscout.workflow.aiida.scouting import LearningCalculation, job_inputs
from defectscout.workflow.aiida.search import SearchWorkChain
from defectscout.workflow.aiida.snapshots import newest_candidates

MAX_LEARNING_JOBS = 10
"""Jobs that one round of learning may take, each going on where the one before was cut short."""


class LearningWorkChain(WorkChain):
    """Searches, tunes the surrogate on what was relaxed, scouts again, and searches what is new.

    It ends with the first round that brings nothing new, or after `max_rounds`. A later round that fails ends it with
    the answer of the rounds before.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Inputs, outline, outputs and the ways in which it ends."""
        super().define(spec)
        spec.expose_inputs(SearchWorkChain, exclude=("scouting_code",))
        spec.input("scouting_code", valid_type=orm.AbstractCode, help="defectscout itself, with the extra `train`.")
        spec.input("max_rounds", valid_type=orm.Int, help="Rounds of learning at most.")
        spec.outline(
            cls.begin,
            cls.search,
            cls.inspect_first,
            while_(cls.goes_on)(
                cls.learn,
                cls.inspect_learning,
                if_(cls.has_news)(cls.search, cls.inspect_search),
            ),
            cls.finish,
        )
        spec.expose_outputs(SearchWorkChain)
        spec.outputs["campaign"].required = False
        spec.outputs["results"].required = False
        spec.exit_code(400, "ERROR_SEARCH", message="The first search failed: {reason}")

    def begin(self) -> None:
        """Nothing has been learned yet."""
        self.ctx.campaign = self.inputs.campaign
        self.ctx.round = 0
        self.ctx.n_jobs = 0
        self.ctx.news = True
        self.ctx.ended = False
        self.ctx.answer = ""

    def search(self) -> ToContext:
        """Relax what no relaxation has been begun of: at first all candidates, then those of the last round."""
        inputs = self.exposed_inputs(SearchWorkChain)
        inputs["campaign"] = self.ctx.campaign
        inputs["scouting_code"] = self.inputs.scouting_code
        if self.ctx.round:
            inputs["settings"] = orm.Dict({**self.inputs.settings.get_dict(), "newest_round": True})
        inputs["metadata"] = {"call_link_label": f"search_{self.ctx.round:02d}"}
        return ToContext(current=self.submit(SearchWorkChain, **inputs))

    def inspect_first(self) -> ExitCode | None:
        """Whether there is anything to learn from."""
        self._take()
        if not self.ctx.answer:
            search = self.ctx.current
            return self.exit_codes.ERROR_SEARCH.format(reason=search.exit_message or search.process_state.value)
        return None

    def inspect_search(self) -> None:
        """What a later round has brought; one that failed is the last."""
        self._take()

    def _take(self) -> None:
        search = self.ctx.current
        if "campaign" in search.outputs:
            self.ctx.campaign = search.outputs.campaign
            self.ctx.answer = search.uuid
        else:
            self.ctx.ended = True
            self.report(f"{search.process_label}<{search.pk}> has no answer: {search.exit_message}")

    def goes_on(self) -> bool:
        """Whether another round is due."""
        return self.ctx.news and not self.ctx.ended and self.ctx.round < self.inputs.max_rounds.value

    def learn(self) -> ToContext:
        """One job that tunes and scouts, or goes on with it."""
        self.ctx.n_jobs += 1
        link = f"learning_{self.ctx.round + 1:02d}_{self.ctx.n_jobs:02d}"
        inputs = job_inputs(self.inputs, self.ctx.campaign, link)
        return ToContext(learning=self.submit(LearningCalculation, **inputs))

    def inspect_learning(self) -> None:
        """Whether the round brought new candidates; one that was cut short is gone on with."""
        job = self.ctx.learning
        self.ctx.news = False
        if "campaign" in job.outputs:
            self.ctx.campaign = job.outputs.campaign
        if job.is_finished_ok:
            self.ctx.round += 1
            self.ctx.n_jobs = 0
            with unpacked(self.ctx.campaign) as folder:
                found = sum(map(len, newest_candidates(folder).values()))
            self.ctx.news = bool(found)
            self.report(f"round {self.ctx.round}: {found} new candidates")
            return
        codes = LearningCalculation.exit_codes
        unfinished = job.exit_status in (codes.ERROR_UNFINISHED.status, codes.ERROR_NO_OUTPUT.status)
        self.report(f"{job.process_label}<{job.pk}>: {job.exit_message or job.process_state.value}")
        self.ctx.ended = not unfinished or self.ctx.n_jobs >= MAX_LEARNING_JOBS
        self.ctx.again = not self.ctx.ended

    def has_news(self) -> bool:
        """Whether there is something to relax."""
        again, self.ctx.again = self.ctx.get("again", False), False
        if again:
            self.ctx.news = True  # the round is not over: learn once more
            return False
        return bool(self.ctx.news)

    def finish(self) -> None:
        """The answer of the last search that had one."""
        self.out_many(self.exposed_outputs(orm.load_node(self.ctx.answer), SearchWorkChain))
