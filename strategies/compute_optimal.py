"""Compute-optimal scaling (Snell et al., 2408.03314): what a query gets depends on how hard it looks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ComputeOptimal(BaseModel):
    """A probe tells how hard a query is, then a policy chooses its strategy and budget.

    Nothing of it runs in one go: the scheduler plans every stage of a query as another strategy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
