"""The float forward pass: amct against ONNX Runtime, in turn within one run. Prints Markdown.

Each engine runs the network a few times, then the other, again and again; the median of each is taken. ONNX Runtime has all
optimizations on. Samples a second with two cores: amct runs one single-threaded program per core; ONNX Runtime two threads in
one session, or two sessions of one thread; each at batch 1 and 8, the best counts.

usage: float_speed.py [NETWORK…] [--rounds N] [--batch 1,8] [--threads 1,2] [--throughput NETWORK,…]
Networks by file name without .onnx; default all. --throughput: for which of them samples a second are measured; default all, "" none.
"""

import argparse
import dataclasses
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import onnx

import networks
from support.assets import ASSETS, ROOT
from support.onnx_runtime import session
from tables import row

DRIVER = ROOT / "build/bin/float_speed"
MADE = ROOT / "build/bench-networks"
TURN = 0.1  # seconds that an engine runs before it is the other's turn
LONG_TURN = 0.5  # where whole samples are shared out, of which a short turn has too few to share evenly
PAUSE = 0.15  # until the idle threads of the one stop spinning; with 0.02 they slowed the other's two threads by half
EXTENTS = {"sequence": 512, "seq": 64, "T": 64}  # of open axes that are not the batch, by name


class Ours:
    """amct in a process of its own, which runs when told to."""

    def __init__(self, path, inputs, work, threads=1, workers=1):
        files = []
        for index, x in enumerate(inputs.values()):
            files.append(work / f"input{index}.npy")
            np.save(files[-1], x)
        command = [DRIVER, path, str(threads), str(workers), work / "output.npy", *files]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().strip()
        if answer != "ready":
            raise RuntimeError(answer or "amct ended")
        self.output = np.load(work / "output.npy")

    def seconds(self, times):
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer[:1].isdigit():
            raise RuntimeError(answer.strip() or "amct ended")
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """ONNX Runtime: `workers` sessions of `threads` threads."""

    def __init__(self, path, inputs, threads=1, workers=1):
        self.inputs = inputs
        self.sessions = [session(path, threads=threads) for _ in range(workers)]
        self.output = self.sessions[0].run(None, inputs)[0]

    def seconds(self, times):
        def work(runner):
            for _ in range(times):
                runner.run(None, self.inputs)

        others = [threading.Thread(target=work, args=(s,)) for s in self.sessions[1:]]
        start = time.perf_counter()
        for thread in others:
            thread.start()
        work(self.sessions[0])
        for thread in others:
            thread.join()
        return time.perf_counter() - start


def compare(ours, theirs, rounds, turn=TURN):
    """Seconds of one run of each, and the ratio: medians over rounds of which each has both."""
    counts = []
    for engine in (ours, theirs):
        engine.seconds(1)
        counts.append(max(1, round(turn / max(engine.seconds(1), 1e-6))))
    pairs = []
    for _ in range(rounds):
        pair = []
        for engine, count in zip((ours, theirs), counts):
            pair.append(engine.seconds(count) / count)
            time.sleep(PAUSE)
        pairs.append(pair)
    return *map(statistics.median, zip(*pairs)), statistics.median(a / b for a, b in pairs)


