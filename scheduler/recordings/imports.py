"""Imports: a recording becomes a job of the tables, found again and continued by the same command."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import select

from models.budgets import format_budget
from models.database import Database
from models.errors import UserError
from models.heartbeats import product_version
from models.recorded import CHOOSES, Choice
from models.specification import JobSpecification, template_from_dict, template_to_dict
from models.templates import ANSWER_KINDS, Template
from models.transitions.imports import (
    Found,
    ImportedJob,
    ImportedQuery,
    create_import,
    find_import,
    finish_import,
    read_import,
    store_imported,
)
from scheduler.intake import PROBLEM, Progress, load_dataset
from scheduler.readers import DatasetReader
from scheduler.recordings.gathering import Entry, Recording
from strategies import registry
from strategies.aggregation import Aggregation

PAGE = 100
"""Problems that are judged side by side and stored in one transaction."""

UNKNOWN = "unknown"
"""What a model is called that the recording does not name."""

_SEARCHES = re.compile(r"^(beam_search|dvts)(?=[_.-]|$)")
_SAMPLED = re.compile(r"^(?:bon|best_of_n)(?=[_.-]|$)")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user says of a recording; None is left to the recording."""

    generator: str | None = None
    verifier: str | None = None
    strategy: str | None = None
    aggregation: Aggregation | None = None
    answer: str = "math"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """One problem of the recording, and the stored problem that it is."""

    entry: Entry
    problem_id: int
    prompt: str
    reference: str | None


class Import:
    """A job that a recording is stored in, and how far it has come."""

    def __init__(
        self, database: Database, recording: Recording, specification: JobSpecification, found: Found, dataset_id: int
    ) -> None:
        self.job_id, self.state, self.stored = found.job_id, found.state, found.stored
        self.specification = specification
        self.template: Template = template_from_dict(specification.template)
        self._database, self._recording, self._dataset_id = database, recording, dataset_id

    def pages(self) -> Iterator[list[Known]]:
        """The recording's problems from the first on, those that are stored already among them."""
        entries = self._recording.entries()
        while page := list(islice(entries, PAGE)):
            with self._database.reading() as connection:
                rows = connection.execute(
                    select(PROBLEM.c.key, PROBLEM.c.id, PROBLEM.c.prompt, PROBLEM.c.answer).where(
                        PROBLEM.c.dataset_id == self._dataset_id, PROBLEM.c.key.in_([entry.key for entry in page])
                    )
                )
                by_key = {row.key: row for row in rows}
            yield [
                Known(entry, by_key[entry.key].id, by_key[entry.key].prompt, by_key[entry.key].answer) for entry in page
            ]

    def store(self, first: int, queries: Sequence[ImportedQuery]) -> None:
        """Store what is not there yet of a page that begins with the `first` problem (from 1).

        Raises:
            UserError: the job was cancelled meanwhile.
        """
        while rest := queries[max(self.stored - (first - 1), 0) :]:
            with self._database.transaction() as connection:
                stored = store_imported(connection, self.job_id, self.stored, rest)
            if stored:
                self.stored += len(rest)
            else:
                self._follow()

    def finish(self) -> None:
        with self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            finish_import(connection, self.job_id, self._recording.problems, now)
        self._follow()

    def _follow(self) -> None:
        """Read how far the job is: another process may have stored the same."""
        with self._database.reading() as connection:
            found = read_import(connection, self.job_id)
        if found.state == "cancelled":
            raise UserError(f"job {self.job_id} was cancelled; use --new for a fresh one")
        self.state, self.stored = found.state, found.stored


def open_import(
    database: Database,
    recording: Recording,
    wish: Wish,
    dataset: DatasetReader | None,
    *,
    new: bool,
    progress: Progress,
) -> Import:
    """Make the job, or find the one that an earlier, perhaps interrupted, command made.

    Raises:
        UserError: what is wished for is not in the recording, or the dataset cannot be loaded.
    """
    specification = specify(recording, wish)
    dataset_id, dataset_hash = load_dataset(database, dataset or recording, skip_bad=False, progress=progress)
    content = hashlib.sha256(f"{recording.layout.name} {recording.files_hash()} {dataset_hash}".encode()).hexdigest()
    fingerprint = specification.fingerprint(content)
    with database.transaction() as connection:
        found = find_import(connection, fingerprint)
        if found is None or new:
            job = ImportedJob(
                name=wish.name or f"{(dataset or recording).name} {specification.strategy}",
                dataset_id=dataset_id,
                specification=specification,
                budget=format_budget(specification.budget_amount, "samples"),
                source=recording.label,
                versions={"tts-jobs": product_version()},
            )
            replicate = 0 if found is None else found.replicate + 1
            found = create_import(connection, job, fingerprint, replicate, database.clock.now(connection))
    made = Import(database, recording, specification, found, dataset_id)
    if made.state == "cancelled":
        raise UserError(f"job {made.job_id} was cancelled; use --new for a fresh one")
    return made


