"""Every model of the assets through `amct quantize`, against what models.json pins; docs/models.md is made from it.

Pinned for each model: layers that AMCT's table of supported layers allows and layers quantized (with the constraint where they
differ), sizes of the files, integer and float kernels of ONNX Runtime in the QDQ file, and the SQNR of the fake-quant output
against float. Below 20 dB the table says which layer is at fault and why. Every file is checked and run in ONNX Runtime.

usage: model_table_test.py [--update] [MODEL…]      --update writes pinned/models.json and docs/models.md
"""

import collections
import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx

from support import model_data
from support.assets import ROOT, assets_or_exit
from support.onnx_runtime import kernels, session
from support.program import amct, amct_json

TABLE = ROOT / "tests/workflow/pinned/models.json"
PAGE = ROOT / "docs/models.md"
LOW = 20  # dB
SIZE_TOLERANCE, SQNR_TOLERANCE = 0.02, 1.0
# Operators that ONNX Runtime computes with, by the type of their kernels.
INTEGER = {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger", "QLinearAdd",
           "QLinearMul", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearAveragePool",
           "QLinearGlobalAveragePool", "QLinearSoftmax", "NhwcMaxPool", "DynamicQuantizeLSTM"}
FLOAT = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Add", "Mul", "AveragePool", "LSTM", "GRU",
         "GlobalAveragePool", "ConvTranspose", "LeakyRelu", "Concat"}
# What brings the output of a model below LOW: a layer, and why; measure_low() says the numbers.
AT_FAULT = {
    "dtln_1": ("lstm_4", "its input is a spectrum whose largest value is {largest:.0f}, and {below_a_step:.0f} % of it is below one step of "
                         "8 bits ({step:.2f}). The mask that the network puts out, behind a Sigmoid, has {output_db:.1f} dB"),
    "nanodet_m": ("Conv_3", "a depthwise convolution near the input. The boxes match (docs/benchmarks.md)"),
}


def allowed():
    """File -> (layers that the table of supported layers allows, quantized, constraint), as quantized_layers_test.cc pins them."""
    rows = {}
    for line in (ROOT / "tests/workflow/pinned/quantized_layers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, may, are, *constraint = line.split(maxsplit=3)
            rows[name.removesuffix(".onnx")] = (int(may), int(are), "".join(constraint))
    return rows


def kernels_by_type(path, work):
    """Nodes of the graph that ONNX Runtime runs: in integers, and in float by operator."""
    counts = kernels(path, work)
    return (sum(n for op, n in counts.items() if op in INTEGER),
            {op: n for op, n in sorted(counts.items()) if op in FLOAT})


def runs(path):
    runner = session(path)
    feeds = model_data.random_feeds(runner, np.random.default_rng(9))
    return all(np.isfinite(value).all() for value in runner.run(None, feeds))


def quantize(item, work, *extra):
    return amct_json("quantize", item.path, *model_data.data_for(item, work), "--out", work / "q", *extra)


def measure(item, work):
    report = quantize(item, work)
    deploy, fake, qdq = (work / f"q_{name}.onnx" for name in ("deploy_model", "fake_quant_model", "qdq"))
    for path in (fake, qdq):
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)
        if not runs(path):
            raise RuntimeError(f"{path.name} gives NaN or infinity")
    amct("inspect", deploy)
    integer, left = kernels_by_type(qdq, work)
    row = {"layers": report["layers"], "quantized": report["quantized"],
           "float": {entry["layer"]: entry["reason"] for entry in report["kept_float"]},
           "bytes": {"float": item.path.stat().st_size, "qdq": qdq.stat().st_size, "fake": fake.stat().st_size,
                     "deploy": deploy.stat().st_size},
           "integer_kernels": integer, "float_kernels": left, "sqnr_db": round(report["sqnr_db"], 1),
           "weakest": report["weakest"][0]["layer"] if report["weakest"] else ""}
    if row["sqnr_db"] < LOW and item.name in AT_FAULT:
        row["low"] = measure_low(item, work)
    return row


def measure_low(item, work):
    """Of a network as it was quantized: its output, and what it is with the layer at fault in float and with 16 bits."""
    layer = AT_FAULT[item.name][0]
    compared = amct_json("compare", item.path, work / "q_fake_quant_model.onnx", *model_data.data_for(item, work))
    step = next(row["activation"]["scale"] for row in json.loads((work / "q_plan.json").read_text())["layers"]
                if row["name"] == layer)
    low = {"output_db": compared["outputs"][0]["sqnr_db"], "step": step}
    if item.name == "dtln_1":
        values = np.stack([next(iter(feed.values())) for feed in model_data.feeds_of(item)])
        low |= {"largest": float(values.max()), "below_a_step": float(100 * np.mean(values < step))}
    low["skipped_db"] = quantize(item, work, "--skip", layer)["sqnr_db"]
    low["wide_db"] = quantize(item, work, "--activation-bits", "16")["sqnr_db"]
    return {key: round(value, 3) for key, value in low.items()}


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
    low, known = row.get("low", {}), pinned.get("low", {})
    if low.keys() != known.keys() or any(abs(low[key] - known[key]) > SQNR_TOLERANCE for key in low):
        lines.append(f"{name}: {low}, pinned {known}")
    return lines


def faults_of_table(table):
    """What holds whatever is pinned."""
    lines = []
    rows = allowed()
    for name, row in table.items():
        if name in rows and rows[name][:2] != (rows[name][0], row["quantized"]):
            lines.append(f"{name}: {row['quantized']} layers quantized, quantized_layers.txt says {rows[name][1]}")
        if row["sqnr_db"] < LOW and name not in AT_FAULT:
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


def explanation(name, low):
    layer, why = AT_FAULT[name]
    return (f"- {name}: {layer} is at fault: {why.format(**low)}. `--skip {layer}`, which leaves it in float, gives "
            f"{low['skipped_db']:.1f} dB, `--activation-bits 16` {low['wide_db']:.1f} dB")


def page(table):
    lines = ["# The models of the assets", "",
             "What `amct quantize` makes of each with its defaults (64 samples, fewer where there are fewer). Generated by "
             "`scripts/python tests/workflow/model_table_test.py --update`, which the everyday tests compare with.", "",
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
    lines += [explanation(name, table[name]["low"]) for name in low] or ["None."]
    return "\n".join(lines) + "\n"


def main():
    chosen = [word for word in sys.argv[1:] if word != "--update"]
    assets_or_exit()
    pinned = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    table, faults = {}, []
    for item in model_data.MODELS:
        if chosen and item.name not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                table[item.name] = measure(item, pathlib.Path(folder))
            except (RuntimeError, onnx.checker.ValidationError) as error:
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
