"""Real models run by `amct run` against ONNX Runtime on random input: 1e-4 of the output's range."""

import sys

import numpy as np

from support.assets import assets_or_exit
from support.measures import part_of_range
from support.model_data import RATES, random_feeds
from support.onnx_runtime import session
from support.program import run_model

SEED = 20240921
TOLERANCE = 1e-4
SIGMOID = 1e-7  # what ONNX Runtime's is off near 0, where a probability has next to no range


def check(model, random):
    """Fault of one model as text, or None."""
    runner, worst = session(model), 0.0
    takes_rate = any(item.name == "sr" for item in runner.get_inputs())
    for rate in RATES if takes_rate else RATES[:1]:
        feeds = random_feeds(runner, random, batch=3, rate=rate)
        try:
            outputs = run_model(model, feeds)
        except RuntimeError as error:
            return str(error)
        for item, expected in zip(runner.get_outputs(), runner.run(None, feeds)):
            ours = outputs[item.name]
            if ours.shape != expected.shape or ours.dtype != expected.dtype:
                return f"{item.name}: {ours.dtype} {ours.shape} instead of {expected.dtype} {expected.shape}"
            if np.abs(ours - expected).max() > SIGMOID:
                worst = max(worst, part_of_range(expected, ours))
    print(f"{model.stem}: {worst:.1e} of the range")
    return None if worst <= TOLERANCE else f"{worst:.1e} of the output's range"


def main():
    random = np.random.default_rng(SEED)
    models = sorted((assets_or_exit() / "onnx").glob("*.onnx"))
    faults = {model.stem: check(model, random) for model in models}
    for model, fault in faults.items():
        if fault:
            print(f"{model}: {fault}")
    sys.exit(1 if not models or any(faults.values()) else 0)


if __name__ == "__main__":
    main()
