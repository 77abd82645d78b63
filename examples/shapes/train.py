#!/usr/bin/env python3
"""Makes everything in this folder: draws images of ten shapes, trains a small network on them, exports it to ONNX.

The network has one of each thing that a compression tool meets in a convolutional network: convolution, batch norm
(kept apart, as training frameworks write it), depthwise convolution, residual additions, pooling and a fully connected
layer. Images are 32x32 RGB; the network wants them as x / 255, channels first.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch onnx numpy pillow
    /tmp/torch/bin/python examples/shapes/train.py

Writes shapes.onnx, calibration/*.png, test/*.png and a labels.txt beside each set of images. The test images, and the
calibration images, come from random streams of their own: the network has seen neither.
"""
import argparse
import pathlib

import numpy as np
import torch
from PIL import Image
from torch import nn

CLASSES = ("disc", "square", "triangle", "pentagon", "star", "cross", "ring", "frame", "crescent", "bars")
SIZE = 32
SUPER = 3  # shapes are drawn at three times the size and averaged


def polygon(x, y, corners):
    """Distance-like value of a regular polygon, negative inside."""
    angle = np.arctan2(y, x)
    sector = 2 * np.pi / corners
    return np.hypot(x, y) * np.cos((angle % sector) - sector / 2) - np.cos(sector / 2) * 0.95


def star(x, y):
    angle = (np.arctan2(y, x) % (2 * np.pi / 5)) * 5 / (2 * np.pi)
    return np.hypot(x, y) - (0.42 + 0.58 * np.abs(2 * angle - 1))


def inside(kind, x, y):
    """Mask of the shape `kind` on coordinates where the shape has a radius of about one."""
    radius = np.hypot(x, y)
    box = np.maximum(np.abs(x), np.abs(y))
    if kind == "disc":
        return radius < 0.85
    if kind == "square":
        return box < 0.75
    if kind == "triangle":
        return polygon(x, y, 3) < 0
    if kind == "pentagon":
        return polygon(x, y, 5) < 0
    if kind == "star":
        return star(x, y) < 0
    if kind == "cross":
        return (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (box < 0.9)
    if kind == "ring":
        return np.abs(radius - 0.7) < 0.2
    if kind == "frame":
        return np.abs(box - 0.62) < 0.18
    if kind == "crescent":
        return (radius < 0.9) & (np.hypot(x - 0.45, y) > 0.72)
    return (np.abs(np.abs(x) - 0.45) < 0.22) & (np.abs(y) < 0.85)  # bars


def draw(kind, random):
    """One SIZE x SIZE x 3 image with values that are multiples of eight (such PNGs are small)."""
    side = SIZE * SUPER
    grid = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(grid, grid)
    angle, radius = random.uniform(0, 2 * np.pi), random.uniform(0.35, 0.78)
    shift_x, shift_y = random.uniform(-0.25, 0.25, 2)
    dx, dy = (x - shift_x) / radius, (y - shift_y) / (radius * random.uniform(0.8, 1.2))
    mask = inside(kind, dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle))

    back, fore = random.uniform(0, 255, 3), random.uniform(0, 255, 3)
    while np.abs(back - fore).sum() < 110:
        fore = random.uniform(0, 255, 3)
    slope = random.normal(0, 30, (2, 3))
    image = back + x[..., None] * slope[0] + y[..., None] * slope[1]
    if random.random() < 0.5:  # stripes behind the shape
        wave = np.sin((x * np.cos(angle + 1) + y * np.sin(angle + 1)) * random.uniform(4, 14))
        image = image + (wave > 0)[..., None] * random.normal(0, 25, 3)
    image = np.where(mask[..., None], fore + y[..., None] * random.normal(0, 20, 3), image)
    if random.random() < 0.5:  # something in front of it
        place, width = random.uniform(-0.6, 0.6), random.uniform(0.06, 0.16)
        turn = random.uniform(0, np.pi)
        image = np.where((np.abs(x * np.cos(turn) + y * np.sin(turn) - place) < width)[..., None],
                         random.uniform(0, 255, 3), image)
    image = image.reshape(SIZE, SUPER, SIZE, SUPER, 3).mean((1, 3)) + random.normal(0, 8, (SIZE, SIZE, 3))
    return (np.clip(np.round(image / 8) * 8, 0, 255)).astype(np.uint8)


def make_set(count, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    return np.stack([draw(CLASSES[label], random) for label in labels]), labels


def unit(inputs, outputs, kernel=1, stride=1, groups=1, activation=None):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation] if activation else []))


class Residual(nn.Module):
    def __init__(self, body, activation=None):
        super().__init__()
        self.body, self.activation = body, activation

    def forward(self, x):
        y = x + self.body(x)
        return self.activation(y) if self.activation else y


def network():
    relu6 = nn.ReLU6
    return nn.Sequential(
        unit(3, 16, 3, activation=nn.ReLU()),
        unit(16, 16, 3, stride=2, groups=16, activation=relu6()),
        unit(16, 24, activation=relu6()),
        Residual(nn.Sequential(unit(24, 24, 3, activation=nn.ReLU()), unit(24, 24, 3)), nn.ReLU()),
        nn.AvgPool2d(2),
        unit(24, 96, activation=relu6()),
        unit(96, 96, 3, groups=96, activation=relu6()),
        unit(96, 48),
        Residual(nn.Sequential(unit(48, 144, activation=relu6()), unit(144, 144, 3, groups=144, activation=relu6()),
                               unit(144, 48))),
        nn.MaxPool2d(2),
        unit(48, 96, activation=nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, len(CLASSES)))


def as_input(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def train(model, images, labels, epochs, batch=128):
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(images))[: len(images) // batch * batch].split(batch):
            x = images[rows].permute(0, 3, 1, 2).float() / 255
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            loss = nn.functional.cross_entropy(model(x), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(images) // batch):.4f}", flush=True)


def save_images(folder, images, labels):
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (image, label) in enumerate(zip(images, labels)):
        name = f"{index:03d}_{CLASSES[label]}.png"
        Image.fromarray(image).save(folder / name, optimize=True)
        lines.append(f"{name} {label}\n")
    (folder / "labels.txt").write_text("".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--images", type=int, default=30000, help="training images")
    parser.add_argument("--epochs", type=int, default=16)
    arguments = parser.parse_args()

    torch.manual_seed(1)
    model = network()
    train(model, *make_set(arguments.images, seed=1), arguments.epochs)
    model.eval()
    test_images, test_labels = make_set(300, seed=2)
    with torch.no_grad():
        hits = (model(as_input(test_images)).argmax(1).numpy() == test_labels).mean()
    print(f"top-1 on {len(test_labels)} test images: {100 * hits:.1f} %")
    save_images(arguments.out / "test", test_images, test_labels)
    save_images(arguments.out / "calibration", *make_set(64, seed=3))
    torch.onnx.export(model, torch.zeros(1, 3, SIZE, SIZE), str(arguments.out / "shapes.onnx"), opset_version=13,
                      input_names=["image"], output_names=["scores"], dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
                      training=torch.onnx.TrainingMode.PRESERVE, dynamo=False)


if __name__ == "__main__":
    main()
