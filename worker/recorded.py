"""Recorded solutions, read, graded and chosen among as ours are, and compared with what the recording holds of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.recorded import CHOOSES, Choice, Recorded, Sample
from models.templates import Template
from strategies import registry
from strategies.aggregation import Aggregation, aggregate
from strategies.protocols import Answers, ProblemView, TokenUsage
from strategies.sampling import GREEDY_PATH
from strategies.search import FIRST_STEP
from strategies.task import Budget, Candidate, Solution, Task
from strategies.votes import classify
from worker.differences import Comparison, Tally, Verdicts
from worker.grading import GradingPool, answers_of


@dataclass(slots=True)
class Judged:
    """One recorded problem: columns of its query, rows of its candidates, and how it compares with the recording."""

    query: dict[str, Any]
    candidates: list[dict[str, Any]]
    tally: Tally


async def judge(
    recorded: Recorded, problem: ProblemView, template: Template, pool: GradingPool, choice: Choice
) -> Judged:
    """Grade a recorded problem; `problem` has its key and the reference answer to grade by.

    Raises:
        QueryError: the grader of a package that is not here.
    """
    bench = _Bench(recorded, problem, answers_of(template, pool, problem.prompt), choice)
    return await bench.judged(await bench.solve())


class _Bench:
    """One problem being graded."""

    def __init__(self, recorded: Recorded, problem: ProblemView, answers: Answers, choice: Choice) -> None:
        self.recorded, self.problem, self.answers, self.choice = recorded, problem, answers, choice
        entry = registry.find(choice.strategy)
        self.candidates = [_candidate(number, one, entry) for number, one in enumerate(recorded.samples)]
        self.scores = [_score(one, choice.aggregation) for one in recorded.samples]
        self.verdicts = Verdicts(problem, answers)

    async def solve(self) -> Solution:
        """The strategy's own choice among the recorded candidates, or the answer that the recording had chosen."""
        if self.choice.strategy not in CHOOSES:
            return await self._recorded_choice()
        scored = all(
            score is not None or not one.text.strip() or one.finish_reason != "stop"
            for score, one in zip(self.scores, self.candidates, strict=True)
        )
        # Scores as the recording adds them up, whatever its steps would come to.
        for candidate, score in zip(self.candidates, self.scores, strict=True):
            candidate.step_scores = None if score is None else (score,)
        task = Task(
            problem=self.problem,
            generator=_Nothing(),
            verifier=_Nothing() if scored else None,
            answers=self.answers,
            budget=Budget(len(self.candidates), "samples"),
            seed=0,
            candidates=self.candidates,
        )
        parameters = {name: value for name, value in self.choice.parameters.items() if name != "aggregation"}
        return await registry.build(self.choice.strategy, parameters).solve(task)

    async def _recorded_choice(self) -> Solution:
        chosen = self.recorded.chosen
        for candidate in self.candidates:
            finished = candidate.finish_reason == "stop"
            candidate.answer = await self.answers.extract(candidate.text) if finished else None
        await classify(self.candidates, self.answers)
        if chosen is None:
            scored = [
                (score, one) for score, one in zip(self.scores, self.candidates, strict=True) if score is not None
            ]
            if not scored:
                return Solution(None, self.candidates, "complete")
            best = max(scored, key=lambda pair: pair[0])[1]
            return Solution(best.answer, self.candidates, "complete", best.path)
        source = next((one for one in self.candidates if one.text == chosen), None)
        if source is not None:
            return Solution(source.answer, self.candidates, "complete", source.path)
        answer = await self._plain(chosen)
        for candidate in self.candidates:
            if answer is not None and await self.verdicts.same(candidate.answer, answer):
                return Solution(answer, self.candidates, "complete", candidate.path)
        return Solution(answer, self.candidates, "complete")

    async def judged(self, solution: Solution) -> Judged:
        voters = [one for one in solution.candidates if one.answer_class >= 0]
        chosen = next((one for one in voters if one.path == solution.chosen), None)
        for candidate, score, sample in zip(self.candidates, self.scores, self.recorded.samples, strict=True):
            candidate.score, candidate.step_scores = score, sample.step_scores
        query = {
            "answer": solution.answer,
            "correct": await self.verdicts.right(solution.answer),
            "voters": len(voters),
            "votes": sum(chosen is not None and one.answer_class == chosen.answer_class for one in voters),
            "score": chosen.score if chosen else None,
            "stopped": solution.stopped,
        }
        rows = [
            {
                "path": one.path, "parent": None, "text": one.text, "answer": one.answer,
                "answer_class": one.answer_class, "correct": await self.verdicts.right(one.answer),
                "finish_reason": one.finish_reason, "score": one.score,
                "step_scores": None if one.step_scores is None else list(one.step_scores),
                "step_logprobs": None if sample.logprob is None else [sample.logprob],
                "prompt_tokens": None, "cached_tokens": None, "generated_tokens": sample.generated_tokens,
                "gpu_seconds": None, "disposition": "kept",
            }
            for one, sample in zip(self.candidates, self.recorded.samples, strict=True)
        ]  # fmt: skip
        return Judged(query, rows, await Comparison(self.recorded, self.candidates, self.verdicts).run())

    async def _plain(self, chosen: str) -> str | None:
        """A final answer as it stands, or what is read in the whole solution that gives it."""
        return await self.answers.extract(chosen) or (chosen.strip() if len(chosen.split()) <= 12 else None)


class _Nothing:
    """The generator and verifier of solutions that are all there with their scores."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a recording has nothing to {name}")


def _candidate(number: int, sample: Sample, entry: registry.Entry) -> Candidate:
    path = f"{FIRST_STEP}{number}" if entry.searches else str(number)
    return Candidate(
        path=GREEDY_PATH if entry.name == "greedy" else path,
        text=sample.text,
        finish_reason=sample.finish_reason,
        usage=TokenUsage(0, None, sample.generated_tokens or 0),
    )


def _score(sample: Sample, how: Aggregation | None) -> float | None:
    if how is None and sample.score is not None:
        return sample.score
    return None if sample.step_scores is None else aggregate(sample.step_scores, how or "last")
