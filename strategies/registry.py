"""The strategies by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from strategies.adaptive_consistency import AdaptiveConsistency
from strategies.beam_search import BeamSearch
from strategies.best_of_n import BestOfN
from strategies.budget_forcing import THOUGHT, BudgetForcing
from strategies.compute_optimal import ComputeOptimal
from strategies.dvts import Dvts
from strategies.extensions import Extension, extensions, find_extension
from strategies.first_finish import FIRST_SEGMENT, FirstFinish
from strategies.greedy import Greedy
from strategies.lookahead import Lookahead
from strategies.majority_vote import MajorityVote
from strategies.mcts import Mcts
from strategies.particle_filter import ParticleFilter
from strategies.rebase import Rebase
from strategies.sampling import GREEDY_PATH, sample_count
from strategies.search import FIRST_STEP
from strategies.sequential_revision import SequentialRevision, place_of
from strategies.task import Budget, Strategy
from strategies.weighted_vote import WeightedVote


@dataclass(frozen=True, slots=True)
class Entry:
    """One strategy: its validated parameters are its fields. `source` is where it is defined; `searches` tells that it
    goes step by step, so that its candidates are the nodes of a tree; `samples` that they are independent samples, those
    of a smaller budget the first of a larger one's; `may_verify` that it uses a verifier where there
    is one; `scheduled` that it is planned stage by stage as other strategies, and cannot solve a task itself; `package`
    is the installed package that provides it, None for one of ours."""

    name: str
    make: type[BaseModel]
    source: str
    needs_verifier: bool = False
    searches: bool = False
    samples: bool = False
    may_verify: bool = False
    scheduled: bool = False
    package: Extension | None = None

    @property
    def summary(self) -> str:
        return (self.make.__doc__ or "").strip().splitlines()[0]

    def sequences(self, budget: Budget) -> int:
        """How many sequences a query under this strategy has in flight at once."""
        return 1 if self.name == "greedy" else sample_count(budget)

    def wants_verifier(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it cannot do without a verifier under these parameters."""
        chosen_by_one = self.package is None and parameters.get("select") == "verifier"
        return self.needs_verifier or chosen_by_one or self.gives_feedback(parameters)

    def asks_verifier(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it is handed a verifier in a job that chooses strategies: a plain vote pays none for its ties."""
        return self.wants_verifier(parameters) or self.may_verify

    def scores_every_step(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a solution is scored step by step and not by its last alone."""
        aggregated = parameters.get("aggregation", "last") != "last"
        return self.searches or aggregated or self.gives_feedback(parameters)

    def gives_feedback(self, parameters: Mapping[str, Any]) -> bool:
        """Whether attempts are shown with what the verifier has to say of them."""
        return self.package is None and bool(parameters.get("feedback"))

    def shown(self, parameters: Mapping[str, Any]) -> Sequence[int]:
        """How many earlier attempts the samples of a query are written in sight of, at most: one number for each of
        a chain's, over and over."""
        return SequentialRevision(**parameters).shown() if self.make is SequentialRevision else (0,)

    def uses(self, path: str, budget: Budget, parameters: Mapping[str, Any] | None = None, width: int = 1) -> bool:
        """Whether a candidate made earlier at `path` can stand in for one this strategy would draw.

        Nobody knows what a package's strategy draws where, so it draws all of its own.
        """
        if self.package is not None:
            return False
        if self.name == "greedy":
            return path == GREEDY_PATH
        if self.searches:
            return path.startswith(FIRST_STEP)
        if self.make is SequentialRevision:
            chains, length = SequentialRevision(**(parameters or {})).shape(budget, width)
            place = place_of(path)
            return place is not None and place[0] < chains and place[1] < length
        if self.make is FirstFinish:
            return path.startswith(FIRST_SEGMENT)
        if self.make is BudgetForcing:
            return path.startswith(THOUGHT)
        greedy_first = bool((parameters or {}).get("greedy_first"))
        if greedy_first and path == GREEDY_PATH:
            return True
        return path.isdecimal() and int(path) < sample_count(budget) - greedy_first


STRATEGIES = {
    entry.name: entry
    for entry in (
        Entry("greedy", Greedy, "-"),
        Entry("majority_vote", MajorityVote, "Wang et al. 2203.11171", samples=True),
        Entry("adaptive_consistency", AdaptiveConsistency, "Aggarwal et al. 2305.11860", samples=True),
        Entry("best_of_n", BestOfN, "Lightman et al. 2305.20050", needs_verifier=True, samples=True),
        Entry("weighted_vote", WeightedVote, "Snell et al. 2408.03314", needs_verifier=True, samples=True),
        Entry("first_finish", FirstFinish, "2512.02008"),
        Entry("budget_forcing", BudgetForcing, "Muennighoff et al. 2501.19393"),
        Entry("sequential_revision", SequentialRevision, "Snell et al. 2408.03314", may_verify=True),
        Entry("beam_search", BeamSearch, "Snell et al. 2408.03314", needs_verifier=True, searches=True),
        Entry("dvts", Dvts, "Beeching et al. 2024", needs_verifier=True, searches=True),
        Entry("lookahead", Lookahead, "Snell et al. 2408.03314", needs_verifier=True, searches=True),
        Entry("rebase", Rebase, "Wu et al. 2408.00724", needs_verifier=True, searches=True),
        Entry("particle_filter", ParticleFilter, "Puri et al. 2502.01618", needs_verifier=True, searches=True),
        Entry("mcts", Mcts, "Kocsis & Szepesvari 2006", needs_verifier=True, searches=True),
        Entry("compute_optimal", ComputeOptimal, "Snell et al. 2408.03314", may_verify=True, scheduled=True),
    )
}


def sampling() -> list[str]:
    """The strategies that spend their budget on independent samples, among which a probe's count."""
    return [name for name, entry in STRATEGIES.items() if entry.samples]


def find(name: str) -> Entry:
    """The strategy called `name`, ours or a package's; dashes and underscores are the same.

    Raises:
        ValueError: no such strategy, and the message lists those there are; or a package's that cannot be used.
    """
    entry = STRATEGIES.get(name.replace("-", "_")) or _of_package(name.replace("-", "_"))
    if entry is None:
        known = [*STRATEGIES, *(one.name for one in extensions("strategies") if one.name not in STRATEGIES)]
        raise ValueError(f"unknown strategy {name!r}; choose one of {', '.join(known)}")
    return entry


def outline(name: str) -> Entry:
    """What a scheduler needs to know of a strategy, which is the same for those of all packages: they need not be here."""
    try:
        return find(name)
    except ValueError:
        return Entry(name, BaseModel, "-")


def listed() -> tuple[list[Entry], list[str]]:
    """All strategies, those of packages last, and a sentence for each that cannot be used."""
    entries, problems = list(STRATEGIES.values()), []
    for extension in extensions("strategies"):
        if extension.name in STRATEGIES:
            problems.append(f"{extension.name}: the package {extension.source} cannot replace a strategy of ours")
            continue
        try:
            entries.append(find(extension.name))
        except ValueError as error:
            problems.append(str(error))
    return entries, problems


@functools.cache
def _of_package(name: str) -> Entry | None:
    extension = find_extension("strategies", name)
    if extension is None:
        return None
    made = extension.load()
    if not (
        isinstance(made, type)
        and issubclass(made, BaseModel)
        and inspect.iscoroutinefunction(getattr(made, "solve", None))
    ):
        raise ValueError(
            f"{name}: what the package {extension.source} provides is no strategy; it must be a pydantic model with an "
            "async method solve(task)"
        )
    flags = {flag: bool(getattr(made, flag, False)) for flag in ("needs_verifier", "searches", "may_verify")}
    return Entry(name, made, extension.source, package=extension, **flags)


def build(name: str, parameters: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy with validated parameters.

    Raises:
        ValueError: unknown strategy or parameter, or a value outside its range; one sentence.
    """
    entry = find(name)
    try:
        strategy: Any = entry.make(**(parameters or {}))
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(entry.make.model_fields) or "none"
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{entry.name}: parameter {where!r}: {first['msg']} (parameters: {known})") from None
    return strategy  # type: ignore[no-any-return]
