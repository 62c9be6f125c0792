"""Writes a trace in the format of Twitter's cluster traces: a Zipf stream, scans, writes and deletes."""

from __future__ import annotations

import itertools
import random
import sys


def lines(count: int, seed: int) -> itertools.chain[str]:
    """``count`` requests over some days."""
    dice, scan = random.Random(seed), itertools.count()
    weights = list(itertools.accumulate(1 / rank for rank in range(1, 20_001)))

    def one(number: int) -> str:
        if number % 10_000 >= 9_000:
            key = f"scan:{next(scan) % 7_000}"
        else:
            key = f"user:{dice.choices(range(20_000), cum_weights=weights)[0]}"
        act = dice.choices(("get", "gets", "set", "delete", "incr"), weights=(80, 10, 5, 4, 1))[0]
        return f"{number * 3},{key},{len(key)},{100 + len(key)},{number % 7},{act},{3600 if act == 'set' else 0}\n"

    return itertools.chain(map(one, range(count)))


if __name__ == "__main__":
    sys.stdout.writelines(lines(int(sys.argv[1]), int(sys.argv[2])))
