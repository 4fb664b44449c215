"""Species maps of a continent from satellite tiles and field photos."""

import os

# Ray reads this when it is first imported: a driver started by `uv run` would otherwise have every worker build an
# environment of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
