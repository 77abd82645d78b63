"""ONNX Runtime as tests and benchmarks use it: on the CPU, without a word, on one thread unless said otherwise."""

import collections

import onnx
import onnxruntime


def session(model, *, threads=1, optimize=True, save=None, entries=None):
    """Of a file or an onnx.ModelProto. `optimize`: False runs the nodes one by one as they are written, a
    GraphOptimizationLevel up to that level; `save`: where the optimized model is written;
    `entries`: its configuration's."""
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if isinstance(optimize, bool):  # which compares equal to a level
        optimize = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.graph_optimization_level = optimize
    if save:
        options.optimized_model_filepath = str(save)
    for name, value in (entries or {}).items():
        options.add_session_config_entry(name, value)
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_plainly(model, feeds):
    """Outputs of the nodes one by one: the fused integer kernels round differently. At opset 13 at least: ONNX Runtime
    refuses the attribute `axis` that its own quantizer writes below."""
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(str(model))
    for domain in model.opset_import:
        if domain.domain == "":
            domain.version = max(domain.version, 13)
    return session(model, optimize=False).run(None, feeds)


def kernels(model, folder):
    """How many nodes of each operator the optimized graph has."""
    session(model, save=folder / "optimized.onnx")
    return collections.Counter(node.op_type for node in onnx.load(str(folder / "optimized.onnx")).graph.node)
