"""What a completion of one model costs, in any unit, before or after it is made."""

from __future__ import annotations

from dataclasses import dataclass

from models import flops
from models.architecture import Architecture
from models.errors import UserError
from models.prices import dollars
from models.settings import Price
from models.templates import BYTES_PER_PROMPT

MOST_CALLS = 256
"""The most completions of one query under a budget that does not count samples (`strategies.sampling`)."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """Everything a model's cost is computed from.

    `flops_per_second` is the sustained speed that turns FLOPs into GPU-seconds where only a price per GPU-hour is
    known and a bound is needed before anything has run. `verifier`: the model that will read every completion of
    this one, which a budget has to hold as well; `question` bounds the tokens of what that is asked about a completion,
    or about each of its steps where `every_step` is set. `rereads`: each of this model's passes reads its whole text,
    since no cache of an earlier one serves it.
    """

    model: str
    architecture: Architecture | None
    price: Price
    flops_per_second: float | None = None
    verifier: CostModel | None = None
    rereads: bool = False
    question: int = 0
    every_step: bool = False

    def canonical_flops(self, prompt: int, generated: int, *, read: int) -> float | None:
        """FLOPs of one completion as if its query ran alone: its decoding, and the prefill of the `read` last tokens of
        its prompt, which nothing before it in the query has read.

        They are the whole prompt for the query's first completion and none for its other samples, the earlier attempts
        that a revision is shown, and one for a step: the last token of what it continues was drawn and never read.
        """
        if self.architecture is None:
            return None
        prefill = flops.forward_flops(self.architecture, read, prompt - read, 0)
        return flops.decode_flops(self.architecture, prompt, generated) + prefill

    def amount(
        self, unit: str, prompt: int, generated: int, *, first: bool, behind: int = 0, continued: bool = False
    ) -> float:
        """What one completion takes from a budget in `unit` (samples, tokens, flops or usd), its scoring included.

        All of `prompt` is read where it is the query's `first`. Its last `behind` tokens are earlier attempts, which a
        revision reads and its scoring does not, or were put behind what is continued; what continues another
        (`continued`) feeds that one's last token.

        Raises:
            UserError: the unit cannot be computed for this model; the message says what is missing.
        """
        if unit == "samples":
            return 1.0
        scoring = self.scoring(unit, self.most_scored(prompt - behind, generated)) if generated else 0.0
        return scoring + self._generating(
            unit, prompt, generated, read=prompt if first else behind, continued=continued
        )

    def scoring(self, unit: str, tokens: int) -> float:
        """What a budget in `unit` has to hold for the verifier to read `tokens` tokens; 0 where it is no model.

        Raises:
            UserError: as `amount`.
        """
        if self.verifier is None or unit == "samples":
            return 0.0
        return self.verifier._generating(unit, tokens, 1, read=tokens)

    def most_scored(self, prompt: int, generated: int) -> int:
        """The most tokens a verifier reads for a completion: a tag or a question behind every step, and no step is
        without a token."""
        asked = BYTES_PER_PROMPT + self.question * (generated if self.every_step else 1) if self.question else 0
        return prompt + 2 * generated + 2 + asked

    def _generating(self, unit: str, prompt: int, generated: int, *, read: int, continued: bool = False) -> float:
        if unit == "tokens":
            return float(generated + read)
        # The token that a step feeds was counted when it was drawn.
        computed = self.canonical_flops(prompt, generated, read=read + int(continued))
        if unit == "flops":
            if computed is None:
                raise UserError(
                    f"a budget in flops needs the architecture of {self.model}; set `architecture` in its entry"
                )
            return computed
        seconds = computed / self.flops_per_second if computed is not None and self.flops_per_second else None
        if self.price.gpu_hour is not None and seconds is None:
            missing = "architecture" if computed is None else "flops_per_second"
            raise UserError(
                f"a budget in usd needs `{missing}` in the entry of {self.model}, which is priced per GPU-hour"
            )
        cost = dollars(self.price, prompt=prompt, cached=None, generated=generated, gpu_seconds=seconds or 0.0)
        if cost is None:
            raise UserError(f"a budget in usd needs a price for {self.model}; set `price` in its entry")
        return cost

    def worst_case(
        self,
        budget: tuple[float, str],
        unit: str,
        prompt: int,
        max_tokens: int,
        *,
        calls: int = MOST_CALLS,
        behind: int = 0,
        begun: bool = False,
    ) -> float:
        """The most a query under `budget` (amount, unit) can cost in a cap's `unit`: what dispatch reserves.

        `prompt` bounds the prompt's tokens, `max_tokens` one completion's; under a budget that does not count
        samples, `calls` bounds how many completions there can be, and `behind` the tokens of earlier attempts that each
        may have to read. Where the query has `begun`, its prompt has been read. A longer completion costs more per token, so
        the worst is as many of `max_tokens` as the budget allows, and one call for each that is left.
        """
        amount, budget_unit = budget
        if budget_unit == unit:
            return amount
        if budget_unit == "samples":
            calls, tokens = int(amount), int(amount) * max_tokens
        elif budget_unit == "tokens":
            tokens = min(int(amount), calls * max_tokens)
        else:
            tokens = self._most_tokens(amount, budget_unit, max_tokens, calls)
        full, rest = divmod(tokens, max_tokens)
        lengths = {max_tokens: full, rest: 1, 0: calls - full - 1} if rest else {max_tokens: full, 0: calls - full}
        once = 0.0 if begun else self.amount(unit, prompt, 0, first=True) - self.amount(unit, prompt, 0, first=False)
        return once + sum(
            count * self.amount(unit, prompt + behind, length, first=False, behind=behind)
            for length, count in lengths.items()
            if count
        )

    def _most_tokens(self, amount: float, unit: str, max_tokens: int, calls: int) -> int:
        """The most tokens that `calls` completions can generate for `amount`: least costly when equally long."""
        low, high = 0, max_tokens + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = calls * self.amount(unit, 0, middle, first=False) <= amount
            low, high = (middle, high) if fits else (low, middle)
        return calls * min(low + 1, max_tokens)
