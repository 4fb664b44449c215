"""Covariates, land and countries."""
