"""Photographs as a network's input, preprocessed with Pillow, independently of amct."""

import pathlib

import numpy as np
from PIL import Image

import networks
from support.assets import ASSETS

FOLDERS = {"faces": "face_images", "objects": "nanodet_images"}


def scaled(path, size, mean, std, bgr=False):
    """A picture scaled to (width, height), as a batch of one."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize(size, Image.BILINEAR), np.float32)
    pixels = pixels[:, :, ::-1] if bgr else pixels
    return np.ascontiguousarray(((pixels - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)[None])


def detector_input(item, path):
    if item.data == "objects":
        return scaled(path, (416, 416), (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), bgr=True)
    width, height = (640, 480) if "640" in item.name else (320, 240)
    return scaled(path, (width, height), 127, 128)


def detector_files(item):
    return sorted((ASSETS / "datasets" / FOLDERS[item.data]).glob("*.jpg"))


def samples(item, work, count=8):
    """Images that calibration does not see; of the detectors all there are."""
    if item.data in FOLDERS:
        return [detector_input(item, path) for path in detector_files(item)]
    network = next(n for n in networks.NETWORKS if n.file == item.path.name)
    if item.data == "imagenet":
        files = [path for path, _ in networks.imagenet_images()[100:100 + count]]
    else:
        files = [path for path, _ in networks.cifar_images(pathlib.Path(work) / "pictures")[1][:count]]
    return [network.pixels(path)[None] for path in files]
