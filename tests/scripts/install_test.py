"""The installed package serves a stranger: install, build examples/ against it, quantize the example network.

    install_test.py BUILD_FOLDER
"""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    run("cmake", "--install", sys.argv[1], "--prefix", place / "usr")
    headers = sorted(path.name for path in (place / "usr/include/amct").iterdir())
    assert headers == ["error.h", "model.h", "quantize.h"], headers
    library = next((place / "usr").rglob("libamct.so"))
    run("cmake", "-G", "Ninja", "-S", ROOT / "examples", "-B", place / "build", f"-DCMAKE_PREFIX_PATH={place / 'usr'}")
    run("cmake", "--build", place / "build")

    # Nothing but the public interface is visible (weak symbols of standard templates aside).
    names = run("nm", "-DC", "--defined-only", library).splitlines()
    strong = [line for line in names if line.split()[1] in "TDBR"]
    assert strong and all("amct::v1::" in line for line in strong), [s for s in strong if "amct::v1::" not in s][:9]

    example = place / "build" / "quantize"
    out = place / "out" / "shapes"
    summary = run(example, SHAPES / "shapes.onnx", SHAPES / "calibration", "unit", out)
    assert "quantized" in summary, summary
    for suffix in ("_qdq.onnx", "_fake_quant_model.onnx", "_deploy_model.onnx", "_plan.json"):
        assert pathlib.Path(f"{out}{suffix}").stat().st_size > 1000, suffix
    fault = subprocess.run([example, place / "none.onnx", SHAPES / "calibration", "unit", out], capture_output=True,
                           text=True)
    assert fault.returncode == 1 and fault.stderr.startswith("error: "), fault
    program = place / "usr" / "bin" / "amct"
    assert run(program, "--version").startswith("amct "), "version"
    assert run(place / "usr" / "bin" / "amct_onnx", "--version").startswith("amct_onnx "), "amct_onnx"
print("the installed package works")
