"""The networks and images that the whole-run benchmarks use, preprocessed independently of amct (with Pillow)."""

import dataclasses
import pathlib
import tempfile

import numpy as np
import onnx
from PIL import Image

from support import model_data
from support.assets import ASSETS


@dataclasses.dataclass
class Network:
    name: str
    file: str
    preprocess: str  # as amct's --preprocess says it
    logits: str  # the value before the final softmax, or the output

    @property
    def path(self):
        return ASSETS / "onnx" / self.file

    def pixels(self, image):
        """One image file as the network's input, without the batch axis."""
        picture = Image.open(image).convert("RGB")
        if self.preprocess.startswith("imagenet"):
            left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
            picture = picture.crop((left, top, left + 224, top + 224))
        x = np.asarray(picture, dtype=np.float32)
        if self.preprocess == "imagenet-tf":
            x = x / 127.5 - 1
        else:
            x = x / 255
            if self.preprocess == "imagenet":
                x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
        return np.ascontiguousarray(x.transpose(2, 0, 1))


NETWORKS = [
    Network("mobilenet_v1_025", "mobilenet_v1_025.onnx", "imagenet-tf", "softmax"),
    Network("mobilenet_v2", "mobilenet_v2.onnx", "imagenet", "logits"),
    Network("resnet8", "resnet8_cifar10.onnx", "cifar", "logits"),
]


def imagenet_images():
    """Files and classes of the 300 photographs, in byte-wise order of the names."""
    folder = ASSETS / "datasets/imagenet300"
    pairs = [line.split() for line in (folder / "labels.txt").read_text().splitlines() if line.strip()]
    return [(folder / name, int(label)) for name, label in sorted(pairs)]


def cifar_images(work):
    """64 training images for calibration and 500 held-back test images with their classes, unpacked below `work`."""
    result = []
    for archive, per_class in (("train50k", 7), ("test_even5k", 50)):
        files = sorted(model_data.cifar_images(pathlib.Path(work) / archive, archive, per_class).iterdir())
        classes = sorted({path.stem.split("_")[1] for path in files})
        result.append([(path, classes.index(path.stem.split("_")[1])) for path in files])
    return result[0][:64], result[1]


def open_batch(path, target):
    """Writes the same network with an open batch axis, where its shapes allow."""
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    onnx.save(model, str(target))
    return target


def work_folder():
    return pathlib.Path(tempfile.mkdtemp(prefix="amct-bench-"))
