"""Names for arrays, by what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Any shape
AnyFloat = npt.NDArray[np.floating[Any]]  # float32 or float64
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

# (c, h, w), values about [0, 1]
Pixels = Float32
AnyPixels = AnyFloat

# (c, rows, width)
StoredRows = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # as a file has them
Rows = npt.NDArray[Any]  # as a file has them, or floats in [0, 1]
