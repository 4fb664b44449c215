"""Change between maps of one model or of several: years, seasons, scenarios."""
