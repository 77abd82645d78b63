"""The program under the name of AMCT's command line: its flags, rules, files and log."""

import os
import pathlib
import stat
import subprocess
import unittest

import numpy as np
from onnx import helper

from support.amct_onnx import BATCH, AmctOnnx
from support.command_test import SEED
from support.measures import sqnr
from support.models import save_model
from support.onnx_runtime import session
from support.program import AMCT

def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


class Calibration(AmctOnnx):
    def test_writes_amcts_files_with_its_permissions_and_log(self):
        result = self.run_amct(*self.command(), preexec_fn=lambda: os.umask(0o077))
        folder = self.work / "results/deep"
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["small_deploy_model.onnx", "small_fake_quant_model.onnx", "small_quant.json",
                          "small_record.txt"])
        for path in folder.iterdir():
            self.assertEqual(mode(path), 0o640, path)
        for path in (folder, folder.parent, self.work / "amct_log"):
            self.assertEqual(mode(path), 0o750, path)
        self.assertEqual(mode(self.work / "amct_log/amct_onnx.log"), 0o640)
        self.assertIn(f"calibrated {BATCH} samples", result.stdout)
        self.assertIn("next       atc --model=results/deep/small_deploy_model.onnx --framework=5 "
                      "--output=results/deep/small_deploy_model --soc_version=$SOC_VERSION "
                      f"--input_shape=x:{BATCH},3,12,10\n", result.stdout)
        self.assertIn(" - INFO - calibrated", (self.work / "amct_log/amct_onnx.log").read_text())
        scores, fake = (np.log(session(path).run(None, {"x": self.samples})[0])
                        for path in (self.model, folder / "small_fake_quant_model.onnx"))
        scores, fake = (log - log.mean(axis=1, keepdims=True) for log in (scores, fake))  # behind a Softmax
        self.assertGreater(sqnr(scores, fake), 25)
        self.assertLess(sqnr(scores, fake), 60)  # it is quantized

    def test_is_amct_quantize_with_amcts_defaults(self):
        """The same factors as the other command line gives when it is told AMCT's defaults."""
        for batches in (1, 3):
            self.run_amct(*self.command(batch_num=batches))
            config = self.work / "amct.cfg"
            config.write_text(f"batch_num: {batches}")
            prefix = self.work / f"other{batches}"
            subprocess.run([AMCT, "quantize", self.model, "--data", self.data, "--batch", str(BATCH), "--config",
                            config, "--no-bias-correction", "--out", prefix], check=True, capture_output=True)
            self.assertEqual(self.record(), pathlib.Path(f"{prefix}_record.txt").read_text())
            for suffix in ("_deploy_model.onnx", "_quant.json"):
                self.assertEqual((self.work / f"results/deep/small{suffix}").read_bytes(),
                                 pathlib.Path(f"{prefix}{suffix}").read_bytes())

    def test_flags_with_a_space_and_shortened(self):
        self.run_amct(*self.command())
        first = self.record()
        self.run_amct("calibration", "--mod", "small.onnx", "--save", "b/small", "--data_type", "float32", "--data_dir",
                      "calibration", "--input_shape", f" x : {BATCH}, 3,12,10; ")
        self.assertEqual(self.record("b/small"), first)

    def test_the_last_of_repeated_flags_holds_with_a_warning(self):
        result = self.run_amct(*self.command(batch_num=1), "--batch_num=2", "--save_path=c/small")
        self.assertIn(f"calibrated {2 * BATCH} samples", result.stdout)
        self.assertIn("warning: --batch_num is given more than once; the last one holds", result.stderr)
        self.assertTrue((self.work / "c/small_deploy_model.onnx").exists())

    def test_an_open_first_extent_follows_from_the_file(self):
        result = self.run_amct(*self.command(input_shape="x:-1,3,12,10", batch_num=2))
        self.assertIn(f"calibrated {2 * BATCH} samples", result.stdout)

    def test_other_element_types_are_converted(self):
        self.run_amct(*self.command())
        first = self.record()
        self.write_batches(self.work / "wide", self.samples.astype(np.float64))
        self.run_amct(*self.command(data_dir="wide/", data_types="float64"))
        self.assertEqual(self.record(), first)

    def test_configuration_gives_the_number_of_batches(self):
        config = self.work / "some.cfg"
        config.write_text("batch_num: 3\nskip_layers: 'pw'")
        result = self.run_amct(*self.command(calibration_config=config))
        self.assertIn(f"calibrated {3 * BATCH} samples", result.stdout)
        self.assertIn("pw stays float", result.stdout)
        self.assertNotIn("warning", result.stdout + result.stderr)
        config.write_text("activation_offset: false")
        self.assertIn(f"calibrated {BATCH} samples", self.run_amct(*self.command(calibration_config=config)).stdout)

    def test_a_plan_is_a_configuration_too(self):
        subprocess.run([AMCT, "quantize", self.model, "--data", self.data, "--out", self.work / "p"], check=True,
                       capture_output=True)
        result = self.run_amct(*self.command(calibration_config="p_plan.json"))
        self.assertIn(f"calibrated {BATCH} samples", result.stdout)
        self.assertNotIn("warning", result.stdout + result.stderr)

    def test_overwritten_files_are_warned_of(self):
        self.assertNotIn("overwritten", self.run_amct(*self.command()).stderr)
        result = self.run_amct(*self.command())
        for name in ("small_deploy_model.onnx", "small_fake_quant_model.onnx", "small_quant.json"):
            self.assertIn(f"warning: results/deep/{name} was there before and is overwritten", result.stderr)
        self.assertIn(" - WARNING - results/deep/small_quant.json was there",
                      (self.work / "amct_log/amct_onnx.log").read_text())

    def test_qdq_when_asked_for(self):
        self.run_amct(*self.command(), "--emit", "deploy,qdq")
        names = sorted(path.name for path in (self.work / "results/deep").glob("*.onnx"))
        self.assertEqual(names, ["small_deploy_model.onnx", "small_qdq.onnx"])

    def test_two_inputs_whose_names_hold_colons(self):
        """The folders belong to the names in the order of --input_shape, whatever the order of the model's inputs."""
        rng = np.random.default_rng(SEED)
        nodes = [helper.make_node("Conv", ["a:0", "w"], ["c"], "conv"), helper.make_node("Add", ["c", "b:1"], ["y"], "add")]
        save_model(self.work / "two.onnx", nodes, [("a:0", [None, 2, 5, 3]), ("b:1", [None, 3, 5, 3])],
                   [("y", [None, 3, 5, 3])], {"w": rng.normal(0, 1, (3, 2, 1, 1))})
        first = rng.uniform(-1, 3, (2, 2, 5, 3)).astype(np.float32)
        self.write_batches(self.work / "a", first, 2)
        self.write_batches(self.work / "b", rng.uniform(-9, 9, (2, 3, 5, 3)), 2)
        changed = {"model": "two.onnx", "data_dir": "b/;a/", "data_types": "float64;float32"}
        self.run_amct(*self.command(input_shape="b:1:2,3,5,3;a:0:2,2,5,3", **changed))
        scale = float(self.record().split("scale_d:")[1].split()[0])
        self.assertLess(abs(scale - (first.max() - min(first.min(), 0)) / 255), 0.005)
        self.faults(*self.command(input_shape="b:1:2,3,5,3;a:9:2,2,5,3", **changed),
                    says=[["no input 'a:9'", "did you mean 'a:0'?"], ["input 'a:0'", "no data"]])

    def test_log_levels(self):
        result = self.run_amct(*self.command(), environment={"AMCT_LOG_LEVEL": "error", "AMCT_LOG_FILE_LEVEL": "Warning"})
        self.assertEqual(result.stdout + result.stderr, "")
        self.assertEqual((self.work / "amct_log/amct_onnx.log").read_text(), "")
        result = self.run_amct(*self.command(model="none.onnx"), code=1,
                               environment={"AMCT_LOG_LEVEL": "error", "AMCT_LOG_FILE_LEVEL": "error"})
        self.assertIn("error: ", result.stderr)
        self.assertIn(" - ERROR - ", (self.work / "amct_log/amct_onnx.log").read_text())
        result = self.run_amct(*self.command(), code=1, environment={"AMCT_LOG_LEVEL": "loud"})
        self.assertIn("AMCT_LOG_LEVEL is 'loud'; set it to DEBUG, INFO, WARNING or ERROR", result.stderr)

    def test_the_other_name_keeps_no_log(self):
        subprocess.run([AMCT, "inspect", self.model], check=True, capture_output=True, cwd=self.work,
                       env={**os.environ, "AMCT_LOG_LEVEL": "loud"})
        self.assertFalse((self.work / "amct_log").exists())

    def test_a_log_that_cannot_be_kept_is_a_warning(self):
        (self.work / "amct_log").write_text("a file")
        self.assertIn("warning: no log is kept: ", self.run_amct(*self.command()).stderr)


