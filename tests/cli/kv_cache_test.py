"""`amct kv-cache`: factors against the algorithm in numpy, independence of batches and threads, faults, real decoder."""

import math
import pathlib
import re

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.assets import needs_assets
from support.command_test import CommandTest
from support.measures import sqnr
from support.models import save_model
from support.onnx_runtime import session

STEPS, WIDTH, HEADS = 6, 10, 7


def decoder(path):
    """x (N, T, 10) -> K by MatMul and Add, V by MatMul alone, last step through a Gemm; a convolution besides."""
    rng = np.random.default_rng(4)
    constants = {"k.w": rng.normal(0, 0.5, (WIDTH, HEADS)) * np.geomspace(0.2, 5, HEADS), "k.b": rng.normal(0, 1, HEADS),
                 "v.w": rng.normal(0, 0.5, (WIDTH, HEADS)), "o.w": rng.normal(0, 0.5, (5, WIDTH)), "o.b": rng.normal(0, 1, 5),
                 "c.w": rng.normal(0, 0.5, (3, STEPS, 3))}
    nodes = [helper.make_node("MatMul", ["x", "k.w"], ["km"], "k_proj"), helper.make_node("Add", ["km", "k.b"], ["k"], "k_bias"),
             helper.make_node("MatMul", ["x", "v.w"], ["v"], "v_proj"),
             helper.make_node("Gather", ["x", "last"], ["xl"], "last_step", axis=1),
             helper.make_node("Gemm", ["xl", "o.w", "o.b"], ["o"], "o_proj", transB=1),
             helper.make_node("Conv", ["x", "c.w"], ["conv"], "mix"),
             helper.make_node("Relu", ["conv"], ["c"], "relu")]
    save_model(path, nodes, [("x", ["N", STEPS, WIDTH])], [(name, None) for name in "kvoc"],
               constants | {"last": np.array(STEPS - 1)})


def ifmr(values, asymmetric, start=0.7, end=1.3, step=0.01, percentile=0.999999):
    """Scale, offset and the losses of all candidates (spec C.1), in double precision."""
    x = np.sort(values.astype(np.float64).ravel())
    beyond = len(x) - math.floor(percentile * len(x)) if percentile < 1 else 1
    high, low = max(x[-beyond], 0), min(x[beyond - 1], 0)
    candidates = start + step * np.arange(math.ceil((end - start) / step))
    if asymmetric:
        scales, lows, highs = (candidates * high - low) / 255, np.full(len(candidates), low), candidates * high
    else:
        top = max(high, -low)
        scales = candidates * top / (128 if high < -low else 127)
        lows, highs = -candidates * top, candidates * top
    losses = np.array([np.mean((np.rint(np.clip(x, a, b) / s) * s - x)**2) for s, a, b in zip(scales, lows, highs)])
    best = int(np.argmin(losses))
    return scales, losses, (lambda s: -round(low / s) - 128 if asymmetric else 0), best


