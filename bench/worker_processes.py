"""Sharing a quantization among processes: `amct quantize` of MobileNetV2 on 300 photographs with two threads in one process and
with `--workers 2`, one thread each, in turn within one run. Prints the times, and the ratio of the medians (1: as fast).

usage: worker_processes.py [--rounds N] [--samples N]
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import model_data  # noqa: E402

AMCT = ROOT / "build/bin/amct"
WAYS = {"one process, two threads": [], "two processes": ["--workers", "2"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    item = model_data.model("mobilenet_v2")
    seconds = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        for _ in range(options.rounds):
            for way, settings in WAYS.items():
                start = time.perf_counter()
                subprocess.run([AMCT, "--quiet", "--threads", "2", "quantize", item.path, *model_data.data_for(item, folder),
                                "--samples", str(options.samples), "--out", f"{folder}/q", *settings], check=True,
                               stdout=subprocess.DEVNULL)
                seconds[way].append(time.perf_counter() - start)
    for way, times in seconds.items():
        print(f"{way}: {statistics.median(times):.2f} s, at best {min(times):.2f} s")
    one, two = seconds.values()
    print(f"ratio {statistics.median(one) / statistics.median(two):.2f}, of the best {min(one) / min(two):.2f}")


if __name__ == "__main__":
    main()