class Rules(AmctOnnx):
    def test_required(self):
        self.refused(["--model is required"], model=None)
        self.refused(["--save_path is required"], save_path=None)
        self.refused(["--input_shape is missing", "without --evaluator it is required"], ["--data_dir is missing"],
                     ["--data_types is missing"], input_shape=None, data_dir=None, data_types=None)

    def test_exclusions(self):
        config = self.work / "some.cfg"
        config.write_text("batch_num: 2")
        self.refused(["--calibration_config and --batch_num exclude each other"], calibration_config=config, batch_num=2)
        script = self.work / "some.py"
        script.write_text("")
        self.refused(*[[f"--evaluator and --{name} exclude each other"] for name in
                       ("input_shape", "data_dir", "data_types")], evaluator=script)

    def test_evaluator_is_a_python_file(self):
        nothing = {"input_shape": None, "data_dir": None, "data_types": None}
        self.refused(["'small.onnx' is no Python file"], evaluator="small.onnx", **nothing)
        self.refused(["no file 'none.py'"], evaluator="none.py", **nothing)

    def test_counts_must_match(self):
        self.refused(["--input_shape names 1 inputs, --data_dir 2 folders and --data_types 3 types"],
                     data_dir="calibration/;calibration", data_types="float32;float32;int8")

    def test_all_faults_of_the_flags_at_once(self):
        self.refused(["names a folder alone"], ["'3x' is no extent of 'x'"], ["'0' is no extent of 'x'"],
                     ["'float99' is not an element type"], ["no folder 'nowhere/'"], save_path="results/",
                     input_shape="x:4,3x,0,10", data_dir="nowhere/", data_types="float99")

    def test_shapes(self):
        self.refused(["'4,3,12,10' has no name and shape"], input_shape="4,3,12,10")
        self.refused(["'x' has more than one -1"], input_shape="x:-1,3,-1,10")
        self.refused(["'' is no extent of 'x'"], input_shape="x:4,,12,10")
        self.refused(["names 'x' twice"], input_shape="x:4,3,12,10;x:4,3,12,10", data_dir="calibration/;calibration/",
                     data_types="float32;float32")
        self.refused(["input 'x'"], input_shape="x:4,5,12,6")
        self.refused(["5760 bytes", "--input-shape"], input_shape="x:4,3,12,11")

    def test_numbers_of_batches(self):
        self.refused(["--batch_num is 0"], batch_num=0)
        self.refused(["--batch_num", "-1"], batch_num=-1)
        self.refused(["--batch_num", "two"], batch_num="two")
        self.refused(["6 batches of 4 samples are to be read, but there are 20 samples", "calibration"], batch_num=6)
        self.refused(["are to be read"], batch_num=2**62)

    def test_folders(self):
        (self.work / "empty").mkdir()
        self.refused(["no .bin files in the folder", "empty"], data_dir="empty")
        (self.folder / "notes.txt").write_text("about these files")
        self.assertIn("1 files that are not .bin are left out", self.run_amct(*self.command()).stderr)

    def test_flags_of_other_frameworks_are_explained(self):
        for flag, why in (("weights=a.caffemodel", "Caffe"), ("outputs=y:0", "TensorFlow"), ("feature=ptq", "TensorFlow"),
                          ("gpu_id=0", "CPU")):
            for command in (self.command(), ["convert", "--model=small.onnx", "--save_path=results/small"]):
                self.refused([f"--{flag.split('=')[0]} has no meaning here", why], command=command + [f"--{flag}"])

    def test_unknown_flags_and_commands(self):
        self.refused(["'amct_onnx calibration' has no option '--batch-nun'", "did you mean '--batch_num'?"],
                     command=self.command() + ["--batch-nun=3"])
        self.refused(["has no option '--data'"], command=self.command() + ["--data=x"])
        self.refused(["no command 'calibrate'", "did you mean 'calibration'?"], command=["calibrate"])
        self.refused(["no command is given"], command=["--quiet"])