class KvCache(CommandTest):
    def setUp(self):
        super().setUp()
        self.model = self.work / "decoder.onnx"
        decoder(self.model)
        self.samples = np.random.default_rng(9).normal(0.3, 1, (40, STEPS, WIDTH)).astype(np.float32)
        np.save(self.data, self.samples)
        self.outputs = dict(zip("kvoc", session(self.model).run(None, {"x": self.samples})))
        self.config = self.work / "cache.cfg"

    def calibrate(self, text, *extra, out="out/d"):
        self.config.write_text(text)
        report = self.run_json("kv-cache", self.model, "--config", self.config, "--data", self.data, "--out",
                               self.work / out, *extra)
        return {layer["layer"]: layer for layer in report["layers"]}, report

    def assert_ifmr(self, layer, values, asymmetric=True, **parameters):
        """Each factor is that of a candidate whose loss is the least, or within 0.1 % of it."""
        columns = [values.ravel()] if len(layer["scale"]) == 1 else list(values.reshape(-1, values.shape[-1]).T)
        self.assertEqual(len(layer["scale"]), len(columns))
        for scale, offset, column in zip(layer["scale"], layer["offset"], columns):
            scales, losses, offset_of, best = ifmr(column, asymmetric, **parameters)
            near = int(np.argmin(np.abs(scales - scale)))
            self.assertAlmostEqual(scale / scales[near], 1, 4)
            self.assertLessEqual(losses[near], losses[best] * 1.001)
            self.assertEqual(offset, offset_of(scale))

    def test_one_factor_for_a_tensor(self):
        layers, report = self.calibrate('kv_cache_quant_config { quant_layers: "k_proj" quant_layers: "v_proj" '
                                        'quant_layers: "o_proj" }')
        self.assertEqual(list(layers), ["k_proj", "v_proj", "o_proj"])
        self.assertEqual(report["samples"], 40)
        for name in layers:
            self.assertEqual(layers[name]["granularity"], "per_tensor")
            self.assert_ifmr(layers[name], self.outputs[name[0]])

    def test_one_factor_for_each_channel(self):
        layers, _ = self.calibrate('kv_cache_quant_config { quant_layers: "k_proj" quant_layers: "v_proj" calibration_config '
                                   '{ ifmr_quantize { quant_granularity: per_channel search_range_start: 0.8 max_percentile: 0.99 '
                                   'min_percentile: 0.99 } } } '
                                   'override_layers_configs { layer_name: "v_proj" kv_data_quant_config { ifmr_quantize { '
                                   'quant_granularity: per_channel asymmetric: false } } }')
        self.assert_ifmr(layers["k_proj"], self.outputs["k"], start=0.8, percentile=0.99)
        self.assert_ifmr(layers["v_proj"], self.outputs["v"], asymmetric=False)
        self.assertEqual(set(layers["v_proj"]["offset"]), {0})
        self.assertGreater(max(layers["k_proj"]["scale"]), 5 * min(layers["k_proj"]["scale"]))

    def test_hfmg_is_that_of_quantize(self):
        """A channel's factor is what quantize gives an activation of these values."""
        layers, _ = self.calibrate('activation_offset: false kv_cache_quant_config { quant_layers: "v_proj" calibration_config '
                                   '{ hfmg_quantize { num_of_bins: 2048 quant_granularity: per_channel } } }', "--batch", 1)
        self.assertEqual(layers["v_proj"]["offset"], [0] * HEADS)
        self.config.write_text("activation_offset: false common_config { hfmg_quantize { num_of_bins: 2048 } }")
        columns = self.outputs["v"].reshape(40, STEPS, HEADS)
        for channel, scale in enumerate(layers["v_proj"]["scale"]):
            save_model(self.work / "alone.onnx", [helper.make_node("MatMul", ["v", "w"], ["y"], "product")], [("v", ["N", STEPS])],
                       [("y", ["N", 1])], {"w": np.ones((STEPS, 1))})
            np.save(self.work / "column.npy", columns[:, :, channel])
            self.run_amct("quantize", self.work / "alone.onnx", "--data", self.work / "column.npy", "--config", self.config,
                          "--batch", 1, "--samples", 40, "--out", self.work / "alone")
            self.assertAlmostEqual(scale / self.layers("alone")["product"]["activation"]["scale"], 1, 6)

    def test_the_record_is_all_that_is_written(self):
        layers, report = self.calibrate('kv_cache_quant_config { quant_layers: "k_proj" calibration_config { ifmr_quantize { '
                                        'quant_granularity: per_channel } } }')
        self.assertEqual([p.name for p in (self.work / "out").iterdir()], ["d_record.txt"])
        self.assertEqual(report["file"], str(self.work / "out/d_record.txt"))
        text = pathlib.Path(report["file"]).read_text()
        self.assertEqual(pathlib.Path(report["file"]).stat().st_mode & 0o777, 0o640)
        self.assertTrue(text.startswith('record {\n  key: "k_proj"\n  kv_cache_value {\n    scale: '))
        self.assertNotIn("  value {", text)
        scales = [np.float32(s) for s in re.findall(r"^    scale: (\S+)$", text, re.M)]
        self.assertEqual(scales, [np.float32(s) for s in layers["k_proj"]["scale"]])
        self.assertEqual([int(o) for o in re.findall(r"^    offset: (\S+)$", text, re.M)], layers["k_proj"]["offset"])

    def test_factors_depend_on_the_samples_alone(self):
        text = ('kv_cache_quant_config { quant_layers: "k_proj" quant_layers: "o_proj" calibration_config { ifmr_quantize { '
                'quant_granularity: per_channel } } }')
        self.calibrate(text)
        first = (self.work / "out/d_record.txt").read_bytes()
        np.save(self.data, self.samples[np.random.default_rng(3).permutation(40)])
        for threads, batch in ((1, 1), (2, 3), (3, 8)):
            self.calibrate(text, "--threads", threads, "--batch", batch, out=f"t{threads}/d")
            self.assertEqual((self.work / f"t{threads}/d_record.txt").read_bytes(), first)

    def test_samples_come_from_the_command_line_the_configuration_or_a_default(self):
        text = 'batch_num: 3 kv_cache_quant_config { quant_layers: "k_proj" }'
        self.assertEqual(self.calibrate(text, "--batch", 4)[1]["samples"], 12)
        report = self.calibrate(text, "--batch", 4, "--samples", 5)[1]
        self.assertEqual(report["samples"], 5)
        self.assertIn("batch_num would be 12", report["warnings"][0])
        report = self.calibrate('batch_num: 50 kv_cache_quant_config { quant_layers: "k_proj" }')[1]
        self.assertEqual(report["warnings"], ["only 40 samples are there, 50 were asked for"])

    def test_faults_of_the_layers_stand_together(self):
        self.config.write_text('kv_cache_quant_config {\n  quant_layers: "k_prj"\n  quant_layers: "mix"\n'
                               '  quant_layers: "v_proj"\n  quant_layers: "relu"\n}\n'
                               'override_layers_configs { layer_name: "nowhere" kv_data_quant_config { } }\n')
        self.faults("kv-cache", self.model, "--config", self.config, "--data", self.data, "--out", self.work / "bad/d", says=[
            ["no layer 'k_prj'", "cache.cfg:2:3", "did you mean 'k_proj'?"],
            ["layer 'mix' is a Conv", "cache.cfg:3:3", "Gemm or a MatMul"],
            ["layer 'relu' is a Relu", "cache.cfg:5:3"],
            ["no layer 'nowhere'", "cache.cfg:7:27"]])
        self.assertFalse((self.work / "bad").exists())

    def test_a_layer_without_channels(self):
        save_model(self.model, [helper.make_node("MatMul", ["x", "w"], ["y"], "none")], [("x", ["N", STEPS, WIDTH])],
                   [("y", None)], {"w": np.zeros((WIDTH, 0))})
        self.config.write_text('kv_cache_quant_config { quant_layers: "none" calibration_config { ifmr_quantize '
                               '{ quant_granularity: per_channel } } }')
        self.fails("kv-cache", self.model, "--config", self.config, "--data", self.data, "--out", self.work / "b/d",
                   says=["layer 'none' has no channels", "cache.cfg:1:", "take it out"])

    def test_other_faults(self):
        self.config.write_text("quantize_layers: 'k_proj'")
        self.fails("kv-cache", self.model, "--config", self.config, "--data", self.data, "--out", self.work / "b/d",
                   says=["AMCTQuantCaliConfig has no field 'quantize_layers'", "cache.cfg:1:1"])
        self.fails("kv-cache", self.model, "--config", self.work / "none.cfg", "--data", self.data, "--out", self.work / "b/d",
                   says=["none.cfg"])
        self.config.write_text("kv_cache_quant_config { quant_layers: 'k_proj' }")
        bad = self.samples.copy()
        bad[7, 2, 3] = np.nan
        np.save(self.data, bad)
        self.fails("kv-cache", self.model, "--config", self.config, "--data", self.data, "--out", self.work / "b/d",
                   says=["NaN", "'k_proj'"])
        self.fails("kv-cache", self.model, "--config", self.config, "--out", self.work / "b/d", says=["--data"])
        self.assertFalse((self.work / "b").exists())

    def test_a_record_of_a_cache_is_no_record_of_layers(self):
        self.calibrate('kv_cache_quant_config { quant_layers: "k_proj" }')
        self.fails("convert", self.model, "--record", self.work / "out/d_record.txt", "--out", self.work / "c/d",
                   says=["factors of a KV cache alone", "'k_proj'"])

    def test_dead_channels_are_warned_about(self):
        np.save(self.data, self.samples * 0)
        _, report = self.calibrate('kv_cache_quant_config { quant_layers: "v_proj" calibration_config { ifmr_quantize { '
                                   'quant_granularity: per_channel } } }', "--samples", 40)
        self.assertEqual(len(report["warnings"]), HEADS)
        self.assertIn("v_proj, channel 0: it is zero in all samples", report["warnings"][0])

    def test_help_and_completion_know_the_command(self):
        self.assertIn("kv-cache", self.run_amct("--help").stdout)
        said = self.run_amct("kv-cache", "--help").stdout
        self.assertIn("--config", said)
        self.assertIn("quant_granularity", said)
        self.assertIn(" kv-cache) options=", self.run_amct("completion", "bash").stdout)
        text = self.run_amct("kv-cache", self.model, "--config", self.cfg_of_v(), "--data", self.data, "--out",
                             self.work / "x/d").stdout
        self.assertIn("v_proj: 7 channels, scales", text)

    def cfg_of_v(self):
        self.config.write_text('kv_cache_quant_config { quant_layers: "v_proj" calibration_config { hfmg_quantize { '
                               'quant_granularity: per_channel } } }')
        return self.config

    def test_decoder_of_the_assets(self):
        assets = needs_assets(self)
        model, tokens = assets / "llm/stories260K.onnx", assets / "llm/sampled_tokens_64x256.npy"
        data = self.work / "tokens.npy"
        np.save(data, np.load(tokens)[:16, :64].astype(np.int64))
        layers = [f"/{kind}.{i}/MatMul" for i in range(5) for kind in "kv"]
        self.config.write_text("kv_cache_quant_config { " + " ".join(f'quant_layers: "{name}"' for name in layers) +
                               " calibration_config { ifmr_quantize { quant_granularity: per_channel } } }")
        report = self.run_json("kv-cache", model, "--config", self.config, "--data", data, "--out", self.work / "llm")
        self.assertEqual([layer["layer"] for layer in report["layers"]], layers)
        changed = onnx.load(str(model))
        for name in layers:
            changed.graph.output.append(helper.make_tensor_value_info(name + "_output_0", TensorProto.FLOAT, None))
        run = session(changed)
        seen = [run.run([name + "_output_0" for name in layers], {"input_ids": row[None]}) for row in np.load(data)]
        for i, layer in enumerate(report["layers"]):
            values = np.concatenate([s[i].reshape(-1, s[i].shape[-1]) for s in seen])
            self.assertEqual(len(layer["scale"]), values.shape[1])
            s, o = np.array(layer["scale"]), np.array(layer["offset"])
            self.assertGreater(sqnr(values, (np.clip(np.rint(values / s) + o, -128, 127) - o) * s), 35, layer["layer"])


if __name__ == "__main__":
    unittest.main()
