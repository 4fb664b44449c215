"""Pure arithmetic of the EU grid: no I/O."""
