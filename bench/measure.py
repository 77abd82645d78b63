"""Runs one command and prints its wall seconds, peak resident MB and standard output as JSON.

A small process of its own: the peak that the system reports for a child includes what its parent had when it forked.

usage: measure.py COMMAND [ARGUMENT...]
"""

import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
output = process.stdout.read().decode()
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
print(json.dumps({"status": status, "seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "output": output}))
