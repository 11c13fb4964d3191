"""The record of everything, and what can be computed from it."""
