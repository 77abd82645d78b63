"""Every model of the assets through `amct quantize`, against what models.json pins; docs/models.md is made from it.

Pinned for each model: layers that AMCT's table of supported layers allows and layers quantized (with the constraint where they
differ), sizes of the files, integer and float kernels of ONNX Runtime in the QDQ file, and the SQNR of the fake-quant output
against float. Below 20 dB the table says which layer is at fault and why. Every file is checked and run in ONNX Runtime.

usage: model_table.py AMCT [--update] [MODEL…]      --update writes models.json and docs/models.md
"""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from support import model_data
from support.assets import assets_or_exit

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/workflow/models.json"
PAGE = ROOT / "docs/models.md"
LOW = 20  # dB
SIZE_TOLERANCE, SQNR_TOLERANCE = 0.02, 1.0
# Operators that ONNX Runtime computes with, by the type of their kernels.
INTEGER = {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger", "QLinearAdd",
           "QLinearMul", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearAveragePool",
           "QLinearGlobalAveragePool", "QLinearSoftmax", "NhwcMaxPool", "DynamicQuantizeLSTM"}
FLOAT = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Add", "Mul", "AveragePool", "LSTM", "GRU",
         "GlobalAveragePool", "ConvTranspose", "LeakyRelu", "Concat"}
# Why the output of a model stands below LOW: measured with `amct compare --layers 0` and with the settings named.
EXPLAINED = {
    "dtln_1": "lstm_4 is at fault: its input is a spectrum whose largest value is 54 and most others below 0.2, less than a step of "
              "8 bits (0.21). Left in float (`--skip lstm_4`) it makes the scores 31.5 dB; `--activation-bits 16` gives {wide:.1f} dB. "
              "The mask that the network puts out, behind a Sigmoid, has 26.9 dB",
    "nanodet_m": "Conv_3, a depthwise convolution near the input, is at fault: left in float (`--skip Conv_3`) it makes the output 2 dB "
                 "better (20.5 dB), no other layer 0.3 dB; `--activation-bits 16` gives {wide:.1f} dB. The boxes match "
                 "(docs/benchmarks.md)",
}


