"""The ledger of one attempt: what was used, row by row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from models import flops
from models.costs import CostModel
from models.prices import dollars
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from worker.prefixes import forced_tokens
from worker.usage_row import Rows, UsageRow, add_to

_Number = TypeVar("_Number", int, float)


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    """The sum; of something unknown, unknown."""
    known: list[_Number] = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    return sum(known[1:], known[0])


class Ledger:
    """What one attempt used.

    `prompt_charged` tells whether an earlier attempt of the same query has already been charged the prompt: the
    canonical cost prefills it once per query. `prompt_tokens` is the length of the problem's prompt as counted by the
    engine, None until it is known. What else stands in the prompt of a candidate that continues no other, such as the
    attempts that a revision is shown, is read for that candidate alone.
    """

    def __init__(self, costs: CostModel, prompt_charged: bool = False) -> None:
        self.costs = costs
        self.prompt_charged = prompt_charged
        self.prompt_tokens: int | None = None
        self._booked: list[tuple[str | None, UsageRow]] = []
        self._rows: Rows = {}
        self._carried: list[Candidate] = []
        self._unscored: dict[str, int] = {}
        self._scored: dict[str, int] = {}
        self._read: dict[str, int] = {}

    def completion(self, candidate: Candidate, *, reused: bool = False) -> None:
        """Book what one candidate took, and hold back what scoring it may take until that is booked."""
        usage, continued = candidate.usage, candidate.parent is not None
        prompt, cached, generated = usage.prompt_tokens, usage.cached_tokens, usage.generated_tokens
        first = not self.prompt_charged and not continued
        self.prompt_charged = True
        self._found(candidate)
        architecture = self.costs.architecture
        charged = prompt if first else self._behind(candidate)
        read = charged + 1 if continued else charged
        self._book(
            UsageRow(
                phase="generate",
                model=self.costs.model,
                reused=reused,
                calls=1,
                samples=0 if continued else 1,
                prompt_tokens=prompt,
                canonical_prompt_tokens=charged,
                cached_tokens=cached,
                generated_tokens=generated,
                flops=flops.actual_flops(architecture, prompt, cached, generated)
                if architecture and cached is not None
                else None,
                flops_canonical=self.costs.canonical_flops(prompt, generated, read=read),
                flops_2nd=flops.flops_2nd(architecture, read + generated) if architecture else None,
                gpu_seconds=candidate.gpu_seconds,
                dollars=dollars(
                    self.costs.price,
                    prompt=prompt,
                    cached=cached,
                    generated=generated,
                    gpu_seconds=candidate.gpu_seconds,
                ),
            ),
            candidate.path,
        )

    def give_back(self, used: Collection[str]) -> None:
        """Take out what was reused and is not at one of the paths `used`: a vote that is settled earlier needs no more."""
        self._booked = [(path, row) for path, row in self._booked if not row.reused or path in used]
        self._rows = {}
        for _, row in self._booked:
            add_to(self._rows, row)

    def carry(self, candidate: Candidate) -> None:
        """Count a candidate of an earlier attempt of this query against its budget; it is in the ledger already, and so
        is its scoring where it has the scores that this attempt would ask for."""
        self._carried.append(candidate)
        self._found(candidate)
        scores = candidate.step_scores or (None,)
        needed = scores if self.costs.every_step else scores[-1:]
        # What is scored behind a step of a search has this step to read again.
        if None not in needed and candidate.finish_reason != "step" and candidate.path in self._unscored:
            del self._unscored[candidate.path]
            self._scored[candidate.path] = candidate.usage.prompt_tokens + candidate.usage.generated_tokens

    def _found(self, candidate: Candidate) -> None:
        usage = candidate.usage
        if candidate.parent is None:
            # Nothing is shorter than the problem's prompt alone.
            self.prompt_tokens = min(usage.prompt_tokens, self.prompt_tokens or usage.prompt_tokens)
        if self.costs.verifier is not None:
            # What stands before a step was read when the step before it was scored; a verifier reads no other attempt.
            unread = candidate.parent is None or self.costs.verifier.rereads
            before = usage.prompt_tokens - self._behind(candidate) if unread else 0
            self._unscored[candidate.path] = self.costs.most_scored(before, usage.generated_tokens)

    def _behind(self, candidate: Candidate) -> int:
        """Tokens that are read for a candidate alone: those between the problem's prompt and one that continues no other,
        those that were put behind what another continues."""
        if candidate.parent is not None:
            return forced_tokens(candidate.lineage)[-1]
        if self.prompt_tokens is None:
            return 0
        return max(0, candidate.usage.prompt_tokens - self.prompt_tokens)

    def aborted(self, prompt_tokens: int, gpu_seconds: float, *, samples: int = 1) -> None:
        """Book a completion that was given up: its tokens are unknown, its time is not.

        `prompt_tokens` is 0 where the engine refused the prompt, `samples` where it was to continue another.
        """
        self._book(self._given_up(1, samples, prompt_tokens, gpu_seconds))

    def _given_up(self, calls: int, samples: int, prompt_tokens: int, gpu_seconds: float) -> UsageRow:
        return UsageRow(
            phase="generate",
            model=self.costs.model,
            disposition="wasted",
            at_least=True,
            calls=calls,
            samples=samples,
            prompt_tokens=prompt_tokens,
            cached_tokens=None,
            flops=None,
            gpu_seconds=gpu_seconds,
            dollars=dollars(self.costs.price, prompt=prompt_tokens, cached=None, generated=0, gpu_seconds=gpu_seconds),
        )

    def scoring(
        self,
        candidate: Candidate,
        passes: Sequence[TokenUsage],
        gpu_seconds: float,
        costs: CostModel | None = None,
        *,
        tail: int = 0,
    ) -> None:
        """Book the scoring of one candidate; a verifier that computes nothing costs nothing and has no row.

        `costs` are of a verifier that no budget holds anything back for.

        Canonically each pass reads on, its scored position's logits included, from where the one before it ended, or
        the scoring of a step before it, but for the last `tail` tokens of that. A verifier that `rereads` makes each of
        its passes from the beginning.
        """
        self._unscored.pop(candidate.path, None)
        costs = costs or self.costs.verifier
        if not passes or costs is None:
            return
        architecture, scored, canonical = costs.architecture, 0, 0.0
        known = max((self._read.get(one.path, 0) for one in candidate.lineage[:-1]), default=0)
        for one in passes:
            before = 0 if costs.rereads else known
            scored += one.prompt_tokens - before
            canonical += (
                flops.forward_flops(architecture, one.prompt_tokens - before, before, 1) if architecture else 0.0
            )
            known = one.prompt_tokens - tail
        self._read[candidate.path] = known
        prompt = sum(one.prompt_tokens for one in passes)
        cached = _sum(one.cached_tokens for one in passes)
        executed = None
        if architecture is not None:
            executed = _sum(
                flops.scoring_flops(architecture, one.prompt_tokens, one.cached_tokens, 1) for one in passes
            )
        self._book(
            UsageRow(
                phase="score",
                model=costs.model,
                calls=len(passes),
                prompt_tokens=prompt,
                cached_tokens=cached,
                scored_tokens=scored,
                flops=executed,
                flops_canonical=canonical if architecture else None,
                flops_2nd=flops.flops_2nd(architecture, scored) if architecture else None,
                gpu_seconds=gpu_seconds,
                dollars=dollars(costs.price, prompt=prompt, cached=cached, generated=0, gpu_seconds=gpu_seconds),
            ),
            candidate.path,
        )

    def scoring_aborted(self, gpu_seconds: float) -> None:
        """Book a scoring that was given up or failed: its tokens are unknown, its time is not."""
        costs = self.costs.verifier
        if costs is not None:
            self._book(
                UsageRow(
                    phase="score",
                    model=costs.model,
                    disposition="wasted",
                    at_least=True,
                    calls=1,
                    cached_tokens=None,
                    flops=None,
                    gpu_seconds=gpu_seconds,
                    dollars=dollars(costs.price, prompt=0, cached=None, generated=0, gpu_seconds=gpu_seconds),
                )
            )

    def price_of(self, candidate: Candidate, unit: str) -> float:
        """What booking this candidate would add to `spent(unit)`."""
        trial = Ledger(self.costs, self.prompt_charged)
        trial.prompt_tokens = self.prompt_tokens
        trial.completion(candidate)
        return trial.spent(unit)

    def spent(self, unit: str) -> float:
        """What counts against a budget in `unit` so far, reused work at its original cost, scoring to come included."""
        writing = replace(self.costs, verifier=None)
        carried = sum(
            writing.amount(
                unit,
                one.usage.prompt_tokens,
                one.usage.generated_tokens,
                first=index == 0,
                behind=self._behind(one),
                continued=one.parent is not None,
            )
            for index, one in enumerate(self._carried)
            if unit != "samples" or one.parent is None
        ) + sum(self.costs.scoring(unit, tokens) for tokens in (*self._unscored.values(), *self._scored.values()))
        rows = self._rows.values()
        if unit == "samples":
            return carried + sum(row.samples for row in rows)
        if unit == "tokens":
            return carried + sum(row.canonical_prompt_tokens + row.generated_tokens + row.scored_tokens for row in rows)
        if unit == "flops":
            return carried + sum(row.flops_canonical or 0.0 for row in rows)
        return carried + sum(row.dollars or 0.0 for row in rows)

    def generated(self) -> int:
        """Tokens written so far, those of earlier attempts of the query and reused ones included."""
        carried = sum(one.usage.generated_tokens for one in self._carried)
        return carried + sum(row.generated_tokens for row in self._rows.values())

    def rows(self, discarded: Collection[str] = ()) -> list[dict[str, Any]]:
        """The rows to be stored; what the candidates at the paths `discarded` took is told apart."""
        if not discarded:
            return [asdict(row) for row in self._rows.values()]
        found: Rows = {}
        for path, row in self._booked:
            thrown_away = path in discarded and row.disposition == "kept"
            add_to(found, replace(row, disposition="discarded") if thrown_away else row)
        return [asdict(row) for row in found.values()]

    def rows_if_lost(self, calls: int, samples: int, prompt_tokens: int, gpu_seconds: float) -> list[dict[str, Any]]:
        """What would be wasted if the process died now: all that is booked, and the `calls` in flight, of which
        `samples` began a solution.

        Work reused from another job is not lost with this attempt.
        """
        rows = [row for row in self._rows.values() if not row.reused]
        if calls:
            rows.append(self._given_up(calls, samples, prompt_tokens, gpu_seconds))
        lost: dict[tuple[str, str], UsageRow] = {}
        for row in rows:
            wasted = replace(row, disposition="wasted", at_least=True)
            if (row.phase, row.model) in lost:
                lost[row.phase, row.model].add(wasted)
            else:
                lost[row.phase, row.model] = wasted
        return [asdict(row) for row in lost.values()]

    def _book(self, row: UsageRow, path: str | None = None) -> None:
        self._booked.append((path, row))
        add_to(self._rows, row)
