"""Philox4x32-10 (Salmon et al., SC 2011) in NumPy, for references of seeded draws."""
import numpy as np

# XXH3_64bits of the stream's name (`printf NAME | xxhsum -H3`).
STREAMS = {
    "experts": 0x6952c13688cc1dfe,
    "generate": 0x8fb8e47cec8b26e9,
    "records.random": 0x7e377261e99ea9b6,
    "records.kde": 0x18f6a3506c6ad1e3,
    "comparison.items": 0xd50868bfc680036f,
    "comparison.runs": 0x3934d4bd0bcddac3,
    "comparison.spread": 0xec1c4876e82ac494,
}
LOW = np.uint64(0xFFFFFFFF)


def philox(key, counter_high, counter_low):
    """Four uint64 arrays that hold 32-bit words; counter_low is an array."""
    low = np.asarray(counter_low, np.uint64)
    high = np.full_like(low, counter_high)
    c = [low & LOW, low >> np.uint64(32), high & LOW, high >> np.uint64(32)]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & LOW,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & LOW]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(seed, stream, indices):
    """One number in [0, 1) with 53 bits per index."""
    words = philox(seed, STREAMS[stream], indices)
    bits = (words[1] << np.uint64(32)) | words[0]
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _self_test():
    # Known answers of Random123: all ones, and the digits of pi.
    ones = [int(w) for w in philox(2**64 - 1, 2**64 - 1, np.array(2**64 - 1, np.uint64))]
    assert ones == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD], ones


_self_test()
