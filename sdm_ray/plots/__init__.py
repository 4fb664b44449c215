"""Charts, maps and pages as bytes."""
