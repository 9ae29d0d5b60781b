"""Damage for the tests of the readers."""


def mutated(rng, content: bytes) -> bytes:
    """One or two bytes changed, inserted, removed, doubled or cut off. `rng`: a NumPy Generator."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        at = int(rng.integers(len(data)))
        match int(rng.integers(10)):
            case 0:
                data.insert(at, int(rng.integers(256)))
            case 1:
                del data[at : at + int(rng.integers(1, 9))]
            case 2:
                data[at:at] = data[at : at + int(rng.integers(1, 30))]
            case 3:
                data = data[: at + 1]
            case 4 | 5 | 6:
                data[at] = int(rng.integers(256))
            case _:
                data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)
