"""One target led by atheris: it sees which branches an input has taken, and changes it towards others.

    python -m tests.fuzz.guided csv -max_total_time=60 -seed=1 first-inputs

The options are those of libFuzzer, and folders of first inputs. The first input that breaks a promise ends the process.
"""

import sys
from typing import Any

import atheris
from hypothesis import HealthCheck, given, settings

with atheris.instrument_imports(include=["ingot_server"]):
    from tests.fuzz.targets import TARGETS

BYTES_MAX = 4_000


def main(name: str, *options: str) -> None:
    target = next(target for target in TARGETS if target.name == name)

    @given(target.draft(BYTES_MAX))
    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def try_one(found: Any) -> None:
        try:
            target.try_one(found)
        except BaseException:
            print(f"What broke it: {found!r}", file=sys.stderr)
            raise

    atheris.Setup([sys.argv[0], *options], try_one.hypothesis.fuzz_one_input)  # type: ignore[attr-defined]
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
