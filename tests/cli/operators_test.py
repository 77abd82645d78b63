"""Every kind of layer through `amct quantize`: products of activations, pools, three dimensions, grouped transposed
convolutions, joined and shifted; each form against ONNX Runtime's result of the float network."""

import json
import pathlib
import re
import unittest

import numpy as np
import onnx
from onnx import helper

from support.command_test import SEED, CommandTest
from support.measures import sqnr
from support.models import constants_of, model_of
from support.onnx_runtime import session


def results(path, samples):
    runner = session(path)
    return [runner.run(None, {"x": sample[None]})[0] for sample in samples]


class Operators(CommandTest):
    def setUp(self):
        super().setUp()
        self.rng = np.random.default_rng(SEED + 2)

    def make(self, shape, nodes, outputs, constants, **options):
        model = model_of(nodes, [("x", [1, *shape])], [(name, None) for name in outputs], constants, **options)
        onnx.save(onnx.shape_inference.infer_shapes(model), str(self.model))
        self.samples = self.rng.normal(0, 1, (12, *shape)).astype(np.float32)
        np.save(self.data, self.samples)

    def check(self, *extra, least=25.0, quantized=None, qdq=True):
        """Quantizes; the simulation, the integers and the QDQ file stay near the float network. Returns plan and records."""
        prefix = self.work / "o/net"
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", prefix, *extra)
        if quantized is not None:
            self.assertEqual((report["quantized"], report["kept_float"]), (quantized, []))
        expected = results(self.model, self.samples)
        fake = results(f"{prefix}_fake_quant_model.onnx", self.samples)
        self.assertGreater(sqnr(expected, fake), least)
        equal = self.run_json("compare", f"{prefix}_fake_quant_model.onnx", f"{prefix}_deploy_model.onnx", "--data",
                              self.data)
        self.assertEqual([output["sqnr_db"] for output in equal["outputs"]], [None] * len(equal["outputs"]))
        if qdq:
            onnx.checker.check_model(onnx.load(f"{prefix}_qdq.onnx"), full_check=True)
            self.assertGreater(sqnr(expected, results(f"{prefix}_qdq.onnx", self.samples)), least)
        plan = self.plan(prefix)
        record = pathlib.Path(f"{prefix}_record.txt").read_text()
        return report, plan, record

    def attention(self):
        self.make((5, 8), [
            helper.make_node("MatMul", ["x", "wq"], ["q"], "query"),
            helper.make_node("MatMul", ["x", "wk"], ["k"], "key"),
            helper.make_node("MatMul", ["x", "wv"], ["v"], "value"),
            helper.make_node("Transpose", ["k"], ["kt"], "turn", perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "kt"], ["s"], "scores"),
            helper.make_node("Softmax", ["s"], ["p"], "softmax", axis=2),
            helper.make_node("MatMul", ["p", "v"], ["y"], "mix"),
        ], ["y"], {f"w{c}": self.rng.normal(0, 0.4, (8, 6 if c != "v" else 7)) for c in "qkv"})

    def test_products_of_two_activations(self):
        self.attention()
        _, plan, record = self.check(quantized=5, least=22)
        products = {layer["name"]: layer for layer in plan["layers"] if "second" in layer}
        self.assertEqual({name: layer["second_tensor"] for name, layer in products.items()}, {"scores": "kt", "mix": "v"})
        for layer in products.values():
            for side in ("activation", "second"):
                self.assertEqual((layer[side]["offset"], layer[side]["bits"], layer[side]["asymmetric"]), (0, 8, False))
            self.assertNotIn("weight", layer)
        scales = dict(re.findall(r'key: "([^"]*)"[^}]*?scale_w: (\S+)', record))
        self.assertEqual(np.float32(scales["mix"]), np.float32(products["mix"]["second"]["scale"]))
        deploy = onnx.load(self.work / "o/net_deploy_model.onnx").graph
        self.assertEqual(sum(node.op_type == "AscendQuant" for node in deploy.node), 5)  # x once, and four operands
        self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "p/net", "--no-bias-correction")
        self.run_amct("convert", self.model, "--record", self.work / "p/net_record.txt", "--out", self.work / "c/net")
        self.assertEqual((self.work / "p/net_deploy_model.onnx").read_bytes(),
                         (self.work / "c/net_deploy_model.onnx").read_bytes())
        wrong = (self.work / "p/net_record.txt").read_text().replace('key: "mix"', 'key: "mix" # ')
        at = wrong.index("scale_w", wrong.index('key: "mix"'))
        (self.work / "wrong.txt").write_text(wrong[:at] + "scale_w: 1\n    offset_w: 0\n    " + wrong[at:])
        self.fails("convert", self.model, "--record", self.work / "wrong.txt", "--out", self.work / "c/net",
                   says=["2 scale_w, must be 1", "mix"])

    def test_products_of_two_activations_stay_8_bits(self):
        self.attention()
        (self.work / "wide.cfg").write_text("common_config { ifmr_quantize { dst_type: INT16 asymmetric: true } }")
        report, plan, _ = self.check("--config", self.work / "wide.cfg", least=20, quantized=5)
        self.assertEqual({layer["name"]: layer["activation"]["bits"] for layer in plan["layers"]},
                         {"query": 16, "key": 16, "value": 16, "scores": 8, "mix": 8})
        self.assertEqual(len(report["downgrades"]), 4)  # bits and offset of both

    def test_average_pools(self):
        for include, ceil in ((0, 0), (1, 0), (0, 1)):
            self.make((5, 9, 7), [
                helper.make_node("AveragePool", ["x"], ["a"], "pool", kernel_shape=[3, 2], strides=[2, 2],
                                 pads=[1, 0, 1, 1], count_include_pad=include, ceil_mode=ceil),
                helper.make_node("Conv", ["a", "w"], ["y"], "conv"),
            ], ["y"], {"w": self.rng.normal(0, 0.4, (3, 5, 2, 2))})
            _, plan, record = self.check(quantized=2)
            self.assertEqual([layer["name"] for layer in plan["layers"]], ["pool", "conv"])
            self.assertIn('key: "pool"', record)

    def test_convolutions_of_three_dimensions(self):
        self.make((3, 4, 7, 6), [
            helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv1", pads=[0, 1, 1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], "relu"),
            helper.make_node("Conv", ["r", "w2"], ["y"], "conv2", strides=[1, 2, 1], group=2),
        ], ["y"], {"w1": self.rng.normal(0, 0.3, (6, 3, 2, 3, 3)), "b1": self.rng.normal(0, 0.2, 6),
                   "w2": self.rng.normal(0, 0.3, (4, 3, 2, 2, 3))})
        _, plan, _ = self.check(quantized=2)
        self.assertEqual([layer["activation"]["offset"] for layer in plan["layers"]], [0, 0])

    def test_transposed_convolutions_with_groups(self):
        self.make((6, 5, 4), [
            helper.make_node("ConvTranspose", ["x", "w1", "b1"], ["c"], "up1", group=3, strides=[2, 1], pads=[1, 0, 1, 1]),
            helper.make_node("ConvTranspose", ["c", "w2"], ["y"], "up2", strides=[2, 3], output_padding=[1, 2]),
        ], ["y"], {"w1": self.rng.normal(0, 0.4, (6, 5, 3, 2)) * np.linspace(0.1, 3, 30).reshape(6, 5, 1, 1),
                   "b1": self.rng.normal(0, 0.2, 15), "w2": self.rng.normal(0, 0.3, (15, 4, 3, 3))})
        _, plan, record = self.check(quantized=2)
        self.assertEqual([len(layer["weight"]["scales"]) for layer in plan["layers"]], [15, 4])
        # Scales are of output channels: group g, channel o of the group is the weight [2 g, 2 g + 1][o].
        weights = constants_of(self.model)["w1"]
        largest = np.abs(weights.reshape(3, 2, 5, 3, 2)).max(axis=(1, 3, 4)).ravel()
        scales = np.array(plan["layers"][0]["weight"]["scales"])
        self.assertTrue(np.all((np.isclose(scales * 127, largest)) | np.isclose(scales * 128, largest)))

    def test_shifts(self):
        self.make((16, 9, 8), [
            helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv1", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], "relu"),
            helper.make_node("AveragePool", ["r"], ["a"], "pool", kernel_shape=[3, 3]),
            helper.make_node("Flatten", ["a"], ["f"], "flatten"),
            helper.make_node("Gemm", ["f", "w2"], ["y"], "fc"),
        ], ["y"], {"w1": self.rng.normal(0, 0.3, (7, 16, 3, 3)), "b1": self.rng.normal(0, 2, 7),
                   "w2": self.rng.normal(0, 0.2, (7 * 7 * 6, 5))})
        report, plan, record = self.check("--shift", quantized=3)
        self.assertEqual(report["shifted"]["layers"], 2)
        self.assertTrue(plan["search_shifts"])
        shifts = {layer["name"]: layer.get("shifts", []) for layer in plan["layers"]}
        self.assertEqual([len(shifts[name]) for name in ("conv1", "pool", "fc")], [7, 0, 1])
        self.assertTrue(all(1 <= n <= 16 for n in shifts["conv1"] + shifts["fc"]))
        self.assertEqual(len(re.findall("shift_bit", record)), 8)
        packed = constants_of(self.work / "o/net_deploy_model.onnx")
        self.assertEqual([int(word >> np.uint64(40)) & 255 for word in packed["conv1.dequant.param"]], shifts["conv1"])
        ops = [node.op_type for node in onnx.load(self.work / "o/net_fake_quant_model.onnx").graph.node]
        self.assertEqual((ops.count("Floor"), ops.count("Clip")), (2, 2 + 3))
        self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "s/net", "--shift",
                      "--no-bias-correction", "--emit", "deploy")
        self.run_amct("convert", self.model, "--record", self.work / "s/net_record.txt", "--out", self.work / "t/net",
                      "--emit", "deploy")
        self.assertEqual((self.work / "s/net_deploy_model.onnx").read_bytes(),
                         (self.work / "t/net_deploy_model.onnx").read_bytes())
        bad = (self.work / "s/net_record.txt").read_text().replace("offset_w: 0\n    act_type",
                                                                   "offset_w: 0\n    shift_bit: 2\n    act_type", 1)
        (self.work / "bad.txt").write_text(bad)
        self.fails("convert", self.model, "--record", self.work / "bad.txt", "--out", self.work / "t/net",
                   says=["shift_bit is for layers with a weight", "pool"])

    def deep(self):
        """A network whose weights matter unequally: the classes hang on the narrow first layer."""
        self.make((3, 10, 9), [
            helper.make_node("Conv", ["x", "w1"], ["c1"], "conv1"),
            helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", dilations=[2, 1]),
            helper.make_node("Conv", ["c2", "w3"], ["c3"], "conv3"),
            helper.make_node("GlobalAveragePool", ["c3"], ["g"], "gap"),
            helper.make_node("Flatten", ["g"], ["f"], "flatten"),
            helper.make_node("Gemm", ["f", "w4"], ["y"], "fc"),
        ], ["y"], {"w1": self.rng.standard_t(2, (6, 3, 3, 3)), "w2": self.rng.normal(0, 0.3, (12, 6, 2, 2)),
                   "w3": self.rng.normal(0, 0.3, (9, 12, 3, 3)), "w4": self.rng.normal(0, 0.5, (9, 7))})

    def steps(self, plan):
        return {layer["name"]: layer["weight"].get("steps", 0) for layer in plan["layers"]}

    def test_non_uniform_weights_where_they_cost_little(self):
        self.deep()
        report, plan, _ = self.check("--nuq", 32, least=8)
        self.assertEqual(self.steps(plan), {"conv1": 32, "conv2": 0, "conv3": 32, "fc": 32})
        self.assertEqual(report["downgrades"], ["conv2 has uniform weights: it is dilated"])
        everywhere = report["sqnr_db"]
        uniform = self.check(least=8)[0]["sqnr_db"]
        allowed = (uniform - everywhere) / 2
        report, plan, _ = self.check("--nuq", 32, "--nuq-loss", allowed, least=8)
        chosen = report["nuq"]
        self.assertEqual((chosen["metric"], chosen["candidates"]), ("SQNR", 3))
        self.assertTrue(0 < len(chosen["reverted"]) < 3, chosen)
        self.assertGreaterEqual(chosen["mixed"], chosen["uniform"] - allowed)
        self.assertAlmostEqual(chosen["mixed"], report["sqnr_db"], places=6)  # the files are those that were judged
        self.assertEqual({name for name, count in self.steps(plan).items() if count == 0}, {"conv2", *chosen["reverted"]})
        report, plan, _ = self.check("--nuq", 16, "--nuq-loss", 100, least=3)
        self.assertEqual(report["nuq"]["reverted"], [])
        report, plan, _ = self.check("--nuq", 16, "--nuq-loss", 0, least=8)
        self.assertGreaterEqual(report["nuq"]["mixed"], report["nuq"]["uniform"])
        for arguments, says in (((("--nuq-loss", 1)), "nothing to choose"), (("--nuq", 20), "--nuq"),
                                (("--nuq", 16, "--nuq-loss", -1), "--nuq-loss")):
            self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "f/net", *arguments, says=[says])

    def test_mapping_files_name_layers(self):
        self.deep()
        self.check(least=8)
        compiled = {"graph": [{"op": [{"name": "trans_1"}, {"name": "conv3relu", "attr": [
            {"key": "other"}, {"key": "_datadump_original_op_names", "value": {"list": {"s": ["conv3", "relu3"]}}}]}]}]}
        info = json.loads((self.work / "o/net_quant.json").read_text())
        for content, expected in ((["conv1", "fc"], {"conv1", "fc"}), (info, {"conv1", "conv3", "fc"}),
                                  (compiled, {"conv3"}), ({"layers": ["fc", {"name": "conv1", "quantized": False}]}, {"fc"})):
            (self.work / "map.json").write_text(json.dumps(content))
            (self.work / "map.cfg").write_text('nuq_config { mapping_file: "map.json" nuq_quantize { num_steps: 16 } }')
            report, plan, _ = self.check("--config", self.work / "map.cfg", "--samples", 12, least=3)
            self.assertEqual({name for name, count in self.steps(plan).items() if count == 16}, expected)
            self.assertEqual(len(report["downgrades"]), int("quant" in str(content) and content is info))
            explicit = json.loads(self.run_amct("config", self.model, "--from", self.work / "map.cfg").stdout)
            self.assertEqual({name for name in explicit if isinstance(explicit[name], dict) and
                              explicit[name]["weight_quant_params"]["wts_algo"] == "nuq_quantize"}, expected)
        for content, says in (("[]", "names no layer"), ("{", "map.json:1"), ('["nothing"]', "names no layer of the model")):
            (self.work / "map.json").write_text(content)
            self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "f/net", "--config",
                       self.work / "map.cfg", says=[says])
        (self.work / "map.json").unlink()
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "f/net", "--config",
                   self.work / "map.cfg", says=["map.json"])

    def test_balance_is_searched_for_each_layer(self):
        self.deep()
        spread = np.geomspace(0.05, 20, 3).reshape(1, 3, 1, 1).astype(np.float32)
        np.save(self.data, self.samples * spread)
        self.samples = self.samples * spread
        report, plan, record = self.check("--balance=search", least=8)
        strengths = report["balanced"]["strengths"]
        self.assertEqual(set(strengths), {"conv1", "conv2", "conv3", "fc"})
        self.assertIsNotNone(strengths["conv1"])  # its channels differ by a factor of 400
        self.assertEqual({layer["name"]: layer.get("balance_strength") for layer in plan["layers"]}, strengths)
        self.assertEqual(report["balanced"]["layers"], sum(value is not None for value in strengths.values()))
        self.assertGreater(report["sqnr_db"], self.check(least=3)[0]["sqnr_db"])
        again = self.run_json("--threads", 1, "quantize", self.model, "--data", self.data, "--out", self.work / "w/net",
                              "--balance=search")
        self.assertEqual(again["balanced"]["strengths"], strengths)
        self.assertEqual((self.work / "w/net_record.txt").read_text(), record)

    def test_joined_parts_become_one_layer(self):
        nodes = [helper.make_node("Split", ["x", "sizes"], ["p0", "p1"], "split", axis=1)]
        nodes += [helper.make_node("Conv", [f"p{i}", f"w{i}"], [f"c{i}"], f"conv{i}") for i in range(2)]
        nodes += [helper.make_node("Concat", ["c0", "c1"], ["j"], "join", axis=1),
                  helper.make_node("BatchNormalization", ["j", "g", "b", "m", "v"], ["y"], "bn")]
        self.make((6, 5, 7), nodes, ["y"], {
            "sizes": np.array([3, 3]), **{f"w{i}": self.rng.normal(0, 0.4, (4, 3, 2, 3)) for i in range(2)},
            "g": self.rng.uniform(0.5, 2, 8), "b": self.rng.normal(0, 1, 8), "m": self.rng.normal(0, 1, 8),
            "v": self.rng.uniform(0.5, 2, 8)})
        report, plan, _ = self.check(quantized=1)
        self.assertEqual(plan["layers"][0]["name"], "conv0")
        quant = json.loads((self.work / "o/net_quant.json").read_text())
        self.assertEqual(quant["layers"][0]["original"], ["conv0", "conv1", "bn"])
        (self.work / "apart.cfg").write_text('skip_fusion_layers: "conv1"')
        _, plan, _ = self.check("--config", self.work / "apart.cfg", quantized=2)
        (self.work / "off.cfg").write_text("do_fusion: false")
        _, plan, _ = self.check("--config", self.work / "off.cfg", quantized=2)


if __name__ == "__main__":
    unittest.main()
