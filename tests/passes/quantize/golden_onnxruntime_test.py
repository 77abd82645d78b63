"""Fake-quant files that we make from AMCT's factors, run by ONNX Runtime, give AMCT's recorded outputs; and AMCT's deploy
models, executed in integers, give what ONNX Runtime computes for its fake-quant models as they are written (with its optimizer
off: folding scales into convolutions rounds otherwise).

usage: golden_onnxruntime_test.py QUANT_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from support.assets import assets_or_exit
from support.onnx_runtime import run_plainly, session

IMAGES = {
    "mobilenet_v1_025": ("x4", lambda x: x / np.float32(127.5) - 1),
    "resnet8_cifar10": ("calib_u8_nhwc", lambda x: x / np.float32(255)),
}
SETTINGS = ["default", "sym_hfmg", "int16all", "w6", "w4all"]


def check_images(tool, golden, folder):
    faults = 0
    for name, (key, preprocess) in IMAGES.items():
        pixels = np.load(golden / f"{name}_io.npz")[key][:4]
        worst = 0
        for i in range(len(pixels)):
            x = np.ascontiguousarray(preprocess(pixels[i:i + 1].astype(np.float32)).transpose(0, 3, 1, 2))
            np.save(folder / "x.npy", x)
            subprocess.run([tool, "run", golden / f"{name}_deploy_model.onnx", folder / "x.npy", folder / "y.npy"], check=True)
            expected = run_plainly(golden / f"{name}_fake_quant_model.onnx", {"input": x})[0]
            worst = max(worst, np.abs(np.load(folder / "y.npy") - expected).max())
        print(f"{name}: integers against ONNX Runtime on the fake-quant model: largest difference {worst:.2e}")
        faults += not worst <= 1e-6
    return faults


def main():
    tool = sys.argv[1]
    golden = assets_or_exit() / "golden/models"
    faults = 0
    for name in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            deploy, fake = pathlib.Path(folder) / "deploy.onnx", pathlib.Path(folder) / "fake.onnx"
            record = golden / f"tiny7_{name}_record.txt"
            subprocess.run([tool, "golden", golden / "tiny7_float.onnx", record, deploy, fake], check=True)
            onnx.checker.check_model(onnx.load(fake), full_check=True)
            io = np.load(golden / f"tiny7_{name}_io.npz")
            ours = [n.op_type for n in onnx.load(deploy).graph.node]
            theirs = [n.op_type for n in onnx.load(golden / f"tiny7_{name}_deploy.onnx").graph.node]
            worst = max(np.abs(session(fake).run(None, {"input": io[f"x{i}"]})[0] - io[f"fake_quant{i}"]).max() for i in range(2))
            good = worst <= 1e-5 and ours == theirs
            print(f"{name}: largest difference {worst:.2e}, {'the same' if ours == theirs else 'another'} structure")
            faults += not good
    with tempfile.TemporaryDirectory() as folder:
        faults += check_images(tool, golden, pathlib.Path(folder))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
