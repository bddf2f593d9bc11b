"""The cases, in the order in which they take turns. Each is one round of what it measures."""

import json
import shutil
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from itertools import accumulate
from operator import itemgetter

from bench.bench import Bench, WrongOutcome, outcome
from bench.commands import run
from bench.measures.latency import percentile
from bench.peers import cases as peers
from bench.processes import processes

SMALL_RECORDS = (1, 10, 100)
CALLERS = (1, 10, 100)
WATCHERS = 1_000
PARALLEL_IMPORTS = 50


async def sql(bench: Bench) -> None:
    """The hand-written path: new keys, the same records again, others with the same keys, and new keys in no order."""
    for files in ({"new": "new", "unchanged": "new", "changed": "changed"}, {"shuffled": "shuffled"}):
        await bench.server.begin_anew()
        for case, file in files.items():
            found = await bench.measure("upsert", dsn=bench.server.dsn, path=bench.data.file(file))
            bench.add("sql", case, found["seconds"])


async def copy(bench: Bench) -> None:
    """COPY straight into the table with its key, which is the ceiling, and out of it again."""
    await bench.server.begin_anew()
    found = await bench.measure("copy", dsn=bench.server.dsn, path=bench.data.file("new"))
    bench.add("copy", "new", found["seconds"])
    found = await bench.measure("copy_out", dsn=bench.server.dsn, path=bench.folder / "copied.ndjson")
    bench.add("copy", "out", found["seconds"])


async def ingot(bench: Bench) -> None:
    """The same as `sql` through Ingot, how soon everything was acknowledged, and reading it all."""
    await bench.server.begin_anew()
    table = bench.new_table()
    bench.server.reset_memory_peak()
    found = await bench.import_file(table, "new", {"created": bench.records})
    bench.results.add_figure("memory, one upload", mib=bench.server.memory_peak_mib())
    bench.add("ingot", "new", found["seconds"])
    bench.add("ingot", "acknowledged", found["acknowledged_seconds"])
    found = await bench.import_file(table, "new", {"unchanged": bench.records})
    bench.add("ingot", "unchanged", found["seconds"])
    found = await bench.import_file(table, "changed", {"updated": bench.records})
    bench.add("ingot", "changed", found["seconds"])
    found = await bench.measure("export_records", table=table, path=bench.folder / "exported.ndjson")
    bench.add("ingot", "export", found["seconds"])
    await _import_anew(bench, "shuffled", "shuffled")


async def bad(bench: Bench) -> None:
    """One, and twenty, of a hundred records are faulty; the rate is that of records received."""
    for percent in (1, 20):
        faults = bench.data.faults(percent)
        await _import_anew(bench, f"bad{percent}", f"bad{percent}", rejected=faults)


async def formats(bench: Bench) -> None:
    """A file of CSV, and records of a program."""
    await _import_anew(bench, "csv", "csv")
    await bench.server.begin_anew()
    found = await bench.measure("import_records", table=bench.new_table(), records=bench.records, key_fields=["id"])
    bench.check(found, {"created": bench.records})
    bench.add("ingot", "records", found["seconds"])


async def contacts(bench: Bench) -> None:
    """The kind CONTACTS with all its checks: e-mail addresses, phone numbers, countries, and who is who.

    With a quarter of the records, because they take so much longer.
    """
    await bench.server.begin_anew()
    fewer = bench.smaller(4)
    table = bench.new_table()
    for case, file, fate in (
        ("contacts", "contacts", "created"),
        ("contacts unchanged", "contacts", "unchanged"),
        ("contacts changed", "contacts_changed", "updated"),
    ):
        found = await fewer.import_file(table, file, {fate: fewer.records}, kind="CONTACTS", key_fields=[])
        fewer.add("ingot", case, found["seconds"])


async def trial(bench: Bench) -> None:
    """A rehearsal; an import that is staged, until it awaits its commit; and the commit."""
    await _import_anew(bench, "validate_only", "new", validate_only=True)
    found = await _import_anew(bench, "staged", "new", staged=True)
    committed = await bench.measure("commit", import_id=found["import_id"])
    bench.check(committed, {"created": bench.records})
    bench.add("ingot", "commit", committed["seconds"])


