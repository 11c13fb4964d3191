"""The algorithms that spend a budget on a query: pure async code over a few small protocols."""
