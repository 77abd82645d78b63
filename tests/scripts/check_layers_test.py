"""tools/check_layers finds what it is there to find."""
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_layers"

CASES = {  # file: (text, part of the fault or None)
    "src/ir/a.h": ('#include "base/error.h"\n', None),
    "src/ir/b.h": ('#include "ops/op_row.h"\n', "src/ir must not include ops/op_row.h"),
    "src/kernels/simd/c.cc": ('#include <hwy/highway.h>\n#include "ir/graph.h"\n', "kernels must not include ir/graph.h"),
    "src/kernels/simd/d.cc": ('#include <hwy/highway.h>\n#include "ir/tensor.h"\n', None),
    "src/exec/e.cc": ("#include <dnnl.hpp>\n", "includes dnnl.hpp"),
    "src/export/onnx/f.cc": ('#include "onnx_wire.pb.h"\n', None),
    "src/export/ascend/g.cc": ('#include "onnx_wire.pb.h"\n', "includes onnx_wire.pb.h"),
    "src/strange/h.cc": ("", "src/strange is in no layer"),
    "src/base/i.cc": ("\n" * 401, "401 lines"),
    "src/base/j.cc": ("\n" * 400, None),
    "tests/ir/a_test.cc": ("", None),
    "tests/a_test.cc": ("", "there is no src/a.h or src/a.cc"),
    "tests/kernels/c_test.cc": ("", "there is no src/kernels/c.h"),
    "tests/kernels/golden_c_test.cc": ("", None),
    "tests/kernels/simd/c_on_networks_test.cc": ("", None),
    "tests/ops/conformance_test.cc": ("", None),
    "docs/k.md": ("see /" + "home/someone/x\n", "k.md:1: a path"),
    "include/amct/l.h": ('#include "ir/graph.h"\n', "an installed header includes ir/graph.h"),
}

with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    subprocess.run(["git", "init", "-q", folder], check=True)
    for name, (text, _) in CASES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    result = subprocess.run([sys.executable, str(TOOL), folder], capture_output=True, text=True)
    assert result.returncode == 1, result
    for name, (_, fault) in CASES.items():
        lines = [line for line in result.stdout.splitlines() if line.startswith(name)]
        assert bool(lines) == (fault is not None), (name, lines)
        assert fault is None or any(fault in line for line in lines), (name, lines)
print("check_layers finds every fault and no other")
