"""How far numbers are apart."""

import numpy as np


def sqnr(reference, other):
    """Signal to quantization noise in dB, of two arrays or of two lists of arrays; about 300 where they are equal."""
    signal = noise = 0.0
    pairs = zip(reference, other, strict=True) if isinstance(reference, (list, tuple)) else [(reference, other)]
    for expected, got in pairs:
        assert expected.shape == got.shape, f"{expected.shape} and {got.shape}"
        wide = expected.astype(np.float64)
        signal += np.sum(wide**2)
        noise += np.sum((wide - got) ** 2)
    return 10 * np.log10(signal / max(noise, 1e-30 * max(signal, 1e-300)))


def part_of_range(reference, other):
    """Largest difference as a part of the range of the reference; the range of equal elements is their size."""
    span = np.ptp(reference) or np.abs(reference).max() or 1
    return np.abs(other - reference).max() / span


def beyond_a_quantum(integers, other):
    """Shares of the elements that differ by one quantum and by more."""
    distance = np.abs(integers.astype(np.int64) - other)
    return np.mean(distance == 1), np.mean(distance > 1)