async def parallel(bench: Bench) -> None:
    """The same number of records in fifty imports at the same time."""
    await bench.server.begin_anew()
    bench.server.reset_memory_peak()
    found = await bench.measure(
        "import_parts",
        table=bench.new_table(),
        path=bench.data.file("new"),
        imports=PARALLEL_IMPORTS,
        key_fields=["id"],
    )
    bench.check(found, {"created": bench.records})
    bench.add("ingot", f"{PARALLEL_IMPORTS} imports at once", found["seconds"])
    bench.results.add_figure(f"memory, {PARALLEL_IMPORTS} uploads", mib=bench.server.memory_peak_mib())


async def small(bench: Bench) -> None:
    """Imports of few records, and WriteRecords, by few and many callers."""
    await bench.server.begin_anew()
    for measure, what in (("small_imports", "imports"), ("written_records", "WriteRecords")):
        for records in SMALL_RECORDS:
            for callers in CALLERS:
                found = await bench.measure(
                    measure, table=bench.new_table(), records=records, callers=callers, seconds=bench.small_seconds
                )
                bench.results.add_figure(f"{what} of {records}, {callers} callers", **found)


async def fair(bench: Bench) -> None:
    """Imports of 100 records of an account: alone, and while another has all its records in one import, or in 50."""
    key = await bench.server.key_of("neighbour")
    counts = {"created": bench.records}

    async def neighbour(beside: str) -> None:
        # Not for long: the others must still be at work when it has ended.
        seconds = bench.small_seconds / 4
        arguments = {"table": bench.new_table(), "records": 100, "callers": 1, "seconds": seconds, "api_key": key}
        async with bench.measuring("small_imports", **arguments) as measuring:
            bench.results.add_figure(f"imports of 100, {beside}", **await outcome(measuring))

    await bench.server.begin_anew()
    await bench.server.settle()
    await neighbour("alone")
    options = {"path": bench.data.file("new"), "key_fields": ["id"]}
    for beside, measure, more in (
        (f"beside one of {bench.records:,}", "import_file", {}),
        (f"beside {PARALLEL_IMPORTS} at once", "import_parts", {"imports": PARALLEL_IMPORTS}),
    ):
        await bench.server.begin_anew()
        await bench.server.settle()
        table = bench.new_table()
        async with bench.measuring(measure, table=table, **options, **more) as large:
            # Not before that is under way.
            while not await _done(bench, table):
                pass
            await neighbour(beside)
            if large.returncode is not None:
                raise WrongOutcome("what the neighbour was to be measured beside had ended before: use more records")
            bench.check(await outcome(large), counts)


async def ghz(bench: Bench) -> None:
    """WriteRecords of one record, called by ghz: a client that costs less than one in Python."""
    if shutil.which("ghz") is None:
        raise RuntimeError("install ghz first: https://ghz.sh")
    await bench.server.begin_anew()
    record = '{{b64enc (printf "{\\"id\\":%d,\\"name\\":\\"Ada Lovelace\\",\\"city\\":\\"Malmo\\"}" .RequestNumber)}}'
    call = bench.folder / "ghz.json"
    call.write_text(f'{{"table": "{bench.new_table()}", "key_fields": ["id"], "records": [{{"json": "{record}"}}]}}')
    address, key = ((bench.server.data_dir / name).read_text().strip() for name in ("address", "api-key"))
    for callers in CALLERS:
        await bench.server.settle()
        output = await run(
            *("ghz", "--insecure", "--call", "ingot.v1.RecordService.WriteRecords", "--data-file", call),
            *("--metadata", json.dumps({"authorization": f"Bearer {key}"}), "--format", "json"),
            *("--concurrency", callers, "--duration", f"{bench.small_seconds}s", "--duration-stop", "wait", address),
        )
        found = json.loads(output)
        if found["statusCodeDistribution"].keys() != {"OK"}:
            raise WrongOutcome(f"ghz was told {found['statusCodeDistribution']}")
        took = {line["percentage"]: line["latency"] / 1e6 for line in found["latencyDistribution"]}
        bench.results.add_figure(
            f"WriteRecords of 1, {callers} callers, ghz", per_second=found["rps"], p50_ms=took[50], p99_ms=took[99]
        )


