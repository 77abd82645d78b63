"""Networks with recurrent layers through the program: the same numbers as ONNX Runtime, layers quantized or named as float.

Small networks of our own, and of the assets those with LSTM, whose states go back in as inputs.
"""

import json
import unittest

import numpy as np

from support.assets import needs_assets
from support.command_test import CommandTest
from support.measures import part_of_range, sqnr
from support.onnx_runtime import session
from support.program import run_model
from support.recurrent import BANDS, FRAMES, bare_layer, features, keyword_network


class RecurrentTest(CommandTest):
    def assert_same(self, model, feeds, tolerance=1e-4):
        """The outputs of both, which differ by less than `tolerance` of their range."""
        ours, run = run_model(model, feeds), session(model)
        theirs = dict(zip((o.name for o in run.get_outputs()), run.run(None, feeds)))
        for name, array in theirs.items():
            self.assertEqual(ours[name].shape, array.shape)
            self.assertLess(part_of_range(array, ours[name]), tolerance, f"{model.name} {name}")
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
        layers = {layer["name"]: layer for layer in self.run_json("inspect", model)["layers"]}
        self.assertEqual(layers["recurrent0"]["macs"], FRAMES * 3 * 20 * (BANDS + 20))

    def test_version_1_says_whether_the_sequence_is_wanted(self):
        x = features(3).transpose(1, 0, 2)
        for kind in ("LSTM", "GRU", "RNN"):
            with self.subTest(kind):
                for name, opset, attributes in (("new", 7, {}), ("old", 6, {"output_sequence": 1})):
                    bare_layer(self.work / f"{name}.onnx", kind, "N", BANDS, 13, FRAMES, bias=False, opset=opset, ir_version=3,
                               **attributes)
                expected = self.assert_same(self.work / "new.onnx", {"x": x}, 1e-5)["y"]
                np.testing.assert_allclose(run_model(self.work / "old.onnx", {"x": x})["y"], expected, rtol=1e-4, atol=1e-6)

    def quantized(self, kind, **options):
        model, data = self.work / f"{kind}.onnx", self.work / "data.npy"
        keyword_network(model, kind, **options)
        np.save(data, features(32))
        result = self.run_amct("quantize", model, "--data", data, "--out", self.work / "q")
        return model, data, result.stdout + result.stderr, self.plan("q")

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
                compared = self.run_json("compare", model, self.work / "q_fake_quant_model.onnx", "--data", data)
                self.assertIn("dense", [layer["name"] for layer in compared["layers"]])
                for layer in compared["layers"]:  # none in units of the integers
                    self.assertGreater(layer["sqnr_db"] or 99, 15, layer["name"])

    def test_a_plan_that_asks_for_more_is_answered(self):
        model, data, _, plan = self.quantized("LSTM")
        plan["layers"][0]["quantize"] = True
        asked = self.work / "asked.json"
        asked.write_text(json.dumps(plan))
        result = self.run_amct("quantize", model, "--data", data, "--config", asked, "--out", self.work / "again")
        self.assertIn("recurrent0 stays float: it has no initial_h", result.stdout + result.stderr)

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
        self.run_amct("quantize", folder / "dtln_1.onnx", "--data", data, "--out", self.work / "q")
        self.assertEqual({name: layer["quantize"] for name, layer in self.layers("q").items()},
                         {"lstm_4": True, "lstm_5": True, "dense_2": True})
        frames = np.load(data / "frames.npz")
        float_run, run = session(folder / "dtln_1.onnx"), session(self.work / "q_qdq.onnx")
        expected, got = ([s.run(None, {key: frames[key][i:i + 1] for key in frames})[0] for i in range(32)]
                         for s in (float_run, run))
        self.assertGreater(sqnr(expected, got), 30)


if __name__ == "__main__":
    unittest.main()
