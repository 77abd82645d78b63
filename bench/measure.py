"""Runs one command and prints its wall and processor seconds, peak resident MB, how many of them were its own rather than
pages of mapped files (looked at every 5 ms), and standard output as JSON.

A small process of its own: the peak that the system reports for a child includes what its parent had when it forked.

usage: measure.py COMMAND [ARGUMENT...]
"""

import json
import os
import subprocess
import sys
import threading
import time


def watch(pid, peak):
    """The largest RssAnon until the process ends."""
    while True:
        try:
            with open(f"/proc/{pid}/status") as file:
                anonymous = [int(line.split()[1]) for line in file if line.startswith("RssAnon")]
        except OSError:
            return
        if not anonymous:
            return
        peak[0] = max(peak[0], anonymous[0])
        time.sleep(0.005)


def measured(*command):
    """What main() prints of a command; ends the program where the command fails."""
    done = subprocess.run([sys.executable, __file__, *map(str, command)], check=True, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    if result["status"]:
        raise SystemExit(f"failed: {' '.join(map(str, command[:4]))} …")
    return result


def main():
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = [0]
    threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    print(json.dumps({"status": status, "seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                      "peak_mb": usage.ru_maxrss / 1024, "own_mb": peak[0] / 1024, "output": output}))


if __name__ == "__main__":
    main()