def specify(recording: Recording, wish: Wish) -> JobSpecification:
    """The specification of what was recorded.

    Raises:
        UserError: a strategy, verifier or aggregation that the recording does not go with, named by its option.
    """
    facts = recording.facts
    strategy = _strategy(recording, wish)
    if wish.verifier is not None and not facts.scored:
        raise UserError("--verifier: the recording holds no scores of a verifier; leave the option out")
    if wish.aggregation is not None and (not facts.stepped or facts.without_steps):
        where = facts.without_steps or recording.label
        raise UserError(f"--aggregation: {where} has no step scores; leave the option out")
    if wish.answer not in ANSWER_KINDS:
        raise UserError(f"--answer: unknown kind {wish.answer!r}; choose one of {', '.join(ANSWER_KINDS)}")
    generator = wish.generator or (min(facts.generators) if len(facts.generators) == 1 else UNKNOWN)
    verifier = (wish.verifier or UNKNOWN) if facts.scored else None
    return JobSpecification(
        generator=generator,
        generator_identity=f"recorded:{generator}",
        verifier=verifier,
        verifier_identity=verifier,
        strategy=strategy,
        parameters=_parameters(recording, strategy, wish),
        budget_amount=float(facts.most_samples),
        budget_unit="samples",
        sampling={},
        template=template_to_dict(Template("recorded", "1", "{{ problem }}", answer=wish.answer)),
    )


def choice_of(specification: JobSpecification, wish: Wish) -> Choice:
    return Choice(specification.strategy, specification.parameters, wish.aggregation)


def _parameters(recording: Recording, strategy: str, wish: Wish) -> dict[str, object]:
    """Those of a strategy that chooses here; how a search was set up is not recorded."""
    if strategy not in CHOOSES:
        return {} if wish.aggregation is None else {"aggregation": wish.aggregation}
    given: dict[str, object] = {}
    if strategy in ("best_of_n", "weighted_vote"):
        facts = recording.facts
        ways = [how for how in ("last", "min", "prod", "mean") if how in facts.aggregations]
        given["aggregation"] = wish.aggregation or (ways[0] if facts.stepped and ways else "last")
    built: object = registry.build(strategy, given)
    dumped: dict[str, object] = built.model_dump(mode="json")  # type: ignore[attr-defined]
    return dumped


def _strategy(recording: Recording, wish: Wish) -> str:
    facts = recording.facts
    try:
        entry = registry.find(wish.strategy or _likely(recording))
    except ValueError as error:
        raise UserError(f"--strategy: {error}") from None
    cure = "choose another, such as majority_vote"
    if entry.scheduled:
        raise UserError(f"--strategy: {entry.name} answers in stages, and a recording holds none; {cure}")
    if entry.name == "greedy" and facts.most_samples > 1:
        raise UserError(f"--strategy: greedy is one solution, and a problem here has {facts.most_samples}; {cure}")
    if entry.name in ("best_of_n", "weighted_vote") and facts.without_score is not None:
        raise UserError(f"--strategy: {entry.name} chooses by scores, and {facts.without_score} has none; {cure}")
    if entry.name not in CHOOSES and facts.without_choice is not None and facts.without_score is not None:
        raise UserError(
            f"--strategy: how {entry.name} chose must be recorded, and {facts.without_choice} has neither an answer that "
            f"was chosen nor scores; {cure}"
        )
    return entry.name


def _likely(recording: Recording) -> str:
    """How the recorded solutions came about, as far as they show; never samples for what may be a search."""
    facts = recording.facts
    scored = facts.scored and facts.without_score is None
    if recording.layout.name == "search-and-learn":
        if match := _SEARCHES.match(recording.name):
            return match[1]
        # Its searches leave no token counts and end in the same words; its samples have theirs.
        alike = 2 * facts.repeated > recording.problems
        if not facts.counted and (scored or alike) and not _SAMPLED.match(recording.name):
            return "beam_search"
    return "best_of_n" if scored else "majority_vote"
