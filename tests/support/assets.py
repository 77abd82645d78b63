"""Where the real models and data lie; see assets.h. Where they are missing, what needs them is left out with a line that
says so, or fails with CI=true."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("AMCT_ASSETS", ROOT.parent / "shared/assets"))


def missing():
    """Why there are none as one line, empty where they are there; ends in a failure with CI=true."""
    if ASSETS.is_dir() and any(ASSETS.iterdir()):
        return ""
    line = f"left out: there are no assets at {ASSETS}"
    if os.environ.get("CI") == "true":
        raise AssertionError(line)
    print(line, flush=True)
    return line


def assets_or_exit():
    """For a script that is one test: the folder of assets, or its end."""
    if missing():
        sys.exit(0)
    return ASSETS


def needs_assets(test):
    """For a unittest.TestCase: the folder of assets; the test is skipped where there is none."""
    if reason := missing():
        test.skipTest(reason)
    return ASSETS
