"""Models that are large rather than deep: time of `amct inspect`, time and peak memory of `amct quantize`.

A stack of matrix products with random weights, as one file and with external data. Of the peak, pages of the mapped model
are one part, which the system may take back at any time, and what the program allocated the other. Prints Markdown; the
files (up to the given size, three times) lie in a temporary folder and are removed at the end.

usage: large_models.py [MEGABYTES...]     default: 500 2200
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from measure import measured

ROOT = pathlib.Path(__file__).resolve().parents[1]
AMCT = ROOT / "build/bin/amct"
WIDTH = 4096  # 64 MiB a matrix


def write_model(path, megabytes, external):
    """Matrices are written one by one, so that this needs no more memory than one of them."""
    count = max(1, round(megabytes * 1e6 / (4 * WIDTH * WIDTH)))
    random = np.random.default_rng(1)
    model = onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    graph = model.graph
    graph.name = "stack"
    graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH]))
    graph.output.append(helper.make_tensor_value_info(f"y{count - 1}", TensorProto.FLOAT, [1, WIDTH]))
    data = path.with_name(path.name + ".data")
    with open(data, "wb") as file:
        for i in range(count):
            graph.node.append(helper.make_node("MatMul", ["x" if i == 0 else f"y{i - 1}", f"w{i}"], [f"y{i}"], f"matmul{i}"))
            weight = random.standard_normal((WIDTH, WIDTH), np.float32) / np.sqrt(np.float32(WIDTH))
            if not external:
                graph.initializer.append(numpy_helper.from_array(weight, f"w{i}"))
                continue
            tensor = graph.initializer.add(name=f"w{i}", data_type=TensorProto.FLOAT, dims=weight.shape, data_location=1)
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", weight.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            file.write(weight)
    path.write_bytes(model.SerializeToString())
    if not external:
        data.unlink()
    return count * 4 * WIDTH * WIDTH


def timed(*command):
    return measured(AMCT, "-q", *command)


def main():
    sizes = [int(text) for text in sys.argv[1:]] or [500, 2200]
    print("| weights MB | stored | inspect s | inspect peak MB | quantize s | quantize peak MB | / weights | of it own MB | / weights |")
    print("|---|---|---|---|---|---|---|---|---|")
    for megabytes in sizes:
        for external in (False, True):
            if not external and megabytes > 2000:
                continue  # beyond what one protobuf file can hold
            with tempfile.TemporaryDirectory(prefix="amct-large-") as folder:
                work = pathlib.Path(folder)
                weights = write_model(work / "large.onnx", megabytes, external)
                np.save(work / "samples.npy", np.random.default_rng(2).standard_normal((4, WIDTH), np.float32))
                timed("inspect", work / "large.onnx")  # brings the file into the page cache
                inspect = timed("inspect", work / "large.onnx")
                quantize = timed("quantize", work / "large.onnx", "--data", work / "samples.npy", "--out", work / "out")
                print(f"| {weights / 1e6:.0f} | {'external data' if external else 'one file'} | {inspect['seconds']:.2f} | "
                      f"{inspect['peak_mb']:.0f} | {quantize['seconds']:.1f} | {quantize['peak_mb']:.0f} | "
                      f"{quantize['peak_mb'] * 1.048576e6 / weights:.2f} | {quantize['own_mb']:.0f} | "
                      f"{quantize['own_mb'] * 1.048576e6 / weights:.2f} |", flush=True)


main()
