"""Staging: what --difficulty, --policy and --allocation make of a request."""

from __future__ import annotations

from dataclasses import dataclass

from models.catalogue import Model
from models.errors import UserError
from models.templates import Template
from scheduler.difficulty import SOURCES
from scheduler.extensions import is_oracle
from scheduler.policies import check_measured_on
from scheduler.policy import Policy, seed_policy
from strategies import registry
from strategies.extensions import Extension
from strategies.registry import Entry

ALLOCATIONS = ("uniform", "policy", "adaptive")
SEED = "seed"
"""What the policy is called that needs no calibration."""
STRATEGY = "compute_optimal"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; None where nothing was. `policy` comes with its name, NAME@VERSION; `anyway` takes one that was
    measured on other models."""

    difficulty: str | None = None
    policy: tuple[Policy, str] | None = None
    anyway: bool = False
    allocation: str | None = None

    @property
    def verifier(self) -> str | None:
        """What the policy was measured with."""
        return self.policy[0].verifier if self.policy is not None else None


@dataclass(frozen=True, slots=True)
class Staging:
    """How a job's queries are answered in stages; the defaults are those of a job whose queries have one stage."""

    difficulty: str = "none"
    policy: Policy | None = None
    name: str | None = None
    allocation: str = "uniform"

    @property
    def every_step(self) -> bool:
        """Whether an arm has every step scored."""
        arms = self.policy.arms if self.policy is not None else ()
        return any(registry.find(arm.strategy).scores_every_step(arm.parameters) for arm in arms)

    @property
    def packages(self) -> list[Extension]:
        """The packages whose strategies are arms."""
        arms = self.policy.arms if self.policy is not None else ()
        return [entry.package for entry in (registry.find(arm.strategy) for arm in arms) if entry.package is not None]


def refuse(wish: Wish, entry: Entry) -> None:
    """Raises UserError where a strategy of one stage was asked for with an option of several."""
    for option, value in (("difficulty", wish.difficulty), ("policy", wish.policy), ("allocation", wish.allocation)):
        if value is not None:
            raise UserError(
                f"--{option}: {entry.name} gives every query the same; choose --strategy {STRATEGY}, or leave it out"
            )


def stage(
    wish: Wish, budget: tuple[float, str], generator: Model, verifier: tuple[str, str] | None, template: Template
) -> Staging:
    """Check what was asked for and write it out in full; `verifier` is a name with an identity.

    Raises:
        UserError: an option that does not fit the others, or a policy that does not fit the models.
    """
    if budget[1] != "samples":
        raise UserError(
            f"--budget: {STRATEGY} counts samples, such as 16, the mean of a query; --job-budget caps the job in any unit"
        )
    difficulty, allocation = wish.difficulty or "probe", wish.allocation or "policy"
    for option, value, known in (("difficulty", difficulty, SOURCES), ("allocation", allocation, ALLOCATIONS)):
        if value not in known:
            raise UserError(f"--{option}: unknown {value!r}; choose one of {', '.join(known)}")
    if wish.policy is not None:
        policy, name = wish.policy
        check_measured_on(policy, generator.identity, verifier[1] if verifier else None, forced=wish.anyway)
        _check_arms(policy, name, verifier, template)
    else:
        # A server need not continue token ids, and an oracle of answers cannot judge steps.
        steps = generator.entry.engine != "openai" and not is_oracle(verifier[0] if verifier else None)
        own = (generator.name, generator.identity)
        policy, name = seed_policy(own, verifier, int(budget[0]), steps=steps), SEED
    if allocation == "adaptive":
        if not policy.calibrated:
            raise UserError(
                "--allocation adaptive: it shares the budget out by what a calibrated policy foretells; name one with "
                "--policy (`tts-jobs calibrate` makes it), or leave the option out"
            )
        if difficulty != "probe":
            raise UserError(
                f"--difficulty {difficulty}: --allocation adaptive goes by what a probe shows; leave one of them out"
            )
    return Staging(difficulty, policy, name, allocation)


def _check_arms(policy: Policy, name: str, verifier: tuple[str, str] | None, template: Template) -> None:
    for arm in policy.arms:
        try:
            entry = registry.find(arm.strategy)
            registry.build(arm.strategy, arm.parameters)
        except ValueError as error:
            raise UserError(f"--policy: {name}: {error}") from None
        feedback = entry.gives_feedback(arm.parameters)
        if entry.scheduled:
            raise UserError(f"--policy: {name}: {entry.name} cannot be an arm of itself")
        if verifier is None and entry.wants_verifier(arm.parameters):
            raise UserError(f"--policy: {name}: its arm {arm} needs a verifier; name one with --verifier")
        if verifier is not None and is_oracle(verifier[0]) and (entry.searches or feedback):
            raise UserError(
                f"--verifier: {verifier[0]} judges answers, and {entry.name}, an arm of {name}, scores steps; choose another"
            )
        if feedback and not template.revise:
            raise UserError(
                f"--policy: {name}: its arm {arm} gives feedback, and the template {template.name} says nothing behind an "
                "attempt; choose another --template"
            )
