"""Where the real models and data lie; see assets.h."""

import os
import pathlib
import sys


def assets_or_exit(root):
    """The folder of assets; where it is missing or empty the test ends here, saying so (as a failure when CI=true)."""
    folder = pathlib.Path(os.environ.get("AMCT_ASSETS", pathlib.Path(root) / ".." / "shared" / "assets"))
    if folder.is_dir() and any(folder.iterdir()):
        return folder
    print(f"left out: there are no assets at {folder}")
    sys.exit(1 if os.environ.get("CI") == "true" else 0)
