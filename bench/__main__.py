"""The command line: `python -m bench`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bench.bench import Bench
from bench.cases import CASES, MORE
from bench.records import Dataset
from bench.reporting import published, table
from bench.results import Results, written
from bench.server import running_server, work_folder

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    records: Annotated[int, typer.Option(min=100, help="How many records a case has.")] = 1_000_000,
    repeat: Annotated[int, typer.Option(min=1, help="How many rounds; results are their medians.")] = 3,
    cases: Annotated[
        str,
        typer.Option(help=f"Which cases, of: {' '.join(CASES | MORE)}; all but {' and '.join(MORE)} if none is given."),
    ] = "",
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path("bench/results.json"),
    publish: Annotated[
        str, typer.Option(help="Show the results in docs/performance.md too, in this section: results, peers or long.")
    ] = "",
) -> None:
    """Measures, prints a table and writes the results."""
    chosen = cases.split() or list(CASES)
    if unknown := set(chosen) - set(CASES | MORE):
        raise typer.BadParameter(f"there is no case {', '.join(sorted(unknown))}: choose of {', '.join(CASES | MORE)}")
    results = Results(records)
    try:
        with work_folder() as folder:
            asyncio.run(_rounds(folder, results, repeat, chosen))
    finally:
        # What was measured before a fault or Ctrl-C is worth seeing.
        print(table(results.summary()))
    written(results.summary(), output)
    if publish:
        published(results.summary(), publish)


async def _rounds(folder: Path, results: Results, repeat: int, chosen: list[str]) -> None:
    async with running_server(folder) as server:
        print(f"The server is process {server.pid}.", flush=True)
        bench = Bench(server, Dataset(folder, results.records), folder, results)
        await bench.warm_up()
        for number in range(1, repeat + 1):
            for name in chosen:
                print(f"round {number} of {repeat}: {name}", flush=True)
                await (CASES | MORE)[name](bench)


if __name__ == "__main__":
    cli()
