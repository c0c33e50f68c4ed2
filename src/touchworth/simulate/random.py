"""Random numbers by position: a number depends on its key and slot alone, never on what was drawn before.

So the data do not depend on threads or chunks, any user or row can be drawn again alone, and a counterfactual world
can use the very numbers of the factual one. The generator is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators"), whose n-th output is a hash of key + n * GAMMA.
"""

import math

import numpy as np

from touchworth.errors import RequestError
from touchworth.kernels import kernel

__all__ = ["GAMMA", "beta", "exponential", "mix", "normal", "stream_key", "uniform"]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
UNIT = 2.0**-53


def stream_key(seed: int, purpose: int) -> np.uint64:
    """Key of the stream of numbers for one purpose of one seed (an int of 0 or more).

    Raises
    ------
    RequestError
        A negative seed.
    """
    if seed < 0:
        raise RequestError(f"--seed is {seed}; it must be 0 or more")
    return np.uint64(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0])


@kernel
def mix(z: np.uint64) -> np.uint64:
    """The output function of SplitMix64: a hash of 64 bits to 64 bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def uniform(key: np.uint64, slot: int) -> float:
    """Uniform number in (0, 1), a multiple of 2^-53 plus 2^-54, so that its logarithm is finite."""
    return (float(mix(key + np.uint64(slot + 1) * GAMMA) >> np.uint64(11)) + 0.5) * UNIT


@kernel
def exponential(key: np.uint64, slot: int) -> float:
    """Exponential number with mean 1."""
    return -math.log(uniform(key, slot))


@kernel
def normal(key: np.uint64, slot: int) -> float:
    """Standard normal number (Box and Muller 1958), from the slots `slot` and `slot + 1`."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, slot)))
    return radius * math.cos(2.0 * math.pi * uniform(key, slot + 1))


@kernel
def gamma(key: np.uint64, shape: float) -> float:
    """Gamma number with scale 1 (Marsaglia and Tsang 2000); a shape below 1 is drawn one higher and shrunk."""
    raised = shape if shape >= 1.0 else shape + 1.0
    d = raised - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    slot = 1
    while True:
        z = normal(key, slot)
        v = (1.0 + c * z) ** 3
        if v > 0.0 and math.log(uniform(key, slot + 2)) < 0.5 * z * z + d - d * v + d * math.log(v):
            break
        slot += 3
    drawn = d * v
    if shape < 1.0:
        drawn *= uniform(key, 0) ** (1.0 / shape)
    return drawn


@kernel
def beta(key: np.uint64, a: float, b: float) -> float:
    """Beta number, as the ratio of gamma numbers."""
    x = gamma(mix(key + GAMMA), a)
    y = gamma(mix(key + GAMMA + GAMMA), b)
    return x / (x + y) if x + y > 0.0 else a / (a + b)
