"""Sentinel-2 scenes into a tile cube."""
