"""Intervals and tests, from first principles: no package beyond the standard library.

Every test has a false-alarm rate of ALPHA: of agreeing targets so many are called different by chance.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

ALPHA = 0.01


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (modified Lentz)."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    h = d
    for m in range(1, 1000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + step * d
            c = 1.0 + step / c
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            h *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return h


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, 1.0 - x) / b


def t_quantile(p: float, degrees: float) -> float:
    """Quantile of Student's distribution, p > 1/2."""
    low, high = 0.0, 1e4
    for _ in range(64):
        middle = 0.5 * (low + high)
        upper = 0.5 * incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + middle * middle))
        low, high = (middle, high) if 1.0 - upper < p else (low, middle)
    return 0.5 * (low + high)


@dataclass(frozen=True)
class Sample:
    """Mean and sample standard deviation over n chips."""

    mean: float
    sd: float
    n: int

    @staticmethod
    def of(values: list[float]) -> "Sample":
        return Sample(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values))

    def half_width(self, confidence: float = 0.95) -> float:
        """Of the interval of the mean; 0 for a single chip, whose spread is unknown."""
        if self.n < 2:
            return 0.0
        return t_quantile(0.5 + 0.5 * confidence, self.n - 1) * self.sd / math.sqrt(self.n)


@dataclass(frozen=True)
class Difference:
    """ours - theirs with the interval outside of which agreement is rejected."""

    value: float
    half_width: float

    @property
    def agrees(self) -> bool:
        return abs(self.value) <= self.half_width


def welch(ours: Sample, theirs: Sample, alpha: float = ALPHA) -> Difference:
    """Difference of the means of two samples with unequal variances."""
    if ours.n < 2 or theirs.n < 2:
        raise ValueError("a difference of means needs at least two chips on either side")
    a, b = ours.sd**2 / ours.n, theirs.sd**2 / theirs.n
    if a + b == 0.0:
        return Difference(ours.mean - theirs.mean, 0.0)
    degrees = (a + b) ** 2 / (a * a / (ours.n - 1) + b * b / (theirs.n - 1))
    return Difference(ours.mean - theirs.mean, t_quantile(1.0 - 0.5 * alpha, degrees) * math.sqrt(a + b))


def one_chip(ours: Sample, value: float, alpha: float = ALPHA) -> Difference:
    """Is a single value one more chip of our distribution? Prediction interval, normal distribution assumed."""
    if ours.n < 2:
        raise ValueError("a prediction interval needs at least two chips")
    width = t_quantile(1.0 - 0.5 * alpha, ours.n - 1) * ours.sd * math.sqrt(1.0 + 1.0 / ours.n)
    return Difference(ours.mean - value, width)


def paired(differences: list[float], alpha: float = ALPHA) -> Difference:
    """Mean of differences of pairs."""
    sample = Sample.of(differences)
    return Difference(sample.mean, sample.half_width(1.0 - alpha))


def kolmogorov(a: list[float], b: list[float]) -> tuple[float, float]:
    """Largest distance of two empirical distributions and its asymptotic p value."""
    a, b = sorted(a), sorted(b)
    i = j = 0
    distance = 0.0
    while i < len(a) and j < len(b):
        x = min(a[i], b[j])
        while i < len(a) and a[i] <= x:
            i += 1
        while j < len(b) and b[j] <= x:
            j += 1
        distance = max(distance, abs(i / len(a) - j / len(b)))
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    z = (root + 0.12 + 0.11 / root) * distance
    p = 2.0 * sum((-1) ** (k - 1) * math.exp(-2.0 * (k * z) ** 2) for k in range(1, 101)) if z > 0.2 else 1.0
    return distance, min(1.0, max(0.0, p))
