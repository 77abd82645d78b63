"""How much the accuracy of a quantized network depends on the images that calibrate it: SQNR of the logits and share of equal
classes on 150 images, calibrated on several random choices of 64 others. Prints Markdown.

Differences between two builds of amct that are smaller than the spread say nothing; compare means over the same sets.

usage: calibration_sets.py [AMCT…] [--sets N]        AMCT: programs to compare, default build/bin/amct
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile

import networks

ROOT = pathlib.Path(__file__).resolve().parents[1]


def amct(program, *arguments):
    done = subprocess.run([program, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def folder_of(images, folder):
    folder.mkdir()
    for image in images:
        (folder / image.name).symlink_to(image.resolve())
    return folder


def measure(program, network, calibration, others, work):
    amct(program, "quantize", network.path, "--data", calibration, "--preprocess", network.preprocess, "--out", work / "q",
         "--emit", "fake")
    result = amct(program, "compare", network.path, work / "q_fake_quant_model.onnx", "--data", others, "--preprocess",
                  network.preprocess, "--layers", 0)
    return result["logit_sqnr_db"], result["same_class"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", type=pathlib.Path, default=[ROOT / "build/bin/amct"])
    parser.add_argument("--sets", type=int, default=6)
    arguments = parser.parse_args()
    images = [image for image, _ in networks.imagenet_images()]
    print("\n| network | program | SQNR dB, mean | of each set | same class %, mean |\n|---|---|---|---|---|")
    for network in networks.NETWORKS[:2]:
        for program in arguments.programs:
            results = []
            for seed in range(arguments.sets):
                with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
                    work = pathlib.Path(folder)
                    chosen = random.Random(seed).sample(images, 64)
                    others = [image for image in images if image not in chosen][:150]
                    results.append(measure(program, network, folder_of(chosen, work / "calibration"),
                                           folder_of(others, work / "others"), work))
            sqnr, same = zip(*results)
            print(f"| {network.name} | {program.name} | {statistics.mean(sqnr):.2f} | {' '.join(f'{s:.2f}' for s in sqnr)} | "
                  f"{statistics.mean(same):.1f} |", flush=True)


if __name__ == "__main__":
    main()