async def watched(bench: Bench) -> None:
    """An import with one watcher, who notes when he learns of what, and one with a thousand."""
    for watchers in (1, WATCHERS):
        await bench.server.begin_anew()
        table = bench.new_table()
        async with bench.measuring("watch", table=table, watchers=watchers) as watching:
            assert watching.stdout is not None
            await watching.stdout.readline()
            found = await bench.import_file(table, "new", {"created": bench.records}, request_id=table)
            watch = await outcome(watching)
        if watchers == 1:
            delays = await _delays_ms(bench, table, watch["seen"])
            bench.results.add_figure("progress", p95_ms=percentile(delays, 95))
            bench.results.add_figure("event loop lag", p99_ms=watch["lag_p99_ms"])
        bench.add("ingot", "new, 1 watcher" if watchers == 1 else f"new, {watchers:,} watchers", found["seconds"])


async def long(bench: Bench) -> None:
    """One long import after one of a tenth of its records: is the cost linear, and the memory flat?"""
    tenth = bench.smaller(10)
    for size in (tenth, bench):
        await size.server.begin_anew()
        size.server.reset_memory_peak()
        table = size.new_table()
        found = await size.import_file(table, "new", {"created": size.records})
        size.add("ingot", f"new, {size.records:,} records", found["seconds"])
        size.results.add_figure(f"memory, {size.records:,} records", mib=size.server.memory_peak_mib())
    done = await _done(bench, table)
    times = [time for time, _ in done]
    began = await bench.server.fetch(
        "SELECT extract(epoch FROM create_time)::float8 FROM import WHERE table_name = $1", table
    )
    bench.add("ingot", "first tenth", _time_of(done, tenth.records) - began[0][0], tenth.records)
    bench.add("ingot", "last tenth", times[-1] - _time_of(done, bench.records - tenth.records), tenth.records)


async def _import_anew(
    bench: Bench, case: str, file: str, *, rejected: int = 0, **options: object
) -> dict[str, object]:
    """Imports a file into a fresh table."""
    await bench.server.begin_anew()
    counts = {"created": bench.records - rejected, "rejected": rejected}
    found = await bench.import_file(bench.new_table(), file, counts, **options)
    bench.add("ingot", case, found["seconds"])
    return found


async def _done(bench: Bench, table: str) -> list[tuple[float, int]]:
    """When a chunk was done, and how many records were processed then."""
    rows = await bench.server.fetch(
        "SELECT extract(epoch FROM done_time)::float8 AS time, record_count AS records "
        "FROM chunk JOIN batch USING (batch_seq) JOIN import USING (import_id) "
        "WHERE table_name = $1 ORDER BY done_time",
        table,
    )
    return list(zip((row["time"] for row in rows), accumulate(row["records"] for row in rows), strict=True))


def _time_of(done: list[tuple[float, int]], records: int) -> float:
    """When so many records were processed."""
    return done[bisect_left(done, records, key=itemgetter(1))][0]


async def _delays_ms(bench: Bench, table: str, seen: list[tuple[float, int]]) -> list[float]:
    """How long after each chunk was done the watcher knew of it."""
    processed = [records for _, records in seen]
    if processed[-1] != bench.records:
        raise WrongOutcome(f"the watcher has seen {processed[-1]} of {bench.records} records")
    return [(seen[bisect_left(processed, records)][0] - time) * 1000 for time, records in await _done(bench, table)]


Case = Callable[[Bench], Awaitable[None]]

CASES: dict[str, Case] = {
    case.__name__: case for case in (sql, copy, ingot, bad, formats, contacts, trial, parallel, small, fair, watched)
}
MORE: dict[str, Case] = {
    case.__name__: case
    for case in (ghz, long, processes, peers.dlt, peers.dlt_arrow, peers.target_postgres, peers.pgloader)
}
"""What takes long or needs other programs, and is measured only if it is asked for."""
