"""The ONNX project's backend tests: none may fail, and the number that pass may only go up.

usage: backend_tests.py ONNX_TOOL [--update]
A case passes (rtol 1e-3, atol 1e-5 against the stored outputs) or is refused with a reason; passed.txt pins how many
pass in each group, and refused.txt lists the reasons with their counts. --update writes both anew.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

from support.assets import assets_or_exit

HERE = pathlib.Path(__file__).parent
# Cases whose stored data is wrong, with the reason.
TRUNCATED = "its bfloat16 data is truncated; Cast rounds to the nearest, as ONNX Runtime does"
WRAPPED = "its stored sums wrap around where the operator saturates, as ONNX Runtime does"
HEADS = "three-axis inputs were split into heads without moving the axis of tokens"
GROUPS = "heads of keys were repeated as a whole, not one by one"
STAGES = "the mask was added before the soft cap, and the modes of the scores were counted so"
ATTENTION_3D = """3d 3d_attn_mask 3d_causal 3d_scaled 3d_softcap 3d_gqa 3d_gqa_attn_mask 3d_gqa_causal 3d_gqa_scaled
3d_gqa_softcap 3d_gqa_with_past_and_present 3d_diff_heads_sizes 3d_diff_heads_sizes_attn_mask
3d_diff_heads_sizes_causal 3d_diff_heads_sizes_scaled 3d_diff_heads_sizes_softcap 3d_diff_heads_with_past_and_present
3d_with_past_and_present 3d_with_past_and_present_qk_matmul 3d_with_past_and_present_qk_matmul_bias
3d_with_past_and_present_qk_matmul_softcap 3d_with_past_and_present_qk_matmul_softmax""".split()
ATTENTION_GROUPS = "gqa gqa_attn_mask gqa_causal gqa_scaled gqa_softcap gqa_with_past_and_present".split()
ATTENTION_STAGES = "with_past_and_present_qk_matmul_bias with_qk_matmul_bias with_qk_matmul_softcap".split()
# wrong_data.py shows that ONNX Runtime (and, given a newer onnx, its reference implementation) contradict these too.
WRONG_DATA = {
    **{f"node/test_attention_{case}": HEADS for case in ATTENTION_3D},
    **{f"node/test_attention_4d_{case}": GROUPS for case in ATTENTION_GROUPS},
    **{f"node/test_attention_4d_{case}": STAGES for case in ATTENTION_STAGES},
    "node/test_cast_FLOAT_to_BFLOAT16": TRUNCATED,
    "node/test_castlike_FLOAT_to_BFLOAT16": TRUNCATED,
    "node/test_castlike_FLOAT_to_BFLOAT16_expanded": TRUNCATED,
    "node/test_qlinearmatmul_2D_int8_float16": WRAPPED,
    "node/test_qlinearmatmul_2D_int8_float32": WRAPPED,
    "node/test_qlinearmatmul_3D_int8_float16": WRAPPED,
    "node/test_qlinearmatmul_3D_int8_float32": WRAPPED,
}


def parse(output):
    """{verdict: {name: reason}}"""
    verdicts = collections.defaultdict(dict)
    for line in output.splitlines():
        verdict, _, rest = line.partition(" ")
        name, _, reason = rest.partition(": ")
        verdicts[verdict][name] = reason
    return verdicts


def grouped(reason):
    """The reason without the name of the value that it was found at."""
    return re.sub(r"^(tensor|input) '[^']*'( is no tensor; |: )", "", reason)


def counts(names):
    return collections.Counter(name.split("/")[0] for name in names)


def main():
    assets = assets_or_exit()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(assets / "conformance" / "onnx-backend-data-1.18.tar.gz") as archive:
            archive.extractall(folder)
        done = subprocess.run([sys.argv[1], "conformance", folder], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"onnx_tool ended with {done.returncode}: {done.stderr}")
    verdicts = parse(done.stdout)
    passed = counts(verdicts["pass"])
    reasons = collections.Counter(grouped(reason) for reason in verdicts["refused"].values())
    if "--update" in sys.argv:
        (HERE / "passed.txt").write_text("".join(f"{group} {count}\n" for group, count in sorted(passed.items())))
        lines = [f"{count:4} {reason}\n" for reason, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))]
        (HERE / "refused.txt").write_text("".join(lines))
    failures = {name: reason for name, reason in verdicts["fail"].items() if name not in WRONG_DATA}
    for name, reason in failures.items():
        print(f"FAILED {name}: {reason}")
    faults = len(failures)
    for name, reason in WRONG_DATA.items():
        if name not in verdicts["fail"]:
            print(f"FAILED {name}: listed as wrong data, but it does not fail")
            faults += 1
    for line in (HERE / "passed.txt").read_text().splitlines():
        group, pinned = line.split()
        print(f"{group}: {passed[group]} pass, {pinned} pinned")
        faults += passed[group] < int(pinned)
    total = sum(len(names) for names in verdicts.values())
    print(f"{total} cases: {len(verdicts['pass'])} pass, {len(verdicts['refused'])} refused, {len(verdicts['fail'])} fail")
    assert total == 1590, "cases are missing"
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
