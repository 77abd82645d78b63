"""What quantization costs on real networks, with the program's defaults and 64 calibration images.

The bounds stand a little below what was measured (docs/benchmarks.md); the best of the tools that do not optimise weights
reach 13.3, 19.4 and 23.7 dB on the same networks and images.
"""

import pathlib
import sys
import tempfile

from support.assets import assets_or_exit
from support.model_data import cifar_images
from support.program import amct, amct_json

# network, preprocessing, least SQNR of the fake-quant and of the QDQ model in dB, least share of equal classes in percent
NETWORKS = [
    ("mobilenet_v1_025.onnx", "imagenet-tf", 19.5, 19.5, 87),
    ("mobilenet_v2.onnx", "imagenet", 21.0, 20.5, 95),
    ("resnet8_cifar10.onnx", "cifar", 29.0, 27.0, 96),
]


def photographs(folder, images):
    folder.mkdir()
    for image in images:
        (folder / image.name).symlink_to(image.resolve())
    return folder


def data_of(network, assets, work):
    """A folder to calibrate on and one that calibration does not see."""
    if network.startswith("resnet8"):
        return cifar_images(work / "train"), cifar_images(work / "test", "test_even5k", 20)
    images = sorted((assets / "datasets/imagenet300").glob("*.jpg"))
    return photographs(work / "calibration", images[:64]), photographs(work / "others", images[64:164])


def main():
    assets = assets_or_exit()
    faults = []
    for network, preprocess, fake_bound, qdq_bound, same_bound in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            calibration, others = data_of(network, assets, work)
            model = assets / "onnx" / network
            amct("quantize", model, "--data", calibration, "--preprocess", preprocess, "--out", work / "q", "--quiet")
            for suffix, bound in (("fake_quant_model", fake_bound), ("qdq", qdq_bound)):
                result = amct_json("compare", model, work / f"q_{suffix}.onnx", "--data", others, "--preprocess", preprocess,
                              "--layers", 0)
                line = (f"{network} {suffix}: SQNR {result['logit_sqnr_db']:.2f} dB (at least {bound}), same class "
                        f"{result['same_class']:.1f} % (at least {same_bound}) on {result['samples']} images")
                print(line)
                if result["logit_sqnr_db"] < bound or result["same_class"] < same_bound:
                    faults.append(line)
    for line in faults:
        print("FAILED", line)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
