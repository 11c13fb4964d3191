"""Jobs of one dataset that build on each other, answered one after the other inside this one process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cli import output
from cli.embedded import embedded
from cli.loading import Loading
from cli.progress import JobView
from models.database import Database
from models.errors import UserError

if TYPE_CHECKING:
    from scheduler.readers import DatasetReader
    from scheduler.submission import Request


def answer_all(
    database: Database, reader: DatasetReader, requests: Sequence[Request], *, skip_bad: bool = False, quiet: bool
) -> list[int]:
    """Submit each request, or find the job that an earlier command made of it, once the one before it is done, so that
    it reuses what that drew. Returns the jobs' ids; interrupted, it ends the process.

    All are for one generator, whose engine is started for the first job that is not done yet. A cancelled job is made
    anew.

    Raises:
        UserError: a job stopped, the engine cannot be started, or as `scheduler.submission.submit`.
    """
    from scheduler.submission import submit

    job_ids = []
    stopping: threading.Event | None = None
    with ExitStack() as inside:
        for request in requests:
            with Loading(quiet) as loading:
                job = submit(database, reader, request, skip_bad=skip_bad, new=False, progress=loading)
                if job.state == "cancelled":
                    job = submit(database, reader, request, skip_bad=skip_bad, new=True, progress=loading)
            job_ids.append(job.job_id)
            if job.state == "done":
                continue
            if stopping is None:
                stopping = inside.enter_context(embedded(database, request.generator))
            _follow(database, job.job_id, stopping, quiet)
            if stopping.is_set():
                break
    if stopping is not None and stopping.is_set():
        output.notes.print("interrupted; run the same command to go on")
        sys.exit(130)
    return job_ids


def _follow(database: Database, job_id: int, stopping: threading.Event, quiet: bool) -> None:
    seen = JobView(database, job_id).follow(lambda seen: stopping.is_set() or seen["state"] != "open", quiet=quiet)
    if not stopping.is_set() and seen["state"] != "done":
        raise UserError(f"job {job_id} is {seen['state']}: `tts-jobs resume {job_id}`, then run this again")
