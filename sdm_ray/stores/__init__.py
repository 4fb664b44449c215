"""The formats on disk; the only place that knows a layout."""
