"""Networks with recurrent layers through the program: the same numbers as ONNX Runtime, layers quantized or named as float.

Small networks of our own, and of the assets those with LSTM, whose states go back in as inputs.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from support.assets import needs_assets
from support.recurrent_networks import FEATURES, GATES, STEPS, features, keyword_network

AMCT = os.environ["AMCT_PROGRAM"]


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def layer(path, kind, opset, **attributes):
    """One layer of 13 hidden units alone."""
    rng = np.random.default_rng(6)
    rows = GATES[kind] * 13
    tensors = [numpy_helper.from_array(rng.uniform(-0.3, 0.3, dims).astype(np.float32), name)
               for name, dims in (("w", (1, rows, FEATURES)), ("r", (1, rows, 13)))]
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=13, **attributes)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
              for name, dims in (("x", [STEPS, "N", FEATURES]), *((t.name, list(t.dims)) for t in tensors), ("y", None))]
    graph = helper.make_graph([node], "layer", values[:-1], values[-1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3), str(path))


class RecurrentTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name)

    def amct(self, *arguments):
        result = subprocess.run([AMCT, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 0, f"{arguments}\n{result.stdout}\n{result.stderr}")
        return result.stdout + result.stderr

    def run_ours(self, model, feeds):
        arguments = []
        for name, array in feeds.items():
            np.save(self.work / f"{name}.npy", array)
            arguments += ["--input", f"{name}={self.work / name}.npy"]
        self.amct("run", model, *arguments, "--out", self.work / "out")
        return {p.stem: np.load(p) for p in (self.work / "out").glob("*.npy")}

    def assert_same(self, model, feeds, tolerance=1e-4):
        """The outputs of both, which differ by less than `tolerance` of their range."""
        ours, run = self.run_ours(model, feeds), session(model)
        theirs = dict(zip((o.name for o in run.get_outputs()), run.run(None, feeds)))
        for name, array in theirs.items():
            span = np.ptp(array) or np.abs(array).max()
            self.assertEqual(ours[name].shape, array.shape)
            self.assertLess(np.abs(ours[name] - array).max(), tolerance * span, f"{model.name} {name}")
        return theirs

    def test_own_networks_run_as_in_onnx_runtime(self):
        for index, (kind, options) in enumerate([
                ("LSTM", {}), ("LSTM", {"direction": "bidirectional", "layers": 2, "hidden": 19}), ("LSTM", {"opset": 17}),
                ("GRU", {"linear_before_reset": 1}), ("GRU", {"direction": "reverse", "opset": 9}),
                ("RNN", {"direction": "bidirectional", "opset": 22})]):
            with self.subTest(kind=kind, **options):
                model = self.work / f"{kind}{index}.onnx"
                keyword_network(model, kind, seed=index, **options)
                for samples in (1, 5):
                    self.assert_same(model, {"features": features(samples, seed=samples)}, 1e-5)

    def test_multiplications_are_counted_where_time_goes_first(self):
        model = self.work / "net.onnx"
        keyword_network(model, "GRU", hidden=20)
        layers = {layer["name"]: layer for layer in json.loads(self.amct("inspect", model, "--json"))["layers"]}
        self.assertEqual(layers["recurrent0"]["macs"], STEPS * 3 * 20 * (FEATURES + 20))

    def test_version_1_says_whether_the_sequence_is_wanted(self):
        x = features(3).transpose(1, 0, 2)
        for kind in ("LSTM", "GRU", "RNN"):
            with self.subTest(kind):
                layer(self.work / "new.onnx", kind, 7)
                layer(self.work / "old.onnx", kind, 6, output_sequence=1)
                expected = self.assert_same(self.work / "new.onnx", {"x": x}, 1e-5)["y"]
                np.testing.assert_allclose(self.run_ours(self.work / "old.onnx", {"x": x})["y"], expected, rtol=1e-4, atol=1e-6)

    def quantized(self, kind, **options):
        model, data = self.work / f"{kind}.onnx", self.work / "data.npy"
        keyword_network(model, kind, **options)
        np.save(data, features(32))
        said = self.amct("quantize", model, "--data", data, "--out", self.work / "q")
        return model, data, said, json.loads((self.work / "q_plan.json").read_text())

    def test_dense_layers_are_quantized_and_recurrent_ones_named(self):
        for kind in ("LSTM", "GRU"):
            with self.subTest(kind=kind):
                model, data, said, plan = self.quantized(kind)
                layers = {layer["name"]: layer for layer in plan["layers"]}
                self.assertEqual(set(layers), {"recurrent0", "dense", "out"})
                self.assertFalse(layers["recurrent0"]["quantize"])
                expected = "it has no initial_h, which must be fed from an input of the model"
                if kind == "GRU":
                    expected = "linear_before_reset is 0; " + expected
                else:
                    expected += "; it has no initial_c, which must be fed from an input of the model; its output y_c is absent"
                self.assertEqual(layers["recurrent0"]["reason"], expected)
                self.assertIn(f"recurrent0 stays float: {expected}", said)
                self.assertTrue(layers["dense"]["quantize"] and layers["out"]["quantize"])
                self.assertIn("2 of 3 layers", said)
                self.assertIn("recurrent0", said)
                x = features(64, seed=9)
                expected = session(model).run(None, {"features": x})[0]
                for name in ("q_qdq.onnx", "q_fake_quant_model.onnx"):
                    got = session(self.work / name).run(None, {"features": x})[0]
                    self.assertGreater(np.mean(got.argmax(1) == expected.argmax(1)), 0.9, name)
                    self.assertLess(np.abs(got - expected).max(), 0.1 * np.ptp(expected), name)
                self.assert_same(self.work / "q_fake_quant_model.onnx", {"features": x[:3]}, 0.02)
                compared = json.loads(self.amct("compare", model, self.work / "q_fake_quant_model.onnx", "--data", data,
                                                "--json"))
                self.assertIn("dense", [layer["name"] for layer in compared["layers"]])
                for layer in compared["layers"]:  # none in units of the integers
                    self.assertGreater(layer["sqnr_db"] or 99, 15, layer["name"])

    def test_a_plan_that_asks_for_more_is_answered(self):
        model, data, _, plan = self.quantized("LSTM")
        plan["layers"][0]["quantize"] = True
        asked = self.work / "asked.json"
        asked.write_text(json.dumps(plan))
        said = self.amct("quantize", model, "--data", data, "--config", asked, "--out", self.work / "again")
        self.assertIn("recurrent0 stays float: it has no initial_h", said)

    def test_assets_run_as_in_onnx_runtime_with_their_states(self):
        folder = needs_assets(self) / "onnx"
        rng = np.random.default_rng(4)
        models = {"dtln_1": ({"input_2": (1, 1, 257)}, {"input_3": ("tf_op_layer_stack_2", (1, 2, 128, 2))}),
                  "silero_vad_openvino_16k": ({"input": (1, 576)}, {"state": ("stateN", (2, 1, 128))})}
        for name, (inputs, states) in models.items():
            with self.subTest(name):
                feeds = {state: np.zeros(dims, np.float32) for state, (_, dims) in states.items()}
                for _ in range(5):
                    feeds |= {key: rng.normal(0, 0.3, dims).astype(np.float32) for key, dims in inputs.items()}
                    outputs = self.assert_same(folder / f"{name}.onnx", feeds)
                    feeds |= {state: outputs[output] for state, (output, _) in states.items()}

    def test_dtln_is_quantized_with_its_lstms(self):
        folder = needs_assets(self) / "onnx"
        rng = np.random.default_rng(5)
        data = self.work / "data"
        data.mkdir()
        np.savez(data / "frames.npz", input_2=np.abs(rng.normal(0, 1, (32, 1, 257))).astype(np.float32),
                 input_3=rng.normal(0, 0.3, (32, 2, 128, 2)).astype(np.float32))
        self.amct("quantize", folder / "dtln_1.onnx", "--data", data, "--out", self.work / "q")
        layers = {layer["name"]: layer for layer in json.loads((self.work / "q_plan.json").read_text())["layers"]}
        self.assertEqual({name: layer["quantize"] for name, layer in layers.items()},
                         {"lstm_4": True, "lstm_5": True, "dense_2": True})
        frames = np.load(data / "frames.npz")
        float_run, run = session(folder / "dtln_1.onnx"), session(self.work / "q_qdq.onnx")
        pairs = [[s.run(None, {key: frames[key][i:i + 1] for key in frames})[0] for s in (float_run, run)] for i in range(32)]
        error = sum(((a - b)**2).sum() for a, b in pairs) / sum((a**2).sum() for a, _ in pairs)
        self.assertLess(error, 1e-3)


if __name__ == "__main__":
    unittest.main()
