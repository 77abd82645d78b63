"""The models of the assets with data to quantize them on, prepared without amct: arguments for its command line, and the
same samples as arrays for ONNX Runtime."""

import dataclasses
import gzip
import pathlib
import tarfile
import wave

import numpy as np
import onnx

from support.assets import ASSETS
from support.onnx_runtime import session

NANODET = "resize=416x416,color=bgr,mean=103.53/116.28/123.675,std=57.375/57.12/58.395"
MADRY = "cifar,mean=0.4914/0.4822/0.4465,std=0.2471/0.2435/0.2616"
OVAL = "cifar,mean=0.485/0.456/0.406,std=0.225"
FRAME, CONTEXT = 512, 64  # of the voice detectors
RATES = (16000, 8000)  # samples a second that they take
EXTENTS = {"sequence": 512, "seq": 64, "T": 64}  # of open axes that are no batch
ELEMENT_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclasses.dataclass
class Model:
    name: str
    data: str  # a row of MAKERS
    preprocess: str = ""
    folder: str = "onnx"

    @property
    def path(self):
        return ASSETS / self.folder / f"{self.name}.onnx"


MODELS = [
    Model("dtln_1", "dtln"),
    Model("mnist_cntk", "mnist_raw"),
    Model("mobilenet_v1_025", "imagenet", "imagenet-tf"),
    Model("mobilenet_v2", "imagenet", "imagenet"),
    Model("nanodet_m", "objects", NANODET),
    Model("resnet8_cifar10", "cifar", "cifar"),
    Model("silero_vad_16k_op15", "silero"),
    Model("silero_vad_openvino_16k", "silero"),
    Model("stories260K", "tokens", folder="llm"),
    Model("ultraface_rfb320_simplified", "faces", "resize=240x320,mean=127,std=128"),
    Model("ultraface_rfb640", "faces", "resize=480x640,mean=127,std=128"),
    Model("vnn_cifar10_resnet_4b", "cifar", MADRY),
    Model("vnn_eran_mnist_relu_9_200", "mnist"),
    Model("vnn_marabou_cifar10_large", "cifar", "cifar,layout=nhwc"),
    Model("vnn_mnistfc_256x4", "mnist"),
    Model("vnn_oval21_cifar_base_kw", "cifar", OVAL),
]


def model(name):
    return next(item for item in MODELS if item.name == name)


def inputs_of(path):
    """Name -> extents of every input that is no constant; open extents are 1."""
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {item.name for item in graph.initializer}
    return {item.name: [d.dim_value or 1 for d in item.type.tensor_type.shape.dim]
            for item in graph.input if item.name not in constants}


def without_samples(path):
    """Inputs that have no axis of samples: scalars, and where first extents differ those that are not 1."""
    dims = inputs_of(path)
    first = {name: extents[0] for name, extents in dims.items() if extents}
    agree = len(set(first.values())) == 1
    return {name for name in dims if name not in first or (not agree and first[name] != 1)}


def random_feeds(runner, random, *, batch=1, rate=RATES[0]):
    """An array for every input of a session: normal numbers, bytes for the one network that takes raw pixels, integers that any
    network takes as indices; open axes that EXTENTS does not name are the batch."""
    feeds = {}
    for item in runner.get_inputs():
        dims = [extent if isinstance(extent, int) else EXTENTS.get(extent, batch) for extent in item.shape]
        dtype = np.dtype(ELEMENT_TYPES[item.type])
        if item.name == "sr":
            feeds[item.name] = np.array(rate, dtype)
        elif item.name == "Input3" or dtype.kind == "i":
            feeds[item.name] = random.integers(0, 256, dims).astype(dtype)
        else:
            feeds[item.name] = random.standard_normal(dims).astype(dtype)
    return feeds


def cifar_images(folder, archive="train50k", per_class=7):
    """The first images of each class, interleaved, as one folder of JPEGs named NUMBER_CLASS."""
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    counts = {}
    with tarfile.open(ASSETS / f"datasets/cifar10/{archive}.tar.gz") as tar:
        for member in tar:
            label = pathlib.Path(member.name).parent.name
            if not member.isfile() or counts.get(label, 0) == per_class:
                continue
            counts[label] = counts.get(label, 0) + 1
            (folder / f"{counts[label]:03d}_{label}.jpg").write_bytes(tar.extractfile(member).read())
    return folder


def mnist(dims, divisor, count=64):
    files = sorted((ASSETS / "datasets/mnist").glob("*images*"))
    raw = files[0].read_bytes()
    raw = gzip.decompress(raw) if files[0].suffix == ".gz" else raw
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[0:2 * count:2]
    return (images.astype(np.float32) / np.float32(divisor)).reshape(count, *dims[1:])


def speech():
    with wave.open(str(ASSETS / "datasets/silero_test/test.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / np.float32(32768)


def frames_with_states(path, frames, states, extra):
    """Feeds of a recurrent network that runs over `frames`, each with the state that the frame before left."""
    runner = session(path)
    name, = [item.name for item in runner.get_inputs() if item.name not in states and item.name not in extra]
    state, = states
    value, feeds = states[state], []
    for frame in frames:
        feeds.append({name: frame, state: value, **extra})
        value = runner.run(None, feeds[-1])[1]
    return feeds


def dtln(path, count=64):
    samples = speech()
    frames = [np.abs(np.fft.rfft(samples[i * 128:i * 128 + 512])).astype(np.float32).reshape(1, 1, 257)
              for i in range(100, 100 + count)]
    return frames_with_states(path, frames, {"input_3": np.zeros((1, 2, 128, 2), np.float32)}, {})


def silero(path, count=64):
    samples = speech()
    extra = {"sr": np.array(16000, np.int64)} if "sr" in inputs_of(path) else {}
    begins = [CONTEXT + FRAME * i for i in range(count)]
    frames = [samples[b - CONTEXT:b + FRAME].reshape(1, FRAME + CONTEXT) for b in begins]
    return frames_with_states(path, frames, {"state": np.zeros((2, 1, 128), np.float32)}, extra)


def feeds_of(item):
    """Samples of a model that takes no images, as feeds for ONNX Runtime."""
    dims = inputs_of(item.path)
    name = next(iter(dims))
    if item.data == "dtln":
        return dtln(item.path)
    if item.data == "silero":
        return silero(item.path)
    if item.data == "tokens":
        tokens = np.load(ASSETS / "llm/sampled_tokens_64x256.npy")[:32, :dims[name][1]].astype(np.int64)
        return [{name: row[None]} for row in tokens]
    return [{name: row[None]} for row in mnist(dims[name], 255 if item.data == "mnist" else 1)]


def data_for(item, work):
    """Arguments of `amct quantize` that say the data; files are made below `work`, once."""
    datasets = {"imagenet": "imagenet300", "faces": "face_images", "objects": "nanodet_images"}
    if item.data in datasets:
        return ["--data", ASSETS / "datasets" / datasets[item.data], "--preprocess", item.preprocess]
    if item.data == "cifar":
        return ["--data", cifar_images(pathlib.Path(work) / "cifar"), "--preprocess", item.preprocess]
    folder = pathlib.Path(work) / f"{item.name}_data"
    if not folder.exists():
        folder.mkdir(parents=True)
        feeds = feeds_of(item)
        if len(feeds[0]) == 1:
            np.save(folder / "samples.npy", np.concatenate([array for feed in feeds for array in feed.values()]))
        else:
            whole = without_samples(item.path)
            for index, feed in enumerate(feeds):
                np.savez(folder / f"{index:04d}.npz", **{name: x[None] if name in whole else x for name, x in feed.items()})
    return ["--data", folder]
