"""Species maps of a continent from satellite tiles and field photos."""