@dataclasses.dataclass
class Network:
    path: pathlib.Path

    def inputs(self, batch):
        """Random inputs, by name; the first open or leading axis of a single input is the batch."""
        random = np.random.default_rng(3)
        result = {}
        initialized = {t.name for t in self.graph.initializer}
        for value in self.graph.input:
            if value.name in initialized:
                continue
            tensor = value.type.tensor_type
            dims = [d.dim_value or EXTENTS.get(d.dim_param, batch) for d in tensor.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            if value.name == "sr":
                result[value.name] = np.array(16000, dtype)
            elif np.issubdtype(dtype, np.integer):
                result[value.name] = random.integers(0, 256, dims).astype(dtype)
            else:
                result[value.name] = random.standard_normal(dims).astype(dtype)
        return result

    @property
    def graph(self):
        return onnx.load(str(self.path)).graph

    def opened(self, work):
        """The network with an open batch axis: itself, or a copy; None where its own shapes fix the batch."""
        model = onnx.load(str(self.path))
        initialized = {t.name for t in model.graph.initializer}
        inputs = [v for v in model.graph.input if v.name not in initialized]
        if len(inputs) > 1 or not inputs[0].type.tensor_type.shape.dim:
            return None
        if not inputs[0].type.tensor_type.shape.dim[0].dim_value:
            return self
        target = work / f"{self.path.stem}_open.onnx"
        networks.open_batch(self.path, target)
        try:
            opened = Network(target)
            if len(Theirs(target, opened.inputs(8)).output) == 8:
                return opened
        except Exception:  # reshapes to constant extents
            pass
        return None


def all_networks(names):
    if not MADE.exists():
        subprocess.run([sys.executable, ROOT / "bench/make_networks.py", MADE], check=True, stdout=subprocess.DEVNULL)
    paths = [*MADE.glob("*.onnx"), *(ASSETS / "onnx").glob("*.onnx"), *(ASSETS / "llm").glob("*.onnx")]
    found = {p.stem: Network(p) for p in sorted(paths, key=lambda p: p.stem)}
    unknown = [n for n in names if n not in found]
    if unknown:
        raise SystemExit(f"no such network: {', '.join(unknown)}; known: {', '.join(found)}")
    return [found[n] for n in names] if names else list(found.values())


def check(ours, theirs):
    """Raises if the engines disagree: a wrong answer has no speed."""
    scale = np.abs(theirs.output).max() or 1
    error = np.abs(ours.output.astype(np.float64) - theirs.output).max() / scale
    if not error < 1e-3:
        raise RuntimeError(f"differs from ONNX Runtime by {error:.1e} of the range")


def measure(network, batch, threads, rounds, work):
    inputs = network.inputs(batch)
    theirs = Theirs(network.path, inputs, threads)
    ours = Ours(network.path, inputs, work, threads)
    try:
        check(ours, theirs)
        return compare(ours, theirs, rounds)
    finally:
        ours.close()


def throughput(network, rounds, work):
    """Samples a second with two cores: ours, theirs, the names of the best modes."""
    opened = network.opened(work)
    ours, theirs = {}, {}
    for batch in [1, 8] if opened else [1]:
        path, inputs = (opened or network).path, (opened or network).inputs(batch)
        mine = Ours(path, inputs, work, workers=2)
        try:
            for threads, sessions in ((2, 1), (1, 2)):
                seconds, other, _ = compare(mine, Theirs(path, inputs, threads, sessions), rounds, LONG_TURN)
                ours.setdefault(f"batch {batch}", []).append(2 * batch / seconds)
                theirs[f"{sessions} x {threads} threads, batch {batch}"] = sessions * batch / other
        finally:
            mine.close()
    ours = {mode: max(rates) for mode, rates in ours.items()}
    best, their_best = max(ours, key=ours.get), max(theirs, key=theirs.get)
    return ours[best], best, theirs[their_best], their_best


def reason_of(error):
    return f"not run: {str(error).splitlines()[0][:60]}"


def latency_table(chosen, arguments, work):
    print("\n| network | batch |" + "".join(f" {t} thread{'s' * (t > 1)}: ONNX Runtime ms | amct ms | ratio |"
                                            for t in arguments.threads))
    print("|---|---|" + "---|---|---|" * len(arguments.threads))
    for network in chosen:
        for batch in arguments.batch:
            opened = network if batch == 1 else network.opened(work)
            if opened is None:
                continue
            cells = []
            for threads in arguments.threads:
                try:
                    mine, other, ratio = measure(opened, batch, threads, arguments.rounds, work)
                    cells += [f"{1000 * other:.2f}", f"{1000 * mine:.2f}", f"{ratio:.2f}"]
                except Exception as error:
                    cells += [reason_of(error), "", ""]
            row(network.path.stem, str(batch), *cells)


def throughput_table(chosen, arguments, work):
    print("\n| network | samples/s with two cores: amct | at | ONNX Runtime | at (sessions x threads) | amct / ONNX Runtime |\n"
          "|---|---|---|---|---|---|")
    for network in chosen:
        try:
            mine, mode, other, their_mode = throughput(network, arguments.rounds, work)
            row(network.path.stem, f"{mine:.1f}", mode, f"{other:.1f}", their_mode, f"{mine / other:.2f}")
        except Exception as error:
            row(network.path.stem, reason_of(error), "", "", "", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    integers = lambda text: [int(n) for n in text.split(",")]
    parser.add_argument("--batch", type=integers, default=[1, 8])
    parser.add_argument("--threads", type=integers, default=[1, 2])
    parser.add_argument("--throughput", type=lambda text: text.split(","))
    arguments = parser.parse_args()
    print("\n## Float forward pass\n\nMilliseconds of a run; ratio = amct / ONNX Runtime, below 1 is faster. "
          "Command: `scripts/python bench/float_speed.py`.")
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        chosen = all_networks(arguments.networks)
        latency_table(chosen, arguments, work)
        if arguments.throughput is not None:
            chosen = [network for network in chosen if network.path.stem in arguments.throughput]
        if chosen:
            throughput_table(chosen, arguments, work)


if __name__ == "__main__":
    main()
