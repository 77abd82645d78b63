"""Operators of com.microsoft, and ONNX's quantized ones, compute what ONNX Runtime computes, on random models of one node.

usage: microsoft_operators_test.py ONNX_TOOL [SEED]
Each case runs in the plain kernels, in the compiled program, and compiled again from the file that amct writes of it.
Quantized results may differ by one quantum on at most 0.1 % of an operator's elements; floats by 1e-4 of their range.
Cases that must be refused with a reason are in REFUSED.
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

MICROSOFT, STANDARD = "com.microsoft", ""
FORMS = ("plain", "compiled", "copy")
TOLERANCE, QUANTA_SHARE = 1e-4, 1e-3


class Cases:
    """Collects models of one node with their inputs."""

    def __init__(self, random):
        self.random, self.found = random, []

    def add(self, op, inputs, outputs=1, domain=MICROSOFT, version=17, computed=(0,), compare=None, **attrs):
        """`inputs`: arrays, None where absent; those whose index is not in `computed` are initializers."""
        names = [f"x{i}" if a is not None else "" for i, a in enumerate(inputs)]
        outs = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
        # A node without a name is called as its first output is.
        name = "node" if len(self.found) % 2 else ""
        node = helper.make_node(op, names, outs, name=name, domain=domain, **attrs)
        graph_inputs, constants, feeds = [], [], {}
        for i, array in enumerate(inputs):
            if array is None:
                continue
            if i in computed:
                kind = helper.np_dtype_to_tensor_dtype(array.dtype)
                graph_inputs.append(helper.make_tensor_value_info(f"x{i}", kind, array.shape))
                feeds[f"x{i}"] = array
            else:
                constants.append(numpy_helper.from_array(array, f"x{i}"))
        wanted = [helper.make_empty_tensor_value_info(name) for name in outs if name]
        graph = helper.make_graph([node], "graph", graph_inputs, wanted, constants)
        opsets = [helper.make_opsetid("", version), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        self.found.append((op, model, feeds, compare))


def floats(random, *shape, low=-1.0, high=1.0):
    return random.uniform(low, high, shape).astype(np.float32)


def integers(random, dtype, *shape):
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max + 1, shape).astype(dtype)


def scale(random, low=0.005, high=0.05):
    return np.array(random.uniform(low, high), np.float32)


def zero(random, dtype):
    info = np.iinfo(dtype)
    return np.array(random.integers(info.min + 80, info.max - 80), dtype)


def add_fused(cases):
    r = cases.random
    conv = [floats(r, 2, 3, 9, 7), floats(r, 5, 3, 3, 3), floats(r, 5)]
    for activation, params in (("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.75]), ("Sigmoid", []), ("Tanh", []),
                               ("HardSigmoid", [0.3, 0.4])):
        more = {"activation_params": params} if params else {}
        cases.add("FusedConv", conv, activation=activation, pads=[1, 1, 1, 1], **more)
    cases.add("FusedConv", [*conv, floats(r, 2, 5, 7, 5)], computed=(0, 3), activation="Relu")
    for activation, more in (("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.3}), ("Tanh", {})):
        cases.add("FusedGemm", [floats(r, 5, 7), floats(r, 3, 7), floats(r, 3)], activation=activation, transB=1, **more)
    a, b = floats(r, 2, 3, 5, 7), floats(r, 2, 3, 7, 6)
    cases.add("FusedMatMul", [a, b], computed=(0, 1), alpha=0.25)
    cases.add("FusedMatMul", [a, b.swapaxes(2, 3).copy()], computed=(0, 1), transB=1, alpha=2.0)
    cases.add("FusedMatMul", [a.swapaxes(2, 3).copy(), b], computed=(0, 1), transA=1)
    cases.add("FusedMatMul", [a, floats(r, 6, 7)], transB=1)


def add_units(cases):
    r = cases.random
    x = floats(r, 3, 5, 16, low=-4, high=4)
    for opset in (12, 17, 21):
        cases.add("Gelu", [x], version=opset)
        cases.add("FastGelu", [x], version=opset)
    cases.add("FastGelu", [x, floats(r, 16)])
    cases.add("QuickGelu", [x])
    cases.add("QuickGelu", [x], alpha=1.3)
    cases.add("BiasGelu", [x, floats(r, 16)])
    gamma, beta, bias = floats(r, 16), floats(r, 16), floats(r, 16)
    cases.add("LayerNormalization", [x, gamma, beta], domain=STANDARD, version=12)
    cases.add("SimplifiedLayerNormalization", [x, gamma], domain=STANDARD, version=12, epsilon=1e-3)
    skip = floats(r, 3, 5, 16)
    for opset in (12, 17):
        cases.add("SkipLayerNormalization", [x, skip, gamma, beta, bias], computed=(0, 1), version=opset, epsilon=1e-3)
    cases.add("SkipLayerNormalization", [x, skip, gamma], computed=(0, 1), outputs=["y", "", "", "sum"])
    cases.add("SkipLayerNormalization", [x, floats(r, 5, 16), gamma, beta], computed=(0, 1))
    cases.add("SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], computed=(0, 1), outputs=["y", "", "", "sum"])
    cases.add("SkipSimplifiedLayerNormalization", [x, skip, gamma], computed=(0, 1))
    ids = r.integers(0, 11, (2, 5)).astype(np.int32)
    tables = [floats(r, 11, 8), floats(r, 7, 8), floats(r, 2, 8), floats(r, 8), floats(r, 8)]
    segments, mask = r.integers(0, 2, (2, 5)).astype(np.int32), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    cases.add("EmbedLayerNormalization", [ids, segments, *tables, mask], computed=(0, 1, 7), outputs=3)
    cases.add("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, *tables[3:]], outputs=2)


def add_attention(cases):
    r = cases.random
    q, k, v = floats(r, 2, 5, 12), floats(r, 2, 7, 12), floats(r, 2, 7, 12)
    mask = np.array([[1, 1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1, 1]], np.int32)
    cases.add("MultiHeadAttention", [q, k, v, floats(r, 36)], computed=(0, 1, 2), num_heads=3)
    cases.add("MultiHeadAttention", [q, k, v, None, mask], computed=(0, 1, 2, 4), num_heads=3)
    cases.add("MultiHeadAttention", [q, k, v, None, np.array([4, 7], np.int32)], computed=(0, 1, 2, 4), num_heads=3)
    cases.add("MultiHeadAttention", [q, k, v, None, None, floats(r, 2, 3, 5, 7)], computed=(0, 1, 2, 5), num_heads=3)
    cases.add("MultiHeadAttention", [q, q, q, floats(r, 36)], computed=(0, 1, 2), num_heads=3, unidirectional=1)
    past = [floats(r, 2, 3, 4, 4), floats(r, 2, 3, 4, 4)]
    cases.add("MultiHeadAttention", [q, q, q, None, None, None, *past], computed=(0, 1, 2, 6, 7), num_heads=3, outputs=3)
    x, w, b = floats(r, 2, 5, 8), floats(r, 8, 24), floats(r, 24)
    cases.add("Attention", [x, w, b], num_heads=2)
    cases.add("Attention", [x, w, b, mask[:, :5].copy()], computed=(0, 3), num_heads=2)
    cases.add("Attention", [x, w, b], num_heads=2, unidirectional=1, scale=0.3)
    cases.add("Attention", [x, w, b, None, floats(r, 2, 2, 2, 3, 4)], computed=(0, 4), num_heads=2, outputs=2)
    cases.add("Attention", [x, floats(r, 8, 28), floats(r, 28)], num_heads=2, qkv_hidden_sizes=[8, 8, 12])
    positions = np.array([[0, 1, 2, 3, 9], [4, 3, 2, 1, 0]], np.int64)
    tables = [floats(r, 11, 4), floats(r, 11, 4)]
    cases.add("RotaryEmbedding", [floats(r, 2, 3, 5, 8), positions, *tables], computed=(0, 1))
    cases.add("RotaryEmbedding", [floats(r, 2, 5, 24), np.array([2], np.int64), *tables], computed=(0, 1), interleaved=1)
    add_grouped(cases)


def add_grouped(cases):
    r = cases.random

    def add(batch, tokens, past, lengths, total, more=(), packed=False, compare=None, **attrs):
        qkv = [floats(r, batch, tokens, 64), floats(r, batch, tokens, 32), floats(r, batch, tokens, 32)]
        if packed:
            qkv = [np.concatenate(qkv, axis=2), None, None]
        buffers = [floats(r, batch, 2, past, 16), floats(r, batch, 2, past, 16)] if past else [None, None]
        inputs = [*qkv, *buffers, np.array(lengths, np.int32), np.array([total], np.int32), *more]
        computed = [i for i in range(5) if inputs[i] is not None] + [5]
        cases.add("GroupQueryAttention", inputs, computed=computed, outputs=3, num_heads=4, kv_num_heads=2,
                  compare=compare, **attrs)

    tables = [floats(r, 16, 8), floats(r, 16, 8)]
    add(2, 5, 0, [4, 4], 5)
    add(1, 5, 0, [4], 5, tables, packed=True, do_rotary=1)
    add(1, 7, 0, [6], 7, local_window_size=3, softcap=3.0, scale=0.5)
    add(2, 1, 6, [6, 6], 7, tables, do_rotary=1, rotary_interleaved=1)
    add(2, 1, 9, [7, 5], 8, tables, do_rotary=1, compare=["y0"])
    add(1, 5, 0, [4], 5, smooth_softmax=1)
    add(1, 5, 0, [4], 5, [None, None, None, None, floats(r, 4)])


def add_packed_weights(cases):
    r = cases.random
    for bits, block, k in ((4, 16, 64), (4, 32, 96), (8, 32, 64), (4, 32, 50), (8, 16, 72)):
        n, blocks = 70, -(-k // block)
        weight = integers(r, np.uint8, n, blocks, block * bits // 8)
        scales = floats(r, n, blocks, low=0.01, high=0.1)
        zeros = integers(r, np.uint8, n, -(-blocks * bits // 8))
        attrs = {"K": k, "N": n, "bits": bits, "block_size": block}
        cases.add("MatMulNBits", [floats(r, 2, 3, k), weight, scales], **attrs)
        cases.add("MatMulNBits", [floats(r, 5, k), weight, scales, zeros], **attrs)
        cases.add("MatMulNBits", [floats(r, 1, k), weight, scales, zeros, None, floats(r, n)], **attrs)


def add_packed_tables(cases):
    r = cases.random
    indices, scales = r.integers(0, 30, (2, 5)), floats(r, 30, 3, low=0.01, high=0.1)
    table, zeros = integers(r, np.uint8, 30, 24), integers(r, np.uint8, 30, 2)
    for inputs in ([table, indices, scales], [table, indices, scales, zeros]):
        cases.add("GatherBlockQuantized", inputs, computed=(1,), version=21, block_size=16, quantize_axis=1, bits=4)


def add_quantized_units(cases):
    r = cases.random
    for dtype in (np.uint8, np.int8):

        def operand(*shape, dtype=dtype):
            return [integers(r, dtype, *shape), scale(r), zero(r, dtype)]

        for op in ("QLinearAdd", "QLinearMul"):
            wide = scale(r) if op == "QLinearAdd" else scale(r, 0.02, 0.2)
            cases.add(op, [*operand(3, 5, 40, 17), *operand(3, 5, 40, 17), wide, zero(r, dtype)], computed=(0, 3))
            cases.add(op, [*operand(2, 7, 30, 9), *operand(7, 1, 1), wide, zero(r, dtype)], computed=(0, 3))
        parts = [*operand(2, 3, 31, 9), *operand(2, 5, 31, 9)]
        cases.add("QLinearConcat", [scale(r), zero(r, dtype), *parts], computed=(2, 5), axis=1)
        cases.add("QLinearLeakyRelu", [*operand(3, 4000), scale(r), zero(r, dtype)], alpha=0.2)
        cases.add("QLinearSigmoid", [*operand(3, 4000), np.array(0.0041, np.float32), np.array(np.iinfo(dtype).min, dtype)])
        soft = [np.array(1 / 256, np.float32), np.array(np.iinfo(dtype).min, dtype)]
        cases.add("QLinearSoftmax", [*operand(300, 21), *soft], axis=-1, opset=13)
        cases.add("QLinearAveragePool", [*operand(2, 6, 23, 19), scale(r), zero(r, dtype)], kernel_shape=[3, 2],
                  strides=[1, 2], pads=[1, 0, 1, 1])
        cases.add("QLinearGlobalAveragePool", [*operand(50, 41, 7, 7), scale(r, 0.001, 0.01), zero(r, dtype)])
    nhwc = integers(r, np.uint8, 50, 7, 7, 41)
    cases.add("QLinearGlobalAveragePool", [nhwc, scale(r), zero(r, np.uint8), scale(r, 0.001, 0.01), zero(r, np.uint8)],
              channels_last=1)
    cases.add("NhwcMaxPool", [integers(r, np.uint8, 2, 13, 11, 5)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


def add_quantized_products(cases):
    r = cases.random
    for dtype, signed in ((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)):
        a, b = integers(r, dtype, 90, 37), integers(r, signed, 37, 61)
        pair = [a, scale(r), zero(r, dtype), b, scale(r), zero(r, signed)]
        bias = r.integers(-5000, 5000, 61).astype(np.int32)
        result = [np.array(0.9, np.float32), zero(r, dtype)]
        cases.add("QGemm", [*pair, bias, *result])
        cases.add("QGemm", [*pair[:3], b.T.copy(), *pair[4:], None, *result], transB=1)
        cases.add("QGemm", [*pair, bias], alpha=0.5)
        columns = floats(r, 61, low=0.005, high=0.05)
        cases.add("QGemm", [*pair[:4], columns, np.zeros(61, signed), bias, *result])
        cases.add("MatMulIntegerToFloat", [a, b, scale(r), scale(r), zero(r, dtype), zero(r, signed), floats(r, 61)])
        cases.add("MatMulIntegerToFloat", [a, b, scale(r), columns])
        cases.add("QLinearMatMul", [*pair, *result], domain=STANDARD)
        cases.add("MatMulInteger", [a, b, zero(r, dtype), zero(r, signed)], domain=STANDARD)
    for signed in (np.int8, np.uint8):
        x, b = floats(r, 3, 30, 37, low=-2, high=3), integers(r, signed, 37, 61)
        cases.add("DynamicQuantizeMatMul", [x, b, scale(r), zero(r, signed), floats(r, 61)])
        cases.add("DynamicQuantizeMatMul", [x, b, floats(r, 61, low=0.005, high=0.05)])
    cases.add("DynamicQuantizeLinear", [floats(r, 30, 400, low=-2, high=3)], domain=STANDARD, outputs=3)


def add_quantized_convolutions(cases):
    r = cases.random
    for dtype, signed in ((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)):
        x, w = integers(r, dtype, 2, 6, 17, 15), integers(r, signed, 8, 3, 3, 3)
        w_zero = np.array(0, signed) if signed == np.int8 else zero(r, signed)
        bias = r.integers(-5000, 5000, 8).astype(np.int32)
        tail = [np.array(0.7, np.float32), zero(r, dtype), bias]
        attrs = {"group": 2, "pads": [1, 0, 2, 1], "strides": [1, 2]}
        inputs = [x, scale(r), zero(r, dtype), w, scale(r), w_zero, *tail]
        cases.add("QLinearConv", inputs, domain=STANDARD, **attrs)
        channels = [*inputs[:4], floats(r, 8, low=0.005, high=0.05), np.full(8, w_zero), *tail]
        if signed == np.int8:
            cases.add("QLinearConv", channels, domain=STANDARD, **attrs)
        if dtype == np.uint8:
            cases.add("ConvInteger", [x, w, zero(r, dtype), w_zero], domain=STANDARD, **attrs)
            nhwc = [np.moveaxis(x, 1, -1).copy(), *inputs[1:]]
            cases.add("QLinearConv", nhwc, channels_last=1, kernel_shape=[3, 3], **attrs)
    for dtype in (np.uint8, np.int8, np.uint16, np.int16):
        domain = MICROSOFT if np.iinfo(dtype).bits == 16 else STANDARD
        step = scale(r) if domain == STANDARD else scale(r, 0.0001, 0.001)
        cases.add("QuantizeLinear", [floats(r, 40, 300, low=-6, high=6), step, zero(r, dtype)], domain=domain)
        cases.add("DequantizeLinear", [integers(r, dtype, 40, 300), step, zero(r, dtype)], domain=domain)


def refused(random):
    """(model, what the reason must name)"""
    cases = Cases(random)
    weight = integers(random, np.uint8, 4, 1, 8)
    attrs = {"K": 16, "N": 4, "bits": 4, "block_size": 16}
    order = np.zeros(16, np.int32)
    cases.add("MatMulNBits", [floats(random, 2, 16), weight, floats(random, 4, 1), None, order], **attrs)
    cases.add("FusedConv", [floats(random, 1, 1, 3, 3), floats(random, 1, 1, 1, 1)], activation="Mish")
    cases.add("Attention", [floats(random, 1, 2, 4), floats(random, 4, 12), floats(random, 12)], num_heads=1, do_rotary=1)
    x = floats(random, 2, 4)
    cases.add("SkipLayerNormalization", [x, x, floats(random, 4)], outputs=["y", "mean"], computed=(0, 1))
    return list(zip(cases.found, ("g_idx", "Mish", "do_rotary", "statistics")))


def load(folder, stem, count):
    result = []
    for i in range(count):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((folder / f"{stem}_{i}.pb").read_bytes())
        result.append(numpy_helper.to_array(tensor))
    return result


def fault_of(ours, theirs, tally):
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{list(ours.shape)} where ONNX Runtime has {theirs.dtype}{list(theirs.shape)}"
    if ours.dtype.kind in "iu":
        quanta = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
        tally["elements"] += ours.size
        tally["differ"] += int((quanta > 0).sum())
        return f"differs by {quanta.max()} quanta" if quanta.size and quanta.max() > 1 else None
    bound = TOLERANCE * max(1.0, float(np.abs(theirs).max(initial=0)))
    worst = float(np.abs(ours.astype(np.float64) - theirs).max(initial=0))
    return None if worst <= bound else f"differs by {worst:.3g} (allowed {bound:.3g})"


def save(folder, model, feeds):
    folder.mkdir()
    onnx.save(model, str(folder / "model.onnx"))
    for i, array in enumerate(feeds.values()):
        (folder / f"input_{i}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    cases = Cases(random)
    for add in (add_fused, add_units, add_attention, add_packed_weights, add_packed_tables, add_quantized_units, add_quantized_products,
                add_quantized_convolutions):
        add(cases)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    faults, compared = [], 0
    tallies = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        expected = {}
        for i, (op, model, feeds, compare) in enumerate(cases.found):
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            outputs = [value.name for value in session.get_outputs()]
            expected[f"{i:03}_{op}"] = (op, outputs, session.run(None, feeds), compare)
            save(root / f"{i:03}_{op}", model, feeds)
        refusals = refused(random)
        for i, ((op, model, feeds, _), _) in enumerate(refusals):
            save(root / f"refused_{i}", model, feeds)
        done = subprocess.run([sys.argv[1], "run", name], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"onnx_tool ended with {done.returncode}: {done.stderr}")
        errors = dict(line.removeprefix("error ").split(": ", 1) for line in done.stdout.splitlines())
        for i, (_, word) in enumerate(refusals):
            if word not in errors.get(f"refused_{i}", ""):
                faults.append(f"refused_{i}: '{word}' is not in '{errors.get(f'refused_{i}')}'")
        for case, (op, outputs, theirs, compare) in expected.items():
            if case in errors:
                faults.append(f"{case}: {errors[case]}")
                continue
            for form in FORMS:
                for output, a, b in zip(outputs, load(root / case, form, len(theirs)), theirs):
                    fault = None if compare and output not in compare else fault_of(a, b, tallies[op])
                    if fault:
                        faults.append(f"{case} {form} {output}: {fault}")
            compared += 1
    for op, tally in sorted(tallies.items()):
        share = tally["differ"] / max(tally["elements"], 1)
        if tally["elements"]:
            print(f"{op}: {tally['differ']} of {tally['elements']} elements differ by one quantum")
        if share > QUANTA_SHARE:
            faults.append(f"{op}: {100 * share:.2f} % of the elements differ by one quantum")
    for fault in faults:
        print(f"FAILED {fault}")
    print(f"{compared} of {len(expected)} cases compared, {len(faults)} faults (seed {seed})")
    assert compared, "no case was compared"
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
