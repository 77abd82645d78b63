"""Configurations of AMCT's as a user gives them: the explicit form, priorities, downgrades, faults."""

import json
import pathlib
import re
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.command_test import SEED, CommandTest, small_network

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Config(CommandTest):
    def cfg(self, text):
        path = self.work / "rules.cfg"
        path.write_text(text)
        return path

    def explicit(self, text):
        out = self.work / "explicit.json"
        self.run_amct("config", self.model, "--from", self.cfg(text), "--out", out)
        return json.loads(out.read_text())

    def plan_of(self, *extra, out="out/small"):
        return self.plan(self.quantize(*extra, out=out))

    def test_defaults_in_explicit_form(self):
        config = json.loads(self.run_amct("config", self.model).stdout)
        self.assertEqual(config["batch_num"], 1)
        self.assertEqual([key for key, value in config.items() if isinstance(value, dict)], ["conv1", "dw", "pw", "fc"])
        self.assertEqual(config["fc"]["weight_quant_params"],
                         {"num_bits": 8, "wts_algo": "arq_quantize", "channel_wise": False})
        self.assertTrue(config["dw"]["weight_quant_params"]["channel_wise"])

    def test_layer_before_type_before_common_and_each_is_whole(self):
        config = self.explicit("""
            activation_offset: false
            skip_layers: "pw"
            common_config { ifmr_quantize { max_percentile: 0.9 asymmetric: true } arq_quantize { quant_bits: 7 } }
            override_layer_types { layer_type: "Conv" calibration_config { ifmr_quantize { min_percentile: 0.8 } } }
            override_layer_configs { layer_name: "dw" calibration_config { hfmg_quantize { num_of_bins: 1024 } } }""")
        activation = {name: config[name]["activation_quant_params"] for name in ("conv1", "dw", "pw", "fc")}
        self.assertEqual(activation["fc"]["max_percentile"], 0.9)
        self.assertEqual((activation["conv1"]["max_percentile"], activation["conv1"]["min_percentile"]), (0.999999, 0.8))
        self.assertEqual((activation["dw"]["act_algo"], activation["dw"]["num_of_bins"]), ("hfmg", 1024))
        self.assertTrue(activation["conv1"]["asymmetric"])  # inherited: the same method
        self.assertFalse(activation["dw"]["asymmetric"])  # another method: as activation_offset says
        self.assertEqual(config["conv1"]["weight_quant_params"]["num_bits"], 8)
        self.assertEqual([config[n]["quant_enable"] for n in ("conv1", "pw")], [True, False])

    def test_both_forms_give_the_same_plan(self):
        text = """batch_num: 5
            common_config { ifmr_quantize { max_percentile: 0.99 dst_type: INT16 } arq_quantize { channel_wise: true } }
            override_layer_configs { layer_name: "dw" calibration_config { hfmg_quantize { } } }"""
        simple = self.plan_of("--config", self.cfg(text), out="a/small")
        self.explicit(text)
        full = self.plan_of("--config", self.work / "explicit.json", out="b/small")
        self.assertEqual(simple["layers"], full["layers"])
        self.assertEqual(simple["samples"], 5)
        self.assertEqual(simple["downgrades"], ["fc has one weight scale instead of one per channel: its operator takes no more"])
        self.assertEqual({layer["activation"]["bits"] for layer in simple["layers"]}, {8, 16})
        again = self.plan_of("--config", self.work / "a/small_plan.json", "--samples", 5, out="c/small")
        self.assertEqual(again["layers"], simple["layers"])

    def test_batch_num_counts_batches_and_samples_win(self):
        config = self.cfg("batch_num: 3")
        self.assertEqual(self.plan_of("--config", config, "--batch", 4)["samples"], 12)
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "d/small", "--config",
                               config, "--samples", 7)
        self.assertEqual(report["samples"], 7)
        self.assertIn("batch_num would be 3", " ".join(report["warnings"]))
        self.assertEqual(self.plan_of("--config", self.cfg("# nothing"), out="k/small")["samples"], 20)  # of 64: all there are

    def test_fusion_can_be_switched_off(self):
        prefix = self.quantize("--config", self.cfg("do_fusion: false"), "--emit", "deploy")
        layers = json.loads(prefix.with_name("small_quant.json").read_text())["layers"]
        self.assertEqual(next(layer["original"] for layer in layers if layer["name"] == "conv1"), ["conv1"])
        prefix = self.quantize("--config", self.cfg('skip_fusion_layers: "conv1"'), "--emit", "deploy", out="e/small")
        layers = json.loads(prefix.with_name("small_quant.json").read_text())["layers"]
        self.assertEqual(next(layer["original"] for layer in layers if layer["name"] == "conv1"), ["conv1"])

    def test_downgrades_are_errors_in_overrides_and_under_strict(self):
        common = self.cfg("common_config { arq_quantize { quant_bits: 4 channel_wise: true } }")
        prefix = self.work / "f/small"
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", prefix, "--config", common)
        self.assertEqual(len(report["downgrades"]), 4)  # odd inputs twice, grouped, and the Gemm's one scale
        self.faults("quantize", self.model, "--data", self.data, "--out", self.work / "g/small", "--config", common,
                    "--strict", says=[["conv1", "odd number"], ["dw", "grouped"], ["pw", "odd"], ["fc", "one weight scale"]])
        self.assertFalse((self.work / "g").exists())
        override = self.cfg('override_layer_types { layer_type: "Gemm" calibration_config { arq_quantize '
                            '{ channel_wise: true } } }')
        self.fails("config", self.model, "--from", override, says=["fc has one weight scale", "rules.cfg:1:24", "change the override"])

    def test_all_faults_at_once_with_the_nearest_name(self):
        config = self.cfg('skip_layers: "conv2"\nskip_layer_types: "Con"\n'
                          'override_layer_configs { layer_name: "softmax" calibration_config { } }')
        self.faults("config", self.model, "--from", config,
                    says=[["no layer 'conv2'", "rules.cfg:1:1", "did you mean 'conv1'"],
                          ["'Con' is no operator", "rules.cfg:2:1", "did you mean 'Conv'"],
                          ["no layer 'softmax'", "rules.cfg:3:26"]])
        self.fails("config", self.model, "--from", self.cfg('skip_layer_types: "Conv" skip_layer_types: "Gemm"'),
                   says=["every layer is skipped"])

    def test_non_uniform_weights(self):
        config = self.cfg("common_config { nuq_quantize { num_steps: 16 } }")
        prefix = self.work / "n/small"
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", prefix, "--config", config)
        self.assertEqual(report["downgrades"], [])
        self.assertEqual(report["non_uniform"]["layers"], 4)
        self.assertLess(report["non_uniform"]["coded_bytes"], report["non_uniform"]["bytes"] / 2)  # 16 values: 4 bits
        deploy = {t.name: numpy_helper.to_array(t) for t in onnx.load(f"{prefix}_deploy_model.onnx").graph.initializer}
        records = pathlib.Path(f"{prefix}_record.txt").read_text().split("record {")[1:]
        for record in records:
            clusters = {int(line.split()[1]) for line in record.splitlines() if "cluster:" in line}
            self.assertEqual(len(clusters), 16)
            weights = deploy[record.split('"')[1] + ".sub_module.weight"]
            self.assertLessEqual(set(weights.ravel().tolist()), clusters)
        equal = self.run_json("compare", f"{prefix}_fake_quant_model.onnx", f"{prefix}_deploy_model.onnx", "--data",
                              self.data)
        self.assertIsNone(equal["logit_sqnr_db"])  # no difference at all
        plan = self.plan(prefix)
        again = self.plan_of("--config", f"{prefix}_plan.json", "--samples", 1, out="m/small")
        self.assertEqual([layer["weight"] for layer in again["layers"]], [layer["weight"] for layer in plan["layers"]])

    def test_balanced_activations(self):
        small_network(self.model, weights={"bn1.scale": np.array([30, 1, 0.1, 3, 1, 1, 20, 1, 1])})
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "p/small", "--balance")
        self.assertEqual(report["balanced"]["layers"], 4)
        self.assertEqual(report["balanced"]["folded"], ["pw"])  # dw shares its input, the others read no layer's output
        record = (self.work / "p/small_record.txt").read_text()
        self.assertEqual(record.count("tensor_balance_factor"), 3 + 9 + 9 + 9)
        plain = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "q/small")
        self.assertGreater(report["sqnr_db"], plain["sqnr_db"] - 1)
        model = onnx.load(self.work / "p/small_deploy_model.onnx")
        self.assertEqual([node.name for node in model.graph.node if node.op_type == "Mul"],
                         ["conv1.mul", "dw.mul", "fc.mul"])
        equal = self.run_json("compare", self.work / "p/small_fake_quant_model.onnx",
                              self.work / "p/small_deploy_model.onnx", "--data", self.data)
        self.assertIsNone(equal["logit_sqnr_db"])
        by_file = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "r/small", "--config",
                                self.cfg("common_config { dmq_balancer { } }"))
        self.assertEqual(by_file["balanced"], report["balanced"])
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "s/small", "--balance=0.9",
                   says=["--balance"])

    def test_scales_of_half_precision(self):
        config = self.cfg("fakequant_precision_mode: FORCE_FP16_QUANT")
        half, full = self.plan_of("--config", config), self.plan_of(out="t/small")
        for cut, layer in zip(half["layers"], full["layers"]):
            self.assertEqual(np.float32(cut["activation"]["scale"]),
                             np.float32(np.float16(np.float32(layer["activation"]["scale"]))))
        self.assertNotEqual([layer["activation"]["scale"] for layer in half["layers"]],
                            [layer["activation"]["scale"] for layer in full["layers"]])

    def factors(self, prefix):
        """Scale and offset of every record."""
        text = pathlib.Path(f"{prefix}_record.txt").read_text()
        return {key: (scale, offset) for key, scale, offset in
                re.findall(r'key: "([^"]*)"\s+value \{\s+scale_d: (\S+)\s+offset_d: (\S+)', text)}

    def check_forms(self, prefix):
        """Deploy and fake-quant model agree in every bit, and the record gives both again."""
        equal = self.run_json("compare", f"{prefix}_fake_quant_model.onnx", f"{prefix}_deploy_model.onnx", "--data",
                              self.data)
        self.assertIsNone(equal["logit_sqnr_db"])
        self.run_amct("convert", self.model, "--record", f"{prefix}_record.txt", "--out", self.work / "again/small")
        for form in ("deploy", "fake_quant"):
            self.assertEqual(pathlib.Path(f"{prefix}_{form}_model.onnx").read_bytes(),
                             (self.work / f"again/small_{form}_model.onnx").read_bytes())

    def test_joint_quantization(self):
        prefix = self.quantize("--config", self.cfg("joint_quant: true"), "--no-bias-correction")
        factors = self.factors(prefix)
        self.assertEqual(list(factors), ["conv1", "dw", "pw", "fc", "add:0", "add:1"])
        self.assertEqual(factors["add:0"], factors["add:1"])
        self.assertEqual(factors["dw"], factors["add:1"])  # reads what the addition reads
        self.assertNotEqual(factors["pw"], factors["dw"])
        self.check_forms(prefix)
        graph = onnx.load(f"{prefix}_deploy_model.onnx").graph
        self.assertEqual(sum(node.op_type == "AscendQuant" for node in graph.node), 5)  # one for dw and the addition
        qdq = onnx.load(f"{prefix}_qdq.onnx").graph
        made_by = {output: node for node in qdq.node for output in node.output}
        values = {t.name: numpy_helper.to_array(t) for t in qdq.initializer}
        add = next(node for node in qdq.node if node.op_type == "Add")
        scales = [values[made_by[name].input[1]].item() for name in add.input]
        self.assertEqual(scales, [np.float32(factors["add:0"][0])] * 2)
        self.quantize("--joint", "--no-bias-correction", out="u/small")
        self.assertEqual(self.factors(self.work / "u/small"), factors)
        self.quantize("--config", f"{prefix}_plan.json", "--no-bias-correction", out="v/small")
        self.assertEqual(self.factors(self.work / "v/small"), factors)
        apart = self.factors(self.quantize(out="w/small"))
        self.assertEqual(list(apart), ["conv1", "dw", "pw", "fc"])
        self.assertNotEqual(apart["dw"], factors["dw"])  # the result of pw is wider

    def test_an_addition_of_a_tensor_to_itself_is_a_group_of_one(self):
        weight = np.random.default_rng(SEED).normal(0, 0.4, (2, 3, 1, 1)).astype(np.float32)
        nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node("Add", ["c", "c"], ["y"], "twice")]
        graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 160, 160])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 160, 160])],
                                  [numpy_helper.from_array(weight, "w")])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), self.model)
        np.save(self.data, np.random.default_rng(SEED).normal(0, 1, (100, 3, 160, 160)).astype(np.float32))  # 5 million
        prefix = self.quantize("--joint", "--samples", "100", "--emit", "deploy", "--no-bias-correction")
        factors = self.factors(prefix)
        self.assertEqual(factors["twice:0"], factors["twice:1"])

    def test_tensor_quantization(self):
        text = """tensor_quantize { layer_name: "add" input_index: 1 hfmg_quantize { num_of_bins: 1024 asymmetric: false } }
                  tensor_quantize { layer_name: "add" input_index: 0 }"""
        prefix = self.quantize("--config", self.cfg(text), "--no-bias-correction")
        factors = self.factors(prefix)
        self.assertEqual(list(factors), ["conv1", "dw", "pw", "fc", "add:1", "add:0"])
        self.assertEqual(factors["add:1"][1], "0")
        self.assertNotEqual(factors["add:1"], factors["dw"])
        self.check_forms(prefix)
        explicit = self.explicit(text)
        self.assertEqual(explicit["tensor_quantize"][0]["activation_quant_params"]["num_of_bins"], 1024)
        self.quantize("--config", self.work / "explicit.json", "--no-bias-correction", "--samples", 20, out="x/small")
        self.assertEqual(self.factors(self.work / "x/small"), factors)
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "y/small", "--config",
                               self.cfg(text))
        self.assertEqual((report["inputs"], report["joint_groups"]), (2, 0))

    def test_faults_of_tensor_quantization_are_all_named(self):
        chosen = [("ad", 0, ""), ("add", 2, ""), ("relu1", 0, ""), ("fc", 0, ""), ("add", 1, ""), ("add", 1, ""),
                  ("add", 0, "ifmr_quantize { dst_type: INT16 }")]
        text = "\n".join(f'tensor_quantize {{ layer_name: "{n}" input_index: {i} {s} }}' for n, i, s in chosen)
        self.faults("quantize", self.model, "--data", self.data, "--out", self.work / "z/small", "--config",
                    self.cfg(text),
                    says=[["no node 'ad'", "rules.cfg:1:", "did you mean 'add'"],
                          ["it has no input 2", "rules.cfg:2:"],
                          ["inputs of Relu are not quantized", "Add, Concat, MaxPool, Sum"],
                          ["it is a layer"],
                          ["stands twice", "rules.cfg:6:"],
                          ["cannot have 16 bits"]])
        plan = self.plan_of("--joint")
        plan["tensors"][0]["uses"][0]["node"] = "fc"
        plan["tensors"].append({"tensor": "nowhere"})
        (self.work / "edited.json").write_text(json.dumps(plan, indent=1))
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "z/small", "--config",
                   self.work / "edited.json", says=["no tensor 'nowhere'"])
        plan["tensors"].pop()
        (self.work / "edited.json").write_text(json.dumps(plan, indent=1))
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "z/small", "--config",
                   self.work / "edited.json", says=["input 0 of 'fc' cannot be quantized", "it is a layer"])

    def test_what_is_not_offered_ends_with_two(self):
        for text in ("common_config { ada_quantize { } }",):
            self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "h/small", "--config",
                       self.cfg(text), code=2, says=["is not offered yet", "rules.cfg"])
            self.assertFalse((self.work / "h").exists())

    def test_the_page_of_options_and_the_help_agree(self):
        page = self.run_amct("config", "--options").stdout
        self.assertEqual(page, (ROOT / "docs/configuration.md").read_text())
        help_text = " ".join(self.run_amct("quantize", "--help").stdout.split())
        rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| `")]
        options = [(row[5].strip("` "), row[6].rstrip(" |")) for row in rows if row[5].strip()]
        self.assertEqual({option for option, _ in options},
                         {"--samples", "--skip", "--skip-types", "--balance", "--joint", "--weight-bits", "--nuq"})
        for option, meaning in options:
            self.assertIn(option, help_text)
            if option != "--samples":
                self.assertIn(meaning, help_text)

    def two_products(self):
        """A matrix product with a result of three axes, and one of two activations."""
        rng = np.random.default_rng(SEED)
        weights = {"w": rng.normal(0, 0.4, (5, 7)), "v": rng.normal(0, 0.4, (5, 7))}
        weights["w"][:, 3] *= 50
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], "wide"), helper.make_node("MatMul", ["x", "v"], ["b"], "keys"),
                 helper.make_node("Transpose", ["b"], ["t"], perm=[0, 2, 1]),
                 helper.make_node("MatMul", ["a", "t"], ["y"], "scores")]
        graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 9, 5])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 9, 9])],
                                  [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), self.model)
        np.save(self.data, rng.normal(0, 1, (20, 9, 5)).astype(np.float32))

    def edited(self, plan, **layers):
        for layer in plan["layers"]:
            for field, value in layers.get(layer["name"], {}).items():
                layer[field] = {**layer[field], **value} if isinstance(value, dict) else value
        path = self.work / "edited.json"
        path.write_text(json.dumps(plan, indent=1))
        return path

    def test_what_a_plan_asks_for_and_a_layer_cannot_have(self):
        self.two_products()
        plain = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "p/small")
        plan = json.loads((self.work / "p/small_plan.json").read_text())
        self.assertEqual(plan["downgrades"], [])
        edited = self.edited(plan, wide={"weight": {"per_channel": True, "steps": 16}},
                             keys={"weight": {"bits": 6}},
                             scores={"activation": {"asymmetric": True, "bits": 16}, "second": {"asymmetric": True, "bits": 4},
                                     "balance_strength": 0.5})
        command = ["quantize", self.model, "--data", self.data, "--config", edited]
        report = self.run_json(*command, "--out", self.work / "q/small")
        told = sorted(report["downgrades"])
        self.assertEqual(len(told), 8, told)
        for line, says in zip(told, (["keys", "8-bit weights instead of 6"], ["scores (second input)", "8 bits instead of 4"],
                                     ["scores (second input)", "no offset"], ["scores", "no offset"],
                                     ["scores", "8-bit activation instead of 16"], ["scores", "not balanced"], ["wide", "one weight scale"],
                                     ["wide", "uniform weights"])):
            for text in says:
                self.assertIn(text, line)
        self.assertEqual(report["sqnr_db"], plain["sqnr_db"])
        self.run_amct("convert", self.model, "--record", self.work / "q/small_record.txt", "--out", self.work / "r/small")
        self.faults(*command, "--strict", "--out", self.work / "s/small", says=[["--strict"]] * 8)

    def test_a_fixed_offset_that_the_operator_does_not_allow(self):
        self.two_products()
        plan = self.plan_of()
        factor = {"scale": 0.1, "offset": 3, "fixed": True, "asymmetric": True}
        self.faults("quantize", self.model, "--data", self.data, "--out", self.work / "s/small", "--config",
                    self.edited(plan, scores={"activation": factor, "second": factor}),
                    says=[["edited.json:", "offset of scores is 3, must be 0"], ["edited.json:", "second input", "must be 0"]])

    def test_a_plan_may_give_a_gemm_a_scale_per_channel(self):
        edited = self.edited(self.plan_of(), fc={"weight": {"per_channel": True}})
        again = self.plan_of("--config", edited, out="q/small")
        self.assertEqual(again["downgrades"], [])
        self.assertEqual(len(next(layer for layer in again["layers"] if layer["name"] == "fc")["weight"]["scales"]), 7)

    def test_skipped_types_stay_float(self):
        plan = self.plan_of("--skip-types", "Gemm")
        self.assertEqual({layer["name"]: layer.get("reason") for layer in plan["layers"] if not layer["quantize"]},
                         {"fc": "the configuration skips Gemm layers"})
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "i/small", "--skip-types", "Gem",
                   says=["'Gem' is no operator", "did you mean 'Gemm'"])


if __name__ == "__main__":
    unittest.main()
