"""Scores on held-out surveys, and the reports of a run."""
