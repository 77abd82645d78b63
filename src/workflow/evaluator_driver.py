# The Python side of `--evaluator`: makes one instance of the user's class and calls its methods as it is told, a JSON object a
# line on descriptor 3. Standard output stays the user's. What the class feeds a model while it calibrates is kept as .npz files.
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import math
import os
import socket
import sys
import traceback

METHODS = ("calibration", "evaluate", "metric_eval")


class Evaluator:
    """The base class that evaluators written for AMCT derive from."""


class AmctModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for AMCT's package where evaluators import their base class and session options from it."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != "amct_onnx":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        def attribute(name):
            if name == "AMCT_SO":
                import onnxruntime
                return onnxruntime.SessionOptions()
            if "Evaluator" in name:
                return Evaluator
            raise AttributeError(f"{module.__name__} has no '{name}' here: only AMCT_SO and the evaluators' base class")
        module.__getattr__ = attribute


def load(path):
    watch_sessions()
    sys.meta_path.append(AmctModules())  # last: an installed package comes first
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("evaluator", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == "evaluator"
             and all(callable(getattr(c, method, None)) for method in METHODS)]
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} classes with the methods {', '.join(METHODS)}; there must be one")
    return found[0]()


class Recording:
    """What sessions of `model` are fed while this is Recording.now."""
    now = None

    def __init__(self, model, folder):
        self.model, self.folder, self.rows = model, folder, []
        with open(model, "rb") as file:
            self.content = file.read()

    def is_of(self, path_or_bytes):
        if isinstance(path_or_bytes, bytes):
            return path_or_bytes == self.content
        return os.path.samefile(path_or_bytes, self.model)

    def keep(self, feed, first):
        import numpy
        feed = {name: numpy.asarray(getattr(value, "numpy", lambda v=value: v)()) for name, value in feed.items()}
        numpy.savez(os.path.join(self.folder, f"{len(self.rows):08d}.npz"), **feed)
        self.rows.append(feed[first].shape[0] if feed[first].ndim else 1)


def watch_sessions():
    """Before the user's file is read, so that `from onnxruntime import InferenceSession` in it gets this class too."""
    try:
        import onnxruntime
    except ImportError:
        return  # whoever needs it says so

    class RecordingSession(onnxruntime.InferenceSession):
        def __init__(self, path_or_bytes, *arguments, **options):
            super().__init__(path_or_bytes, *arguments, **options)
            self.source = path_or_bytes

        def run(self, output_names, input_feed, run_options=None):
            if Recording.now and Recording.now.is_of(self.source):
                Recording.now.keep(input_feed, self.get_inputs()[0].name)
            return super().run(output_names, input_feed, run_options)

        def run_with_iobinding(self, *arguments, **options):
            if Recording.now and Recording.now.is_of(self.source):
                raise NotImplementedError("calibrate with InferenceSession.run: what is bound cannot be read back")
            return super().run_with_iobinding(*arguments, **options)

    onnxruntime.InferenceSession = RecordingSession


def calibration(evaluator, model, folder):
    Recording.now = recording = Recording(model, folder)
    try:
        evaluator.calibration(model)
    finally:
        Recording.now = None
    if not recording.rows:
        raise ValueError("calibration() never ran the model with onnxruntime.InferenceSession")
    return {"rows": recording.rows}


def number(value, method):
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{method}() gave {value}")
    return value


def answer(evaluator, request):
    if request["do"] == "calibration":
        return calibration(evaluator, request["model"], request["folder"])
    if request["do"] == "evaluate":
        return {"metric": number(evaluator.evaluate(request["model"]), "evaluate")}
    satisfied, loss = evaluator.metric_eval(request["original"], request["quantized"])
    return {"satisfied": bool(satisfied), "loss": number(loss, "metric_eval")}


def attempt(channel, path, action):
    try:
        reply, result = action() or {}, True
    except BaseException as error:  # a user's sys.exit() too
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.abspath(frame.filename) == os.path.abspath(path)]
        line = getattr(error, "lineno", None) or (places[-1].lineno if places else 0)
        reply, result = {"error": f"{type(error).__name__}: {error}".splitlines()[0], "line": line}, False
    channel.write(json.dumps(reply) + "\n")
    channel.flush()
    return result


def main(path):
    channel = socket.socket(fileno=3).makefile("rw")
    made = []
    if not attempt(channel, path, lambda: made.append(load(path))):
        return
    for line in channel:
        attempt(channel, path, lambda: answer(made[0], json.loads(line)))


main(sys.argv[1])
