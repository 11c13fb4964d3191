"""Every change of state, each one guarded UPDATE: where the row is no longer as expected, nothing happens.

Job:    loading -> open <-> paused -> done | cancelled | budget_exhausted (-> open with more budget)
Query:  pending -> queued -> running -> pending (next stage, drain, lost lease, retry) | done | failed | cancelled;
        pending -> done where no further stage is worth its cost (-> pending with more budget)

Escrow: ringing a query reserves its worst case from the job's cap; whatever ends the attempt refunds it and books
what was spent, so the overspend is never more than the open reservations.
"""

from models.transitions.attempts import Claim, claim, extend_leases
from models.transitions.bells import plan, ring, ring_again, take_back
from models.transitions.commits import Outcome, commit
from models.transitions.escrow import ATTEMPT, CANDIDATE, JOB, QUERY, ROUNDING, USAGE, charged, table
from models.transitions.jobs import (
    cancel_job,
    change_job,
    end_job,
    open_job,
    pause_job,
    recall_bells,
    resume_job,
    retry_failed,
)
from models.transitions.losses import QUARANTINE_AFTER, expire_leases, lose_worker
from models.transitions.stages import UNDECIDED, UNPROBED, reopen_settled, settle, settled_by_budget

__all__ = [
    "ATTEMPT",
    "CANDIDATE",
    "JOB",
    "QUARANTINE_AFTER",
    "QUERY",
    "ROUNDING",
    "UNDECIDED",
    "UNPROBED",
    "USAGE",
    "Claim",
    "Outcome",
    "cancel_job",
    "change_job",
    "charged",
    "claim",
    "commit",
    "end_job",
    "expire_leases",
    "extend_leases",
    "lose_worker",
    "open_job",
    "pause_job",
    "plan",
    "recall_bells",
    "reopen_settled",
    "resume_job",
    "retry_failed",
    "ring",
    "ring_again",
    "settle",
    "settled_by_budget",
    "table",
    "take_back",
]
