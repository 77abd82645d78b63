"""What backend_tests.py lists as wrong data is contradicted by ONNX Runtime too.

usage: wrong_data.py [--reference]
--reference asks the reference implementation of the installed onnx package instead; that of onnx 1.18 made the data.
Cases that the runtime cannot load (bfloat16 inputs) are counted apart.
"""

import pathlib
import sys
import tarfile
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

from conformance.backend_tests import WRONG_DATA
from support.assets import assets_or_exit


def tensors(folder, stem):
    found = {}
    for path in folder.glob(f"test_data_set_0/{stem}_*.pb"):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        found[int(path.stem.rsplit("_", 1)[1])] = numpy_helper.to_array(tensor)
    return [found[i] for i in sorted(found)]


def evaluate(model, inputs, reference):
    feeds = {value.name: array for value, array in zip(model.graph.input, inputs)}
    if reference:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, feeds)
    import onnxruntime as ort

    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


def contradicts(results, stored):
    def same(a, b):
        return a.shape == b.shape and np.allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-3, atol=1e-5)

    return not all(same(a, b) for a, b in zip(results, stored))


def main():
    reference = "--reference" in sys.argv
    confirmed, unknown, denied = [], [], []
    with tempfile.TemporaryDirectory() as root:
        with tarfile.open(assets_or_exit() / "conformance" / "onnx-backend-data-1.18.tar.gz") as archive:
            archive.extractall(root)
        for path in sorted(pathlib.Path(root).rglob("model.onnx")):
            name = f"{path.parent.parent.name}/{path.parent.name}"
            if name not in WRONG_DATA:
                continue
            model = onnx.load(str(path))
            if any(v.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for v in model.graph.output):
                unknown.append(name)
                continue
            found = contradicts(evaluate(model, tensors(path.parent, "input"), reference), tensors(path.parent, "output"))
            (confirmed if found else denied).append(name)
    for name in denied:
        print(f"FAILED {name}: its data is confirmed")
    print(f"{len(confirmed)} cases are contradicted, {len(denied)} confirmed, {len(unknown)} cannot be asked")
    assert confirmed, "no case was asked"
    sys.exit(1 if denied else 0)


if __name__ == "__main__":
    main()
