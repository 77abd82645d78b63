"""Every form of data that the program reads and writes: arrays, raw files, images, several inputs, fixed batches."""

import itertools
import struct
import unittest
import zlib

import numpy as np
from onnx import helper, numpy_helper

from support.command_test import SEED, CommandTest, small_network
from support.models import save_model
from support.onnx_runtime import session
from support.program import run_model

NUMPY_TYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
               "float64", "complex64", "complex128"]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, color, palette=b""):
    """A PNG of samples[height][width][channels], each `depth` bits; `color` is the format's color type."""
    height, width, channels = samples.shape
    rows = b""
    for row in samples.reshape(height, width * channels):
        bits = "".join(f"{int(v):0{depth}b}" for v in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"") +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def save_idx(path, array):
    path.write_bytes(struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) +
                     array.tobytes())


def two_inputs(path):
    """A convolution on an image, a gemm on a vector, and their sum, 5 classes."""
    rng = np.random.default_rng(SEED)
    constants = {"w": rng.normal(0, 0.5, (5, 3, 4, 4)), "v": rng.normal(0, 0.5, (5, 7))}
    nodes = [helper.make_node("Conv", ["image/in:0", "w"], ["c"], "conv"),
             helper.make_node("GlobalAveragePool", ["c"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["vector", "v"], ["g"], "fc", transB=1),
             helper.make_node("Add", ["f", "g"], ["y"])]
    inputs = [("image/in:0", ["N", 3, 6, 5]), ("vector", ["N", 7])]
    save_model(path, nodes, inputs, [("y", ["N", 5])], constants)


class Arrays(CommandTest):
    def test_every_numpy_type_and_no_axes_round_trip(self):
        rng = np.random.default_rng(SEED)
        model = self.work / "identity.onnx"
        for name, shape in itertools.product(NUMPY_TYPES, ((), (3, 5), (2, 0, 3))):
            array = np.asarray(rng.uniform(-9 if name[0] != "u" else 0, 9, shape)).astype(name)
            if name.startswith("complex"):
                array = (array + 1j * rng.uniform(-9, 9, shape)).astype(name)
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            save_model(model, [helper.make_node("Identity", ["x"], ["y"])], [("x", shape, kind)], [("y", shape, kind)])
            result = run_model(model, {"x": array})["y"]
            self.assertEqual(result.dtype, array.dtype)
            self.assertEqual(result.shape, array.shape)
            self.assertEqual(result.tobytes(), array.tobytes(), f"{name} {shape}, seed {SEED}")

    def test_big_endian_and_column_major_arrays(self):
        array = np.asfortranarray(np.random.default_rng(SEED).normal(0, 1, (2, 3, 12, 10)).astype(">f4"))
        ours = run_model(self.model, {"x": array})["probabilities"]
        theirs = session(self.model).run(None, {"x": array.astype("<f4")})[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def test_every_cast_equals_onnx_runtime(self):
        rng = np.random.default_rng(SEED)
        model = self.work / "cast.onnx"
        kinds = [name for name in NUMPY_TYPES if not name.startswith("complex")]
        for source, target in itertools.product(kinds, kinds):
            array = np.asarray(rng.uniform(0, 9, ())).astype(source)
            codes = [helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (source, target)]
            save_model(model, [helper.make_node("Cast", ["x"], ["y"], to=codes[1])], [("x", [], codes[0])],
                       [("y", [], codes[1])])
            theirs = session(model).run(None, {"x": array})[0]
            ours = run_model(model, {"x": array})["y"]
            self.assertEqual((ours.dtype, ours.shape), (theirs.dtype, theirs.shape))
            np.testing.assert_array_equal(ours, theirs, f"{source} to {target}, seed {SEED}")

    def test_names_with_slashes_colons_and_equals_signs(self):
        model = self.work / "names.onnx"
        save_model(model, [helper.make_node("Neg", ["a/x:0"], ["b/y:0=z"])], [("a/x:0", [2])],
                   [("b/y:0=z", [2])])
        np.save(self.work / "f=1.npy", np.asarray([1, -2], np.float32))
        out = self.work / "new/folder"
        self.run_amct("run", model, "--input", f"a/x:0={self.work / 'f=1.npy'}", "--out", out)
        np.testing.assert_array_equal(np.load(out / "b_y:0=z.npy"), [-1, 2])

    def test_a_model_without_inputs(self):
        model = self.work / "constant.onnx"
        save_model(model, [helper.make_node("Exp", ["c"], ["y"])], [], [("y", [3])],
                   {"c": np.asarray([0, 1, 2], np.float32)})
        np.testing.assert_allclose(run_model(model, {})["y"], np.exp([0, 1, 2]), rtol=1e-6)

    def record(self, name, *options, model=None):
        prefix = self.work / "out" / name
        self.run_amct("quantize", model or self.model, "--out", prefix, *options)
        return prefix.with_name(f"{name}_record.txt").read_text()

    def test_all_forms_of_the_same_samples_give_the_same_record(self):
        expected = self.record("npy", "--data", self.data)
        folders = {name: self.work / name for name in ("single", "bin", "open", "proto", "npz")}
        for folder in folders.values():
            folder.mkdir()
        for i, sample in enumerate(self.samples):
            np.save(folders["single"] / f"{i:02}.npy", sample)
            np.savez(folders["npz"] / f"{i:02}.npz", x=sample[None], other=np.zeros((1, 2)))
            tensor = numpy_helper.from_array(sample[None], "x")
            (folders["proto"] / f"{i:02}.pb").write_bytes(tensor.SerializeToString())
        self.samples[:10].tofile(folders["bin"] / "0.bin")
        self.samples[10:].tofile(folders["bin"] / "1.bin")
        self.samples[:13].tofile(folders["open"] / "0.bin")
        self.samples[13:].tofile(folders["open"] / "1.bin")
        (folders["bin"] / "notes.txt").write_text("other files are ignored")
        np.savez_compressed(self.work / "all.npz", self.samples)
        options = {"bin": ("--input-shape", "x:10,3,12,10", "--data-types", "float32"),
                   "open": ("--input-shape", "-1,3,12,10")}
        for name, folder in folders.items():
            self.assertEqual(self.record(name, "--data", folder, *options.get(name, ())), expected, name)
        self.assertEqual(self.record("zip", "--data", self.work / "all.npz"), expected)

    def test_raw_integers_become_floats(self):
        levels = np.random.default_rng(SEED).integers(0, 256, (6, 3, 12, 10)).astype(np.uint8)
        np.save(self.work / "floats.npy", levels.astype(np.float32))
        levels.tofile(self.work / "levels.bin")
        self.assertEqual(self.record("raw", "--data", self.work / "levels.bin", "--input-shape", "6,3,12,10",
                                     "--data-types", "uint8"),
                         self.record("floats", "--data", self.work / "floats.npy"))

    def test_several_inputs(self):
        model = self.work / "two.onnx"
        two_inputs(model)
        rng = np.random.default_rng(SEED)
        images = rng.normal(0, 1, (9, 3, 6, 5)).astype(np.float32)
        vectors = rng.normal(0, 1, (9, 7)).astype(np.float32)
        np.savez(self.work / "both.npz", **{"image/in:0": images, "vector": vectors})
        expected = self.record("npz", "--data", self.work / "both.npz", model=model)
        files = self.work / "files"
        (files / "image_in:0").mkdir(parents=True)
        (files / "vector").mkdir()
        np.save(files / "image_in:0/0.npy", images)
        vectors.tofile(files / "vector/0.bin")
        shapes = ("--input-shape", "image/in:0:9,3,6,5;vector:9,7", "--data-types", "float32;float32")
        self.assertEqual(self.record("folders", "--data", files, *shapes, model=model), expected)
        self.fails("quantize", model, "--data", self.data, "--out", self.work / "bad", says=["vector", "image/in:0"])
        np.savez(self.work / "both.npz", **{"image/in:0": images, "vector": vectors[:8]})
        self.fails("quantize", model, "--data", self.work / "both.npz", "--out", self.work / "bad", says=["9", "8"])

    def test_a_fixed_batch_evaluates_every_sample(self):
        classes = session(self.model).run(None, {"x": self.samples})[0].argmax(1)
        classes[19] = (classes[19] + 1) % 7  # in the last, smaller batch
        np.save(self.work / "labels.npy", classes)
        small_network(self.model, batch=3)
        for batch in ("1", "3", "7"):
            result = self.run_json("evaluate", self.model, "--data", self.data, "--labels", self.work / "labels.npy",
                                   "--batch", batch)
            self.assertEqual((result["top1"], result["samples"]), (95.0, 20))


class Images(CommandTest):
    """The network's answer for an image, against the same pixels as an array."""

    def setUp(self):
        super().setUp()
        self.rng = np.random.default_rng(SEED)
        self.model = self.work / "mean.onnx"
        self.folder = self.work / "images"
        self.folder.mkdir()

    def class_of_all(self, shape, preprocess, pixels):
        """Evaluates a model whose class scores single out the given pixels (scaled as the network sees them)."""
        others = pixels + self.rng.normal(0, 0.02 * pixels.max(), (3, *shape))
        templates = np.stack([pixels, *others]).reshape(4, -1)
        # The nearest template wins: -|x - t|^2 = 2 x.t - |t|^2 - |x|^2.
        save_model(self.model, [helper.make_node("Flatten", ["x"], ["f"]),
                                helper.make_node("Gemm", ["f", "w", "b"], ["y"], alpha=2.0, transB=1)],
                   [("x", ["N", *shape])], [("y", ["N", 4])],
                   {"w": templates, "b": -(templates**2).sum(1)})
        files = sorted(self.folder.iterdir())
        labels = self.work / "labels.txt"
        labels.write_text("".join(f"{path.name} 0\n" for path in files) + "of_another_folder.png 3\n")
        result = self.run_json("evaluate", self.model, "--data", self.folder, "--labels", labels,
                               "--preprocess", preprocess)
        self.assertEqual(result["samples"], len(files))
        self.assertEqual(result["top1"], 100.0, f"seed {SEED}")

    def test_grey_palette_and_16_bit_images_become_what_the_input_wants(self):
        palette = self.rng.integers(0, 256, (16, 3))
        index = self.rng.integers(0, 16, (9, 7, 1))
        color = palette[index[..., 0]]
        alpha = self.rng.integers(0, 256, (9, 7, 1))
        flat = palette.astype(np.uint8).tobytes()
        for name, content in {"palette4": png(index, 4, 3, flat), "palette8": png(index, 8, 3, flat),
                              "rgb8": png(color, 8, 2), "rgb16": png(color * 257, 16, 2),
                              "rgba8": png(np.concatenate([color, alpha], 2), 8, 6),
                              "rgba16": png(np.concatenate([color, alpha], 2) * 257, 16, 6)}.items():
            (self.folder / f"{name}.png").write_bytes(content)
        self.class_of_all((3, 9, 7), "unit", color.transpose(2, 0, 1) / 255)

    def test_images_of_different_sizes_need_one_size(self):
        weight = self.rng.normal(0, 0.4, (5, 3, 3, 3)).astype(np.float32)
        save_model(self.model, [helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
                                helper.make_node("GlobalAveragePool", ["c"], ["p"]),
                                helper.make_node("Flatten", ["p"], ["y"])],
                   [("x", ["N", 3, "H", "W"])], [("y", ["N", 5])], {"w": weight})
        labels = self.work / "labels.txt"
        labels.write_text("a.png 0\nb.png 1\n")
        for first, second in (((9, 7), (12, 7)), ((12, 7), (9, 7))):
            for name, (height, width) in {"a.png": first, "b.png": second}.items():
                (self.folder / name).write_bytes(png(self.rng.integers(0, 256, (height, width, 3)), 8, 2))
            says = ["b.png", f"[1, 3, {second[0]}, 7]", f"[1, 3, {first[0]}, 7]", "resize="]
            data = ["--data", self.folder, "--preprocess", "unit"]
            self.fails("quantize", self.model, *data, "--out", self.work / "out/m", says=says)
            self.fails("evaluate", self.model, *data, "--labels", labels, says=says)
            self.assertFalse((self.work / "out").exists())
        self.run_amct("quantize", self.model, "--data", self.folder, "--preprocess", "unit,crop=8x7", "--out",
                      self.work / "out/m")

    def test_grey_images_into_three_channels_and_into_one(self):
        grey = self.rng.integers(0, 2, (9, 7, 1))
        for depth in (1, 2, 4, 8, 16):
            (self.folder / f"grey{depth}.png").write_bytes(png(grey * (2**depth - 1), depth, 0))
        (self.folder / "alpha.png").write_bytes(png(np.repeat(grey, 2, 2) * 255, 8, 4))
        self.class_of_all((3, 9, 7), "unit", np.repeat(grey.transpose(2, 0, 1), 3, 0).astype(float))
        self.class_of_all((1, 9, 7), "mnist", grey.transpose(2, 0, 1) * 255.0)

    def test_idx_files_into_an_mnist_model(self):
        digits = self.rng.integers(0, 256, (12, 28, 28)).astype(np.uint8)
        weight = self.rng.normal(0, 0.01, (10, 784)).astype(np.float32)
        save_model(self.model, [helper.make_node("Flatten", ["x"], ["f"]),
                                helper.make_node("Gemm", ["f", "w"], ["y"], "fc", transB=1)],
                   [("x", ["N", 1, 28, 28])], [("y", ["N", 10])], {"w": weight})
        classes = (digits.reshape(12, -1).astype(np.float32) @ weight.T).argmax(1).astype(np.uint8)
        save_idx(self.work / "t10k-images-idx3-ubyte", digits)
        save_idx(self.work / "t10k-labels-idx1-ubyte", classes)
        for extra in ((), ("--preprocess", "mnist")):
            result = self.run_json("evaluate", self.model, "--data", self.work / "t10k-images-idx3-ubyte", "--labels",
                                   self.work / "t10k-labels-idx1-ubyte", *extra)
            self.assertEqual((result["top1"], result["samples"]), (100.0, 12))
        scaled = self.run_json("evaluate", self.model, "--data", self.work / "t10k-images-idx3-ubyte", "--labels",
                               self.work / "t10k-labels-idx1-ubyte", "--preprocess", "unit,color=grey")
        self.assertEqual(scaled["top1"], 100.0)  # a gemm without bias: the scale does not move the largest


if __name__ == "__main__":
    unittest.main()
