"""Detectors that choose boxes themselves, and networks that end in an operator of some runtime's own: what comes before is
calibrated, compared and quantized as in any network; layers behind say why they stay float."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.command_test import SEED, CommandTest
from support.measures import sqnr
from support.models import save_model
from support.onnx_runtime import session

BEFORE = ["boxes", "scores"]


class ProgramEnds(CommandTest):
    def make(self, choose, domain=""):
        """Boxes and scores of 64 places from one convolution, those that `choose` picks, and a layer on them."""
        rng = np.random.default_rng(SEED + 7)
        node = helper.make_node
        nodes = [
            node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
            node("Sigmoid", ["c"], ["s"], "sigmoid"),
            node("Reshape", ["s", "to_places"], ["r"], "places"),
            node("Transpose", ["r"], ["t"], "turn", perm=[0, 2, 1]),
            node("Slice", ["t", "zero", "four", "last"], ["boxes"], "boxes"),
            node("Slice", ["r", "four", "five", "middle"], ["scores"], "scores"),
            node(choose, ["boxes", "scores", "most", "overlap", "least"], ["chosen"], "choose", domain=domain),
            node("Gather", ["chosen", "two"], ["which"], "which", axis=1),
            node("Gather", ["boxes", "which"], ["picked"], "pick", axis=1),
            node("MatMul", ["picked", "v"], ["y"], "refine"),
        ]
        constants = {
            "w": rng.normal(0, 0.2, (5, 3, 3, 3)), "v": rng.normal(0, 1, (4, 2)), "to_places": [1, 5, 64],
            "zero": [0], "four": [4], "five": [5], "last": [2], "middle": [1], "two": np.int64(2),
            "most": [10], "overlap": [0.5], "least": [0.4],
        }
        save_model(self.model, nodes, [("x", [1, 3, 8, 8])],
                   [("y", [1, None, 2]), ("chosen", [None, 3], TensorProto.INT64)], constants, opset=17)
        self.samples = rng.normal(0, 1, (16, 3, 8, 8)).astype(np.float32)
        np.save(self.data, self.samples)

    def quantized(self):
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "o/net")
        self.assertEqual(report["quantized"], 1)
        self.assertEqual([kept["layer"] for kept in report["kept_float"]], ["refine"])
        reason = report["kept_float"][0]["reason"]
        layers = {layer["name"]: layer for layer in self.run_json("inspect", self.model)["layers"]}
        self.assertEqual((layers["refine"]["quantizable"], layers["refine"]["reason"]), (False, reason))
        comparison = self.run_json("compare", self.model, self.work / "o/net_qdq.onnx", "--data", self.data)
        self.assertEqual([output["name"] for output in comparison["outputs"]], BEFORE)
        self.assertGreater(min(output["sqnr_db"] for output in comparison["outputs"]), 30)
        self.assertIn("conv", [layer["name"] for layer in comparison["layers"]])
        return reason, comparison

    def values_before(self, path, sample):
        """What ONNX Runtime computes of boxes and scores."""
        model = onnx.load(str(path))
        choose = next(node for node in model.graph.node if node.name == "choose")
        names = list(choose.input[:2])
        del model.graph.output[:]
        model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
        part = self.work / "part.onnx"
        onnx.save(onnx.utils.Extractor(model).extract_model(["x"], names), str(part))
        return session(part).run(None, {"x": sample[None]})

    def test_non_max_suppression(self):
        self.make("NonMaxSuppression")
        reason, comparison = self.quantized()
        self.assertEqual(reason, "its input cannot be observed: 'choose' (NonMaxSuppression) has results whose shape "
                                 "depends on the data")
        self.assertEqual({output["op"] for output in comparison["outputs"]}, {"before NonMaxSuppression"})
        for form in ("qdq", "fake_quant_model"):
            path = self.work / f"o/net_{form}.onnx"
            for sample in self.samples[:3]:
                for theirs, ours in zip(self.values_before(self.model, sample), self.values_before(path, sample)):
                    self.assertGreater(sqnr(theirs, ours), 28)
            picked, chosen = session(path).run(None, {"x": self.samples[0][None]})
            self.assertEqual(picked.shape[1], len(chosen))

    def test_inputs_behind_it(self):
        """Joint quantization leaves them alone; asked for by name they are refused."""
        self.make("NonMaxSuppression")
        model = onnx.load(str(self.model))
        model.graph.node.append(helper.make_node("Concat", ["picked", "picked"], ["twice"], "twice", axis=2))
        model.graph.node.append(helper.make_node("Add", ["boxes", "boxes"], ["sum"], "sum"))
        for name, dims in (("twice", [1, None, 8]), ("sum", [1, 64, 4])):
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        onnx.save(model, str(self.model))
        self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "o/net", "--joint")
        tensors = {tensor["tensor"] for tensor in self.plan("o/net")["tensors"]}
        self.assertEqual(tensors & {"boxes", "picked", "twice"}, {"boxes"})
        config = self.work / "quant.cfg"
        config.write_text('tensor_quantize { layer_name: "twice" input_index: 0 }\n')
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "p/net", "--config", config,
                   says=["input 0 of 'twice' cannot be quantized: its input cannot be observed: 'choose'"])

    def test_operator_of_another_domain(self):
        self.make("EfficientNMS", domain="com.example")
        reason, comparison = self.quantized()
        self.assertEqual(reason, "its input cannot be observed: 'choose' (EfficientNMS) is not supported: operator "
                                 "EfficientNMS of domain com.example is not known")
        self.assertEqual({output["op"] for output in comparison["outputs"]}, {"before EfficientNMS"})
        written = {node.name: node for node in onnx.load(str(self.work / "o/net_qdq.onnx")).graph.node}
        self.assertEqual((written["choose"].op_type, written["choose"].domain), ("EfficientNMS", "com.example"))

    def test_loop_whose_turns_the_data_decides(self):
        node, value = helper.make_node, helper.make_tensor_value_info
        body = helper.make_graph(
            [node("Identity", ["going"], ["on"]), node("Mul", ["state", "half"], ["next"]),
             node("Identity", ["next"], ["row"])], "body",
            [value("turn", TensorProto.INT64, []), value("going", TensorProto.BOOL, []), value("state", TensorProto.FLOAT, [])],
            [value("on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, []), value("row", TensorProto.FLOAT, [])])
        rng = np.random.default_rng(SEED + 8)
        save_model(self.model, [
            node("Conv", ["x", "w"], ["y"], "conv"),
            node("ReduceMax", ["y"], ["top"], "top", keepdims=0),
            node("Cast", ["top"], ["turns"], "turns", to=TensorProto.INT64),
            node("Loop", ["turns", "", "top"], ["left", "rows"], "halve", body=body),
            node("Unsqueeze", ["rows", "last"], ["column"], "column"),
            node("MatMul", ["column", "v"], ["refined"], "refine"),
        ], [("x", ["N", 3, 12, 10])], [("y", ["N", 5, 10, 8]), ("refined", [None, 2])],
            {"w": rng.normal(0, 0.5, (5, 3, 3, 3)), "half": np.float32(0.5), "v": rng.normal(0, 1, (1, 2)), "last": [1]},
            opset=17)
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "o/net")
        self.assertEqual((report["quantized"], report["kept_float"]),
                         (1, [{"layer": "refine", "reason": "its input cannot be observed: 'halve' (Loop) has results "
                                                            "whose shape depends on the data"}]))
        comparison = self.run_json("compare", self.model, self.work / "o/net_qdq.onnx", "--data", self.data)
        self.assertEqual([(output["name"], output["op"]) for output in comparison["outputs"]],
                         [("y", "output"), ("top", "before Loop")])

    def test_evaluating_needs_the_outputs(self):
        self.make("NonMaxSuppression")
        np.save(self.work / "labels.npy", np.zeros(16, np.int64))
        self.fails("evaluate", self.model, "--data", self.data, "--labels", self.work / "labels.npy", code=2,
                   says=["output 'y' cannot be computed: its shape depends on the data"])

    def test_nothing_to_compare(self):
        save_model(self.model, [helper.make_node("Odd", ["x"], ["y"], "odd", domain="com.example")],
                   [("x", [1, 4], TensorProto.INT64)], [("y", [1, 4])])
        np.save(self.data, np.arange(12).reshape(3, 4))
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "o/net", code=2,
                   says=["no output can be computed: 'odd' (Odd) is not supported"])


if __name__ == "__main__":
    unittest.main()
