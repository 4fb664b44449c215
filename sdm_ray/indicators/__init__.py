"""From a map to what is asked of it: richness, ranges, countries."""
