"""Started by natsim as `python3 FOLDER report|merge ARGUMENTS`."""

import sys
from pathlib import Path

# The folder's parent instead of the folder itself: these modules are the package `report`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from report.command import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
