"""The command line: `python -m tests.faults.storm`."""

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.faults.storm.report import table
from tests.faults.storm.storm import storm

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 20,
    strikes: Annotated[int, typer.Option(min=1, help="How many strikes a round has.")] = 8,
    clients: Annotated[int, typer.Option(min=1, help="How many client processes import.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Which plan; another one each time if not given.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes, as JSON.")] = Path("build/faults.json"),
) -> None:
    """Breaks everything at random, says what came of it, and fails if anything was lost, doubled or miscounted."""
    if seed is None:
        seed = random.randrange(1 << 30)
    folder = Path(tempfile.mkdtemp(prefix="ingot-faults-", dir=os.environ.get("FAULTS_DIR", "/var/tmp")))
    # PostgreSQL's own user passes through it, if this is root.
    folder.chmod(0o711)
    print(f"seed {seed}; logs in {folder}", flush=True)
    summary = asyncio.run(storm(folder, seed, rounds, strikes, clients)).summary()
    print(table(summary))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if summary["faults"]:
        print(f"The logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    cli()
