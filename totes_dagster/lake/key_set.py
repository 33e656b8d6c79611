"""A set of integer keys that takes little memory, however many there are."""

import numpy as np
import pyarrow as pa

_LOWEST = -(2**31)
_BYTES = 2**32 // 8


class KeySet:
    """A set of keys of the type integer (int4), with one bit for each.

    Bits of all possible keys take half a GiB of addresses, of which the kernel gives memory only to those pages that a
    key is in: 4 KiB for some 32,000 neighbours. A hundred million keys in a row take 12 MB. Keys that come all at once,
    as those of small batches do, are kept as they are.
    """

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self._bits: np.ndarray | None = None

    def add(self, keys: pa.Array) -> np.ndarray:
        """Add keys (int32, none of them null); return those that occur before, in the set or among themselves."""
        if not len(keys):
            return np.empty(0, np.int32)
        ordered = np.sort(keys.to_numpy())  # they mostly are in order: that takes a tenth of the time of hashing
        is_first = _begins(ordered)
        different = ordered[is_first]
        if self._first is None:
            self._first = different
            return ordered[~is_first]
        if self._bits is None:
            self._bits = np.zeros(_BYTES, np.uint8)
            _set(self._bits, self._first)
        return np.concatenate([ordered[~is_first], different[_set(self._bits, different)]])


def _set(all_bits: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Set the bits of ordered, different keys; for each, whether it was set before."""
    offsets = keys.astype(np.int64) - _LOWEST
    places, bits = offsets >> 3, (1 << (offsets & 7)).astype(np.uint8)
    was_set: np.ndarray = (all_bits[places] & bits) != 0
    begins = np.flatnonzero(_begins(places))
    all_bits[places[begins]] |= np.bitwise_or.reduceat(bits, begins)
    return was_set


def _begins(ordered: np.ndarray) -> np.ndarray:
    """For each element of an ordered array, whether it differs from the one before."""
    begins = np.empty(len(ordered), bool)
    begins[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins
