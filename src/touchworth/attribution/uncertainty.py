"""Jackknife over buckets of users (models.md, section 6)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["expansion", "jackknife_error", "quantile"]


def expansion(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor by which a total without a bucket stands for the whole: users / (users - users of the bucket).

    float64 (buckets,); a total over fewer users is smaller for that reason alone, shares are not.
    """
    left = units.sum() - units
    factor: NDArray[np.float64] = np.divide(units.sum(), left, out=np.ones_like(units), where=left > 0)
    return factor


def jackknife_error(replicates: NDArray[np.float64], units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error by leaving out one bucket at a time.

    Parameters
    ----------
    replicates
        float64 (buckets, ...): the estimate with each bucket left out.
    units
        float64 (buckets,): users in each bucket; empty buckets do not take part.

    Returns
    -------
    float64 (...): sqrt((G - 1) / G * sum over buckets of (theta_g - mean)^2); Tukey 1958.
    """
    kept = replicates[units > 0]
    groups = kept.shape[0]
    spread = ((kept - kept.mean(0)) ** 2).sum(0)
    error: NDArray[np.float64] = np.sqrt((groups - 1) / groups * spread)
    return error


def quantile(level: float, units: NDArray[np.float64]) -> float:
    """Two-sided quantile of Student's t with (non-empty buckets - 1) degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(max(int((units > 0).sum()) - 1, 1), (1 + level) / 2))
