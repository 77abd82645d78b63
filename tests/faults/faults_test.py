"""One `amct quantize` with the n-th call that opens, writes, renames, maps or allocates failing, for every n: a clear
one-line error or a result that is complete and the same; never a crash, a hang or a half-written output.

  faults_test.py PRELOAD_LIBRARY [--every]

Every day n is thinned out to at most CASES per kind; --every takes all (of small allocations MOST, evenly spread).
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from support.command_test import SEED, small_network
from support.program import AMCT

KINDS = {  # name -> what AMCT_FAULT is, with the number of the call in place of {}, and --threads
    "files": ("files:{}", 1),
    "memory from 4 KB": ("memory:{}:4096", 1),
    "memory from 64 bytes": ("memory:{}:64", 1),
    "all memory": ("memory:{}:0", 1),
    "memory with threads": ("memory:{}:1024", 3),
    "threads": ("threads:{}", 3),
}
FEWEST = 3  # calls of each kind in one quantize
CASES = 60  # of each kind, every day
MOST = {"memory from 64 bytes": 4000, "all memory": 4000}
SECONDS = 60


class Quantization:
    def __init__(self, library, work):
        self.library = library
        self.work = work
        self.model = work / "small.onnx"
        self.data = work / "data.npy"
        small_network(self.model)
        np.save(self.data, np.random.default_rng(SEED).normal(0, 1, (3, 3, 12, 10)).astype(np.float32))

    def run(self, folder, fault, threads, environment=None):
        preload = {"LD_PRELOAD": str(self.library), "AMCT_FAULT": fault, "OMP_NUM_THREADS": "1", **(environment or {})}
        return subprocess.run([AMCT, "--threads", str(threads), "quantize", self.model, "--data", self.data, "--out",
                               folder / "small"], capture_output=True, text=True, errors="replace", timeout=SECONDS,
                              env={**os.environ, **preload})

    def calls(self, fault, threads):
        count = self.work / "count"
        folder = self.work / "counted"
        folder.mkdir(exist_ok=True)
        result = self.run(folder, fault.format(0), threads, {"AMCT_FAULT_COUNT": str(count)})
        assert result.returncode == 0, result.stderr
        return int(count.read_text())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check(quantization, fault, threads, expected):
    """"" or what is wrong; and whether the program succeeded."""
    with tempfile.TemporaryDirectory(dir=quantization.work) as name:
        folder = pathlib.Path(name)
        old = folder / "small_qdq.onnx"
        old.write_bytes(b"old")  # an earlier result stays as it is, or is replaced together with all the rest
        try:
            result = quantization.run(folder, fault, threads)
        except subprocess.TimeoutExpired:
            return "hangs", False
        written = contents(folder)
        complete = written == expected
        untouched = written == {"small_qdq.onnx": b"old"}
        if result.returncode == 0:
            return ("" if complete else f"succeeds, but wrote {sorted(written)}"), True
        if result.returncode not in (1, 2):
            return f"ends with {result.returncode}: {result.stderr.strip()[-300:]}", False
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        if not lines or len(lines[-1]) < 20 or ("error" not in lines[-1] and "libgomp" not in lines[-1]):
            return f"no clear error: {result.stderr.strip()[-300:]!r}", False
        if not (complete or untouched):
            return f"left {sorted(written)} with: {lines[-1]}", False
        return "", False


def main():
    library, every = pathlib.Path(sys.argv[1]), "--every" in sys.argv
    failed = False
    with tempfile.TemporaryDirectory() as name:
        quantization = Quantization(library, pathlib.Path(name))
        for kind, (fault, threads) in KINDS.items():
            count = quantization.calls(fault, threads)
            if count < FEWEST:
                sys.exit(f"{kind}: only {count} calls are seen: the library is not preloaded, or lacks a function")
            expected = contents(quantization.work / "counted")
            most = MOST.get(kind, count) if every else CASES
            # From a start that changes with the number of calls, so that changes of the program move the cases.
            cases = range(1 + count % max(1, -(-count // most)), count + 1, max(1, -(-count // most)))
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                results = list(pool.map(lambda n: check(quantization, fault.format(n), threads, expected), cases))
            wrong = [(n, what) for n, (what, _) in zip(cases, results) if what]
            harmless = sum(succeeded for _, succeeded in results)
            print(f"{kind}: {count} calls, {len(cases)} made to fail, {len(cases) - harmless - len(wrong)} clear errors, "
                  f"{harmless} harmless, {len(wrong)} wrong", flush=True)
            for n, what in wrong[:20]:
                print(f"  {fault.format(n)}: {what}")
            failed = failed or bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
