"""LSTM and GRU through `amct quantize`: the files against integer arithmetic in numpy, constraints, real networks.

The deploy file's integers and factors go through a numpy implementation (tests/support/recurrent.py); the simulation in
ONNX Runtime and the deploy model in amct must give its numbers.
"""

import json
import re
import unittest

import numpy as np
import onnx

from support.assets import needs_assets
from support.command_test import CommandTest
from support.measures import sqnr
from support.models import constants_of
from support.onnx_runtime import session
from support.program import run_model
from support.recurrent import GATES, HIDDEN, Deployed, layer_network, samples


class RecurrentQuantizedTest(CommandTest):
    def amct(self, *arguments, code=0):
        result = self.run_amct(*arguments, code=code)
        return result.stdout + result.stderr

    def quantize(self, kind, steps, *extra, data=None, out="q", count=24, **options):
        model = self.work / "net.onnx"
        layer_network(model, kind, steps, **options)
        folder = self.work / "data"
        folder.mkdir(exist_ok=True)
        np.savez(folder / "samples.npz", **(data or samples(kind, steps, count, 5, options.get("lengths", False))))
        said = self.amct("quantize", model, "--data", folder, "--out", self.work / out, *extra)
        return said, self.plan(out)

    def config(self, text):
        path = self.work / "rules.cfg"
        path.write_text(text)
        return path

    def check_files(self, kind, steps, lengths=False, out="q", at_least=27):
        """Deploy (amct) and simulation (ONNX Runtime) against numpy, all against float."""
        deployed = Deployed(self.work / f"{out}_deploy_model.onnx", kind)
        fake, original = session(self.work / f"{out}_fake_quant_model.onnx"), session(self.work / "net.onnx")
        qdq = session(self.work / f"{out}_qdq.onnx")
        onnx.checker.check_model(onnx.load(str(self.work / f"{out}_fake_quant_model.onnx")), full_check=True)
        onnx.checker.check_model(onnx.load(str(self.work / f"{out}_qdq.onnx")), full_check=True)
        fresh = samples(kind, steps, 12, 77, lengths)
        quantum = 1 / deployed.attrs["quant_scale_h"]
        everything = {"float": [], "fake": [], "qdq": [], "numpy": []}
        for i in range(12):
            feeds = {key: array[i:i + 1] for key, array in fresh.items()}
            expected = deployed.run(*(array[i] for array in fresh.values())) if not lengths else deployed.run(
                fresh["x"][i], fresh["h"][i], fresh.get("c", [None] * 12)[i], fresh["lengths"][i])
            simulated = fake.run(None, feeds)
            for a, b in zip(expected, simulated):
                # a state on an integer's edge may fall on either side: a quantum of the state, times a weight
                self.assertLess(np.abs(a - b[0]).max(), max(3 * quantum, 3e-4))
                self.assertLess(np.mean(np.abs(a - b[0]) > 1e-4), 0.15)
            if i < 3:
                ours = run_model(self.work / f"{out}_deploy_model.onnx", feeds)
                for a, b in zip(expected, (ours[o.name] for o in original.get_outputs())):
                    np.testing.assert_allclose(b[0], a, atol=2e-6)
            everything["float"] += original.run(None, feeds)
            everything["fake"] += simulated
            everything["qdq"] += qdq.run(None, feeds)
            everything["numpy"] += [array[None] for array in expected]
        for name in ("fake", "qdq", "numpy"):
            self.assertGreater(sqnr(everything["float"], everything[name]), at_least, name)
        self.assertGreater(sqnr(everything["numpy"], everything["fake"]), at_least + 5)
        return deployed

    def test_files_compute_what_the_integers_say(self):
        for kind in ("LSTM", "GRU"):
            for steps in (1, 9):
                with self.subTest(kind=kind, steps=steps):
                    said, plan = self.quantize(kind, steps)
                    self.assertIn("1 of 1 layer", said)
                    deployed = self.check_files(kind, steps, at_least=24 if steps == 1 else 27)
                    self.assertEqual(deployed.attrs["hidden_size"], HIDDEN)
                    self.assertEqual(deployed.attrs["clip"], -1)
                    self.assertEqual(deployed.attrs["direction"], b"forward")
                    self.assertEqual(deployed.attrs["quant_sqrt_mode_x"], 0)
                    last = {"LSTM": ("input_forget", 0), "GRU": ("linear_before_reset", 1)}[kind]
                    self.assertEqual(deployed.attrs[last[0]], last[1])
                    self.assertEqual(len(plan["layers"][0]["hidden"]["weight"]["scales"]), GATES[kind] * HIDDEN)

    def test_sequences_of_unequal_lengths(self):
        for kind in ("LSTM", "GRU"):
            with self.subTest(kind=kind):
                self.quantize(kind, 6, lengths=True)
                self.check_files(kind, 6, lengths=True)

    def test_one_scale_for_every_gate(self):
        rules = self.config("common_config { arq_quantize { channel_wise: false } }")
        for kind in ("LSTM", "GRU"):
            with self.subTest(kind=kind):
                _, plan = self.quantize(kind, 5, "--config", rules, "--samples", "24")
                layer = plan["layers"][0]
                for weight in (layer["weight"], layer["hidden"]["weight"]):
                    self.assertEqual((weight["per_channel"], len(weight["scales"])), (False, GATES[kind]))
                deployed = self.check_files(kind, 5, at_least=27)
                weights = {name: array[0] for name, array in constants_of(self.work / "net.onnx").items() if name in "WR"}
                for name, key in (("W", "weight"), ("R", "hidden")):
                    plan_of = layer[key] if key == "weight" else layer[key]["weight"]
                    for gate, scale in zip(np.split(weights[name], GATES[kind]), plan_of["scales"]):
                        low, high = gate.min(), gate.max()
                        expected = -low / 128 if -low > high else high / 127
                        self.assertAlmostEqual(scale / expected, 1, 5)
                self.assertEqual(deployed.factor_count, 2 * GATES[kind])

    def test_16_bit_activations(self):
        rules = self.config("common_config { ifmr_quantize { dst_type: INT16 } }")
        for kind in ("LSTM", "GRU"):
            with self.subTest(kind=kind):
                self.quantize(kind, 7, "--config", rules, "--samples", "24", "--emit", "fake,deploy,qdq")
                deployed = self.check_files(kind, 7, at_least=38)
                self.assertEqual(deployed.attrs["quant_dtype"], 6)
                self.assertIn('act_type: "INT16"', (self.work / "q_record.txt").read_text())

    def test_symmetric_activations_have_no_offsets(self):
        self.quantize("LSTM", 4, "--config", self.config("activation_offset: false"), "--samples", "24")
        deployed = self.check_files("LSTM", 4, at_least=27)
        self.assertEqual((deployed.attrs["quant_offset_x"], deployed.attrs["quant_offset_h"]), (0, 0))

    def min_max(self):
        """A plan whose ranges are those of the data."""
        plan, search = self.work / "plan.json", {"search": {"method": "min_max"}}
        plan.write_text(json.dumps({"calibrate_with_quantized_weights": False, "layers": [
            {"name": "layer", "activation": search, "hidden": {"activation": search, "weight": {"per_channel": True}},
             "weight": {"per_channel": True}}]}))
        return plan

    def test_states_are_observed_before_every_step(self):
        """min_max factors give the very range of h0 and the outputs of all steps but the last."""
        for kind, steps in (("LSTM", 6), ("GRU", 6), ("LSTM", 1)):
            with self.subTest(kind=kind, steps=steps):
                layer_network(self.work / "net.onnx", kind, steps)
                data = samples(kind, steps, 10, 31)
                (self.work / "data").mkdir(exist_ok=True)
                np.savez(self.work / "data" / "samples.npz", **data)
                self.amct("quantize", self.work / "net.onnx", "--data", self.work / "data", "--config", self.min_max(), "--out",
                          self.work / "q")
                run = session(self.work / "net.onnx")
                seen = [data["h"]]
                for i in range(10):
                    sequence = run.run(None, {key: array[i:i + 1] for key, array in data.items()})[0]
                    seen.append(sequence[0, :-1])
                low, high = min(s.min() for s in seen if s.size), max(s.max() for s in seen if s.size)
                factor = self.layers("q")["layer"]["hidden"]["activation"]
                self.assertAlmostEqual(factor["scale"] / ((max(high, 0) - min(low, 0)) / 255), 1, 5)

    def test_a_streaming_layer_whose_data_has_no_state_takes_the_state_it_ends_with(self):
        data = samples("LSTM", 1, 16, 5, zero_state=True)
        _, plan = self.quantize("LSTM", 1, "--config", self.min_max(), data=data)
        run = session(self.work / "net.onnx")
        last = np.concatenate([run.run(None, {k: a[i:i + 1] for k, a in data.items()})[1] for i in range(16)])
        scale = plan["layers"][0]["hidden"]["activation"]["scale"]
        self.assertAlmostEqual(scale / ((max(last.max(), 0) - min(last.min(), 0)) / 255), 1, 5)

    def test_the_record_has_every_field_and_gives_the_same_files_again(self):
        for kind in ("LSTM", "GRU"):
            with self.subTest(kind=kind):
                _, plan = self.quantize(kind, 4)
                text = (self.work / "q_record.txt").read_text()
                rows = GATES[kind] * HIDDEN
                counts = {field: len(re.findall(rf"^    {field}:", text, re.M)) for field in
                          ("scale_d", "offset_d", "scale_w", "offset_w", "scale_h", "offset_h", "scale_r", "offset_r")}
                self.assertEqual(counts, dict(zip(counts, (1, 1, rows, rows, 1, 1, rows, rows))))
                self.amct("convert", self.work / "net.onnx", "--record", self.work / "q_record.txt", "--out",
                          self.work / "again")
                for suffix in ("_deploy_model.onnx", "_fake_quant_model.onnx", "_record.txt"):
                    self.assertEqual((self.work / f"again{suffix}").read_bytes(), (self.work / f"q{suffix}").read_bytes())
                gates = text
                for field in ("scale_w", "offset_w", "scale_r", "offset_r"):
                    gates = re.sub(rf"(?:    {field}: \S+\n)+", lambda m: "".join(m[0].splitlines(True)[:GATES[kind]]), gates)
                (self.work / "gates.txt").write_text(gates)
                self.amct("convert", self.work / "net.onnx", "--record", self.work / "gates.txt", "--out", self.work / "g")
                self.assertEqual((self.work / "g_record.txt").read_text(), gates)

    def test_faults_of_a_record_are_named(self):
        self.quantize("LSTM", 3)
        text = (self.work / "q_record.txt").read_text()
        bad = self.work / "bad.txt"
        for change, said in [((r"    scale_h: \S+\n", ""), "scale_h, offset_h, scale_r and offset_r belong together"),
                             ((r"offset_h: \S+", "offset_h: 300"), "offset_h is 300, must be in [-128, 127]"),
                             ((r"scale_h: \S+", "scale_h: 0"), "scale_h is 0, must be above 0"),
                             ((r'wts_type: "INT8"', 'wts_type: "INT4"'), "wts_type is INT4, must be INT8"),
                             ((r"    (scale_r|offset_r): \S+\n", "", 2), "values of scale_r"),
                             ((r"    offset_r: \S+\n", "", 1), "scale_r and offset_r differ in length"),
                             ((r"offset_r: 0", "offset_r: 1", 1), "offset_r must be 0"),
                             ((r"    (scale_h|offset_h|scale_r|offset_r): \S+\n", ""), "has no scale_h")]:
            with self.subTest(said):
                bad.write_text(re.sub(change[0], change[1], text, count=change[2] if len(change) > 2 else 0))
                if "values of scale_r" in said:
                    bad.write_text(re.sub(r"    offset_r: \S+\n", "", re.sub(r"    scale_r: \S+\n", "", text, 1), 1))
                output = self.amct("convert", self.work / "net.onnx", "--record", bad, "--out", self.work / "x", code=1)
                self.assertIn(said, output)

    def test_settings_that_a_recurrent_layer_cannot_have_are_downgraded(self):
        rules = self.config("common_config { arq_quantize { quant_bits: 4 } dmq_balancer { } }")
        said, plan = self.quantize("LSTM", 3, "--config", rules, "--samples", "24")
        self.assertIn("layer has 8-bit weights instead of 4: it is a recurrent layer", said)
        self.assertIn("layer is not balanced: it is a recurrent layer", said)
        self.assertEqual(plan["layers"][0]["weight"]["bits"], 8)
        self.amct("quantize", self.work / "net.onnx", "--data", self.work / "data", "--config", rules, "--strict", "--out",
                  self.work / "s", code=1)

    def test_a_plan_with_other_widths_is_answered(self):
        _, plan = self.quantize("LSTM", 3)
        plan["layers"][0]["weight"] = {"bits": 4, "per_channel": True}
        edited = self.work / "edited.json"
        edited.write_text(json.dumps(plan))
        said = self.amct("quantize", self.work / "net.onnx", "--data", self.work / "data", "--config", edited, "--out",
                         self.work / "e")
        self.assertIn("layer has 8-bit weights instead of 4: it is a recurrent layer", said)
        self.amct("quantize", self.work / "net.onnx", "--data", self.work / "data", "--activation-bits", 16, "--out",
                  self.work / "w")
        self.assertEqual(Deployed(self.work / "w_deploy_model.onnx", "LSTM").attrs["quant_dtype"], 6)

    def test_factors_depend_on_the_samples_alone(self):
        self.quantize("GRU", 5)
        first = (self.work / "q_record.txt").read_bytes()
        data = samples("GRU", 5, 24, 5)
        order = np.random.default_rng(1).permutation(24)
        np.savez(self.work / "data" / "samples.npz", **{key: array[order] for key, array in data.items()})
        for threads in (1, 3):
            self.amct("quantize", self.work / "net.onnx", "--data", self.work / "data", "--threads", threads, "--batch",
                      threads, "--out", self.work / "r")
            self.assertEqual((self.work / "r_record.txt").read_bytes(), first)

    def streamed(self, path, frames, inputs, states, runs=None):
        """Outputs of a network whose states go back in."""
        run = session(path)
        names = [o.name for o in run.get_outputs()]
        feeds = {key: np.zeros(dims, np.float32) for key, (_, dims) in states.items()}
        results, fed = [], []
        for frame in frames:
            feeds |= dict(zip(inputs, [frame]))
            fed.append(dict(feeds))
            outputs = dict(zip(names, run.run(None, feeds)))
            results.append(outputs[names[0]])
            feeds |= {key: outputs[output] for key, (output, _) in states.items()}
        return results, fed

    def test_networks_of_the_assets_with_their_states(self):
        folder = needs_assets(self) / "onnx"
        rng = np.random.default_rng(8)
        # A voice-like signal: harmonics that come and go, and noise.
        time = np.arange(16000 * 4) / 16000
        pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
        voice = sum(np.sin(2 * np.pi * np.cumsum(k * pitch) / 16000) / k for k in range(1, 12))
        sound = (0.1 * voice * (np.sin(2 * np.pi * 1.3 * time) > -0.2) + rng.normal(0, 0.01, len(time))).astype(np.float32)
        spectra = np.stack([np.abs(np.fft.rfft(sound[i:i + 512])) for i in range(0, 16000 * 4 - 512, 128)])[:, None, None]
        chunks = np.stack([sound[i:i + 576] for i in range(0, 16000 * 4 - 576, 512)])[:, None]
        models = {"dtln_1": (spectra.astype(np.float32), ["input_2"], {"input_3": ("tf_op_layer_stack_2", (1, 2, 128, 2))}, 3, 25),
                  "silero_vad_openvino_16k": (chunks, ["input"], {"state": ("stateN", (2, 1, 128))}, 7, 14)}
        for name, (frames, inputs, states, layers, least) in models.items():
            with self.subTest(name):
                model = folder / f"{name}.onnx"
                half = len(frames) // 2
                expected, fed = self.streamed(model, frames, inputs, states)
                data = self.work / name
                data.mkdir()
                np.savez(data / "calls.npz", **{key: np.stack([f[key] for f in fed[:half]]) for key in fed[0]})
                out = self.work / f"{name}_q"
                said = self.amct("quantize", model, "--data", data, "--out", out)
                self.assertEqual(sum(layer["quantize"] for layer in self.layers(f"{name}_q").values()), layers, said)
                for suffix in ("fake_quant_model", "qdq"):
                    onnx.checker.check_model(onnx.load(f"{out}_{suffix}.onnx"))
                    # silero's first convolution is a Fourier transform of sound: 8 bits next to its loudest frequency
                    got, _ = self.streamed(f"{out}_{suffix}.onnx", frames, inputs, states)
                    quality = sqnr(expected[half:], got[half:])
                    print(f"{name} {suffix}: {quality:.1f} dB with its own states over {len(frames) - half} calls")
                    self.assertGreater(quality, least, suffix)
                types = {n.op_type for n in onnx.load(f"{out}_deploy_model.onnx").graph.node}
                self.assertIn("BasicLSTMInplaceFillWindowCache", types)
                self.assertNotIn("LSTM", types)

    def test_an_lstm_in_a_branch_stays_float_and_says_so(self):
        folder = needs_assets(self) / "onnx"
        rng = np.random.default_rng(2)
        data = self.work / "calls"
        data.mkdir()
        np.savez(data / "calls.npz", input=rng.normal(0, 0.1, (8, 512)).astype(np.float32), sr=np.full(8, 16000),
                 state=rng.uniform(-0.5, 0.5, (8, 2, 1, 128)).astype(np.float32))
        said = self.amct("quantize", folder / "silero_vad_16k_op15.onnx", "--data", data, "--out", self.work / "s")
        layers = self.layers("s")
        floats = {name: layer["reason"] for name, layer in layers.items() if not layer["quantize"]}
        self.assertEqual(len(floats), 2)
        for name, reason in floats.items():
            self.assertTrue(name.endswith("LSTM"))
            self.assertEqual(reason, "it stands in a subgraph of '/model/decoder/If_1'")
            self.assertIn(name, said)
        self.assertEqual(sum(layer["quantize"] for layer in layers.values()), 6)
        self.assertRegex(said, r"SQNR [0-9.]+ dB")
        feeds = {key: np.asarray(array[0]) for key, array in np.load(data / "calls.npz").items()}
        feeds["input"] = feeds["input"][None]
        for suffix in ("fake_quant_model", "qdq"):
            self.assertEqual(len(session(self.work / f"s_{suffix}.onnx").run(None, feeds)), 2)


if __name__ == "__main__":
    unittest.main()
