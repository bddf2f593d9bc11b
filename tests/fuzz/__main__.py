"""Tries hostile inputs for some minutes, others each time: `make fuzz MINUTES=10`.

Each round takes every target in turn with a seed of its own, which is printed: `TARGET=csv SEED=1` tries that again. An
input ends it that breaks a promise, takes more processor time than its records may, or more memory than there is.
"""

import argparse
import importlib.util
import itertools
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

RECORD_SECONDS = 0.05
"""So long the event loop may be held for one record."""
MARGIN = 10
"""An input is read several times, in pieces and by the library that judges it."""
BYTES_MAX = 3 << 20
"""More than a record may have."""
MEMORY_BYTES = 1 << 30
"""How much more than at the beginning may be in use."""
EXAMPLES = 100
GUIDED_INPUTS = 50
GUIDED_BYTES = 4_000


class TooSlow(Exception):
    """An input takes too much processor time."""


def tried(target: Target, number: int, examples: int, bytes_max: int) -> float:
    """Tries a target; the most seconds of processor time that an input has taken for each of its records."""
    longest = 0.0

    @seed(number)
    @given(target.draft(bytes_max))
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def try_one(found: Any) -> None:
        nonlocal longest
        began = time.process_time()
        records = target.try_one(found)
        seconds = (time.process_time() - began) / (1 + records)
        if seconds > RECORD_SECONDS * MARGIN:
            raise TooSlow(f"{seconds * 1_000:.0f} ms of processor time for each of {records} records")
        longest = max(longest, seconds)

    try_one()
    return longest


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--target", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--guided", action="store_true", help="let atheris choose the inputs")
    options = parser.parse_args(arguments)
    targets = [target for target in TARGETS if options.target in (None, target.name)]
    if options.guided:
        tried_with_guidance(targets, options.minutes, options.seed)
        return
    limit_memory()
    ends = time.monotonic() + 60 * options.minutes
    inputs = 0
    for target in itertools.cycle(targets):
        number = random.randrange(1 << 32) if options.seed is None else options.seed
        print(f"{target.name:12} seed {number:<12}", end=" ", flush=True)
        # Small inputs, of which many are tried, and some that are as large as a record may be.
        longest = tried(target, number, options.examples, 2_000)
        longest = max(longest, tried(target, number, options.examples // 10, BYTES_MAX))
        inputs += options.examples + options.examples // 10
        print(f"at most {longest * 1_000:5.1f} ms for a record", flush=True)
        if time.monotonic() > ends or options.seed is not None:
            break
    print(f"{inputs:,} inputs, and every promise held.")


def tried_with_guidance(targets: Sequence[Target], minutes: float, number: int | None) -> None:
    """Tries each target in a process of its own, for atheris ends the one in which it runs."""
    if importlib.util.find_spec("atheris") is None:
        sys.exit("make fuzz: skipped, for atheris is not installed in .venv: pip install atheris, or leave GUIDED away")
    seconds = max(1, round(60 * minutes / len(targets)))
    for target in targets:
        chosen = random.randrange(1, 1 << 31) if number is None else number
        print(f"{target.name:12} seed {chosen}, {seconds} s", flush=True)
        options = (f"-max_total_time={seconds}", f"-seed={chosen}", f"-max_len={GUIDED_BYTES}", "-len_control=0")
        with tempfile.TemporaryDirectory(prefix="ingot-fuzz-") as folder:
            for first in range(GUIDED_INPUTS):
                # Hypothesis makes an input of random bytes, and makes none of too few.
                Path(folder, str(first)).write_bytes(random.randbytes(GUIDED_BYTES))
            program = (sys.executable, "-m", "tests.fuzz.guided", target.name, *options)
            if subprocess.run([*program, f"-artifact_prefix={folder}/", folder], check=False).returncode:
                sys.exit(f"{target.name} broke a promise.")
    print("Every promise held.")


def limit_memory() -> None:
    """So that an input that takes too much is shown, and does not end the machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.argv[1:])