class Convert(AmctOnnx):
    def test_takes_no_data(self):
        self.refused(["--data_dir has no meaning here", "'calibration'"], ["--batch_num has no meaning here"],
                     command=["convert", "--model=small.onnx", "--save_path=results/small", "--data_dir=calibration",
                              "--batch_num=1"])

    def test_a_quantized_model_gives_amcts_files(self):
        subprocess.run([AMCT, "quantize", self.model, "--data", self.data, "--out", self.work / "q/small"],
                       check=True, capture_output=True)
        result = self.run_amct("convert", "--model", "q/small_qdq.onnx", "--save_path=results/small")
        names = sorted(path.name for path in (self.work / "results").iterdir())
        self.assertEqual(names, ["small_deploy_model.onnx", "small_fake_quant_model.onnx", "small_quant.json",
                                 "small_record.txt"])
        self.assertIn("next       atc --model=results/small_deploy_model.onnx --framework=5", result.stdout)
        subprocess.run([AMCT, "convert", "q/small_qdq.onnx", "--out", "other/small"], check=True, cwd=self.work,
                       capture_output=True)
        for name in names:
            self.assertEqual((self.work / "results" / name).read_bytes(), (self.work / "other" / name).read_bytes())
        again = self.run_amct("convert", "--model", "q/small_qdq.onnx", "--save_path=results/small")
        self.assertIn("warning: results/small_quant.json was there before and is overwritten", again.stderr)

    def test_faults(self):
        self.refused(["small.onnx"], command=["convert", "--model=small.onnx", "--save_path=results/small"])
        self.refused(["names a folder alone"], command=["convert", "--model=small.onnx", "--save_path=results/"])


if __name__ == "__main__":
    unittest.main()
