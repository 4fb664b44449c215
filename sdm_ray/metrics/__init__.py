"""Scores of predictions: plain arrays in, plain numbers out."""