def allowed():
    """File -> (layers that the table of supported layers allows, quantized, constraint), as quantized_layers_test.cc pins them."""
    rows = {}
    for line in (ROOT / "tests/workflow/quantized_layers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, may, are, *constraint = line.split(maxsplit=3)
            rows[name.removesuffix(".onnx")] = (int(may), int(are), "".join(constraint))
    return rows


def kernels(path, work):
    """Nodes of the graph that ONNX Runtime runs, as (integer, float by type), and that it runs."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(work / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    counts = collections.Counter(node.op_type for node in onnx.load(str(work / "optimized.onnx")).graph.node)
    return (sum(n for op, n in counts.items() if op in INTEGER),
            {op: n for op, n in sorted(counts.items()) if op in FLOAT})


def random_feeds(path):
    """Small numbers for every input; what a state or a rate must be is fixed."""
    rng = np.random.default_rng(9)
    runner = model_data.session(path)
    feeds = {}
    for item in runner.get_inputs():
        dims = [extent if isinstance(extent, int) else 576 if extent == "sequence" else 1 for extent in item.shape]
        if item.name == "sr":
            feeds[item.name] = np.array(16000, np.int64)
        elif "int64" in item.type:
            feeds[item.name] = rng.integers(0, 512, dims)
        else:
            feeds[item.name] = rng.normal(0, 1, dims).astype(np.float32)
    return runner, feeds


def runs(path):
    runner, feeds = random_feeds(path)
    return all(np.isfinite(value).all() for value in runner.run(None, feeds))


def quantize(program, item, work, *extra):
    command = [program, "quantize", item.path, *model_data.data_for(item, work), "--out", work / "q", "--json", "--quiet", *extra]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip())
    return json.loads(result.stdout)


def measure(program, item, work):
    report = quantize(program, item, work)
    deploy, fake, qdq = (work / f"q_{name}.onnx" for name in ("deploy_model", "fake_quant_model", "qdq"))
    for path in (fake, qdq):
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)
        if not runs(path):
            raise RuntimeError(f"{path.name} gives NaN or infinity")
    subprocess.run([program, "inspect", deploy], check=True, stdout=subprocess.DEVNULL)
    integer, left = kernels(qdq, work)
    row = {"layers": report["layers"], "quantized": report["quantized"],
           "float": {entry["layer"]: entry["reason"] for entry in report["kept_float"]},
           "bytes": {"float": item.path.stat().st_size, "qdq": qdq.stat().st_size, "fake": fake.stat().st_size,
                     "deploy": deploy.stat().st_size},
           "integer_kernels": integer, "float_kernels": left, "sqnr_db": round(report["sqnr_db"], 1),
           "weakest": report["weakest"][0]["layer"] if report["weakest"] else ""}
    if row["sqnr_db"] < LOW:
        row["sqnr_db_16_bits"] = round(quantize(program, item, work, "--activation-bits", "16")["sqnr_db"], 1)
    return row


def differences(name, pinned, row):
    if pinned is None:
        return [f"{name}: not in the table"]
    lines = [f"{name}: {key} {row[key]}, pinned {pinned[key]}"
             for key in ("layers", "quantized", "float", "integer_kernels", "float_kernels") if row[key] != pinned[key]]
    for kind, size in row["bytes"].items():
        if abs(size - pinned["bytes"][kind]) > SIZE_TOLERANCE * pinned["bytes"][kind]:
            lines.append(f"{name}: {kind} file of {size} bytes, pinned {pinned['bytes'][kind]}")
    if row["sqnr_db"] < pinned["sqnr_db"] - SQNR_TOLERANCE:
        lines.append(f"{name}: SQNR {row['sqnr_db']} dB, pinned {pinned['sqnr_db']} dB")
    return lines


def faults_of_table(table):
    """What holds whatever is pinned."""
    lines = []
    rows = allowed()
    for name, row in table.items():
        if name in rows and rows[name][:2] != (rows[name][0], row["quantized"]):
            lines.append(f"{name}: {row['quantized']} layers quantized, quantized_layers.txt says {rows[name][1]}")
        if row["sqnr_db"] < LOW and name not in EXPLAINED:
            lines.append(f"{name}: {row['sqnr_db']} dB without an explanation")
        if row["layers"] - row["quantized"] != len(row["float"]) or not all(row["float"].values()):
            lines.append(f"{name}: layers in float without a reason")
    return lines


def short(reasons):
    """Layers in float, those of one reason together."""
    by_reason = collections.defaultdict(list)
    for layer, reason in reasons.items():
        by_reason[reason].append(layer)
    return "; ".join(f"{len(names)} layers: {reason}" if len(names) > 2 else f"{', '.join(names)}: {reason}"
                     for reason, names in by_reason.items())


def page(table):
    lines = ["# The models of the assets", "",
             "What `amct quantize` makes of each with its defaults (64 samples, fewer where there are fewer). Generated by "
             "`tests/workflow/model_table.py build/bin/amct --update`, which the everyday tests compare with.", "",
             "Allowed: layers that AMCT's table of supported layers allows. Integer kernels: nodes that ONNX Runtime computes in integers "
             "when it runs the QDQ file, and the arithmetic that it leaves in float. SQNR: output of the fake-quant model against float.", "",
             "| model | allowed | quantized | float kB | QDQ kB | deploy kB | integer kernels | float kernels | SQNR |",
             "|---|---|---|---|---|---|---|---|---|"]
    rows = allowed()
    for name, row in table.items():
        may = rows[name][0] if name in rows else row["quantized"]
        sizes = [f"{row['bytes'][kind] / 1000:.0f}" for kind in ("float", "qdq", "deploy")]
        left = ", ".join(f"{n} {op}" for op, n in row["float_kernels"].items()) or "none"
        lines.append("| " + " | ".join([name, str(may), str(row["quantized"]), *sizes, str(row["integer_kernels"]), left,
                                        f"{row['sqnr_db']:.1f} dB"]) + " |")
    lines += ["", "## Layers that stay float", ""]
    lines += [f"- {name}: {short(row['float'])}" for name, row in table.items() if row["float"]] or ["None."]
    low = [name for name, row in table.items() if row["sqnr_db"] < LOW]
    lines += ["", f"## Outputs below {LOW} dB", ""]
    lines += [f"- {name}: {EXPLAINED[name].format(wide=table[name]['sqnr_db_16_bits'])}" for name in low] or ["None."]
    return "\n".join(lines) + "\n"


def main():
    arguments = [word for word in sys.argv[1:] if word != "--update"]
    program, chosen = pathlib.Path(arguments[0]).resolve(), arguments[1:]
    assets_or_exit()
    pinned = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    table, faults = {}, []
    for item in model_data.MODELS:
        if chosen and item.name not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                table[item.name] = measure(program, item, pathlib.Path(folder))
            except (RuntimeError, subprocess.CalledProcessError, onnx.checker.ValidationError) as error:
                faults.append(f"{item.name}: {error}")
                continue
        row = table[item.name]
        print(f"{item.name}: {row['quantized']} of {row['layers']} layers, {row['integer_kernels']} integer kernels, "
              f"{row['sqnr_db']} dB", flush=True)
    if "--update" in sys.argv:
        pinned = {**pinned, **table} if chosen else table
        faults += faults_of_table(pinned)
        if not faults:
            TABLE.write_text(json.dumps(pinned, indent=1) + "\n")
            PAGE.write_text(page(pinned))
    else:
        faults += [line for name, row in table.items() for line in differences(name, pinned.get(name), row)]
        faults += faults_of_table(table)
        if not chosen and PAGE.read_text() != page(pinned):
            faults.append("docs/models.md is not what models.json says")
    for line in faults:
        print("FAULT", line)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
