"""Metrics, baselines, comparison and reports."""
