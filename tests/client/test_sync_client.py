"""The synchronous client does what the asynchronous one does, and runs the user's code in the user's thread."""

import asyncio
import inspect
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_origin

import pytest

from ingot_client import AsyncClient, Client, Import, IngotError, Progress, RecordUnencodable
from tests.client.fake import Call, FakeServer

T = TypeVar("T")


async def in_thread(fake: FakeServer, work: Callable[[Client], T]) -> T:
    """Runs the work with a client in a thread of its own, because the fake lives in this one's event loop."""

    def run() -> T:
        with Client(f"127.0.0.1:{fake.port}", "k", retry_timeout=20) as ingot:
            return work(ingot)

    return await asyncio.to_thread(run)


def test_client_has_every_method_of_the_asynchronous_one() -> None:
    for name, method in inspect.getmembers(AsyncClient, inspect.isfunction):
        if not name.startswith("_"):
            assert getattr(Client, name).__doc__ == method.__doc__, name
            assert (
                inspect.signature(getattr(Client, name)).parameters.keys()
                == inspect.signature(method).parameters.keys()
            )


def test_help_says_that_lists_and_streams_are_iterators() -> None:
    for name in ("watch", "list_errors", "list_batches", "list_records", "list_tables", "list_kinds"):
        assert get_origin(inspect.signature(getattr(Client, name)).return_annotation) is Iterator, name
    assert inspect.signature(Client.watch).return_annotation == Iterator[Import]


async def test_five_lines_import_a_list_of_dicts(fake: FakeServer) -> None:
    def work(ingot: Client) -> str:
        done = ingot.import_records("contacts", [{"id": 1, "name": "Ada"}], key_fields=["id"])
        return done.state

    assert await in_thread(fake, work) == "SUCCEEDED"
    assert fake.batches["1", "main"].content == [b'{"id":1,"name":"Ada"}']


async def test_source_and_callback_run_in_the_callers_thread(fake: FakeServer) -> None:
    threads: set[threading.Thread] = set()
    nested: list[str] = []

    class File(io.RawIOBase):
        rest = b'{"id":1}\n'

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            threads.add(threading.current_thread())
            piece, self.rest = self.rest, b""
            return piece

    def work(ingot: Client) -> threading.Thread:
        def rows() -> Iterator[dict[str, int]]:
            for number in range(3_000):
                threads.add(threading.current_thread())
                yield {"id": number}

        def callback(progress: Progress) -> None:
            threads.add(threading.current_thread())
            nested.append(ingot.get_import(progress.import_id).state)

        ingot.import_records("t", rows(), on_progress=callback)
        ingot.import_file("t", File(), type="ndjson")  # type: ignore[arg-type]
        return threading.current_thread()

    caller = await in_thread(fake, work)
    assert threads == {caller}
    assert nested[-1] == "SUCCEEDED"


async def test_errors_come_as_they_were_raised(fake: FakeServer) -> None:
    def work(ingot: Client) -> None:
        def rows() -> Iterator[dict[str, int]]:
            yield {"id": 1}
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            ingot.import_records("t", rows())
        with pytest.raises(RecordUnencodable, match=r"records\[1\]"):
            ingot.import_records("t", [{"a": 1}, {"a": object()}])
        with pytest.raises(TypeError, match="records is a dict"):
            ingot.import_records("t", {"id": 1})
        with pytest.raises(FileNotFoundError):
            ingot.import_file("t", "no-such-file.csv")
        with pytest.raises(IngotError, match="import_not_found"):
            ingot.get_import("99")

    await in_thread(fake, work)
    # The second of them was not begun: all of its records are looked at before.
    assert len(fake.imports) == 1


async def test_watch_is_an_iterator_that_may_be_left(fake: FakeServer) -> None:
    def work(ingot: Client) -> list[str]:
        job = ingot.create_import("t")
        for state in ingot.watch(job.import_id):
            assert state.state == "RECEIVING"
            break
        ingot.finish(job.import_id)
        return [state.state for state in ingot.watch(job.import_id)]

    assert await in_thread(fake, work) == ["PROCESSING", "SUCCEEDED"]


async def test_interrupt_stops_and_the_upload_can_go_on(fake: FakeServer, tmp_path: Path) -> None:
    rows = [{"id": number, "text": "x" * 100} for number in range(20_000)]

    def work(ingot: Client) -> None:
        def interrupted() -> Iterator[dict[str, object]]:
            for number, row in enumerate(rows):
                if number == 15_000:
                    raise KeyboardInterrupt
                yield row

        with pytest.raises(KeyboardInterrupt):
            ingot.import_records("t", interrupted())
        assert ingot.get_import("1").state == "RECEIVING"
        assert ingot.import_records("t", rows, resume="1").state == "SUCCEEDED"

    await in_thread(fake, work)
    assert len(fake.batches["1", "main"].content) == len(rows)


async def test_closed_client_says_so(fake: FakeServer) -> None:
    def work(ingot: Client) -> None:
        ingot.create_import("t")
        ingot.close()
        ingot.close()
        with pytest.raises(IngotError, match="the client is closed"):
            ingot.get_import("1")
        with pytest.raises(IngotError, match="the client is closed"):
            next(ingot.watch("1"))

    await in_thread(fake, work)


async def test_client_that_is_not_closed_leaves_quietly(fake: FakeServer) -> None:
    program = f"""
from ingot_client import Client
ingot = Client("127.0.0.1:{fake.port}", "k")
watched = ingot.watch(ingot.create_import("t").import_id)
print(next(watched).state)
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await process.communicate() == (b"RECEIVING\n", b"")
    assert process.returncode == 0


async def test_several_threads_share_a_client(fake: FakeServer) -> None:
    fake.script.extend([Call(drop_after=2), Call(drop_after=2)])

    def work(ingot: Client) -> None:
        def one() -> None:
            assert ingot.import_records("t", [{"id": number} for number in range(5_000)]).state == "SUCCEEDED"

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await in_thread(fake, work)
    assert [len(batch.content) for batch in fake.batches.values()] == [5_000] * 4


@pytest.mark.parametrize(
    ("work", "error", "why"),
    [
        (lambda ingot: ingot.block_values(["x"]), TypeError, r"values\[0\] is a str, not a BlockedValue: Blocked"),
        (lambda ingot: ingot.unblock_values("x"), TypeError, "values is a str: give a list"),
        (lambda ingot: ingot.block_values(None), TypeError, "values is a NoneType: give a list"),
        (lambda ingot: ingot.create_table("t", fields=["x"]), TypeError, r"fields\[0\] is a str"),
        (lambda ingot: ingot.update_table("t", fields={"name": "x"}), TypeError, "fields is a dict: give a list"),
        (lambda ingot: ingot.export_errors("1", "x", format="xlsx"), ValueError, "'xlsx' is neither ndjson nor csv"),
        (lambda ingot: ingot.export_errors("1", "x", format=None), ValueError, "None is neither ndjson nor csv"),
        (lambda ingot: ingot.create_import("t", key_fields=[1]), TypeError, "1 is an int, not a name"),
        (lambda ingot: ingot.create_import("t", key_fields=1), TypeError, "1 is an int, not a list of names"),
        (lambda ingot: ingot.create_import("t", kind=1), TypeError, "1 is an int, not a word"),
        (lambda ingot: ingot.list_imports(created_from="2026"), TypeError, "'2026' is a str, not a datetime"),
        (lambda ingot: ingot.list_imports(states=["done"]), ValueError, "'done' is not one of RECEIVING, "),
        (lambda ingot: ingot.list_errors("1", severity=2), TypeError, "2 is an int, not a word"),
        (lambda ingot: ingot.list_errors("1", code="bad"), ValueError, "'bad' is not one of TOO_LITTLE_INFORMATION"),
        (lambda ingot: ingot.delete_records("t", [1]), TypeError, "1 is an int, not a name"),
        (lambda ingot: ingot.get_import(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.retry(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.retry("1", request_id=2), TypeError, "request_id must be a str, got 2"),
        (lambda ingot: ingot.commit(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.cancel(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.delete(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.watch(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.list_errors(1), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.upload_records(1, "b", []), TypeError, "import_id must be a str, got 1"),
        (lambda ingot: ingot.import_records(1, [{"id": 1}]), TypeError, "table must be a str, got 1"),
        (lambda ingot: ingot.get_record("crm", 1), TypeError, "key must be a str, got 1"),
        (lambda ingot: ingot.create_table("t", country=46), TypeError, "country must be a str, got 46"),
    ],
)
async def test_wrong_types_are_explained(
    fake: FakeServer, work: Callable[[Any], Any], error: type[Exception], why: str
) -> None:
    def run(ingot: Client) -> None:
        with pytest.raises(error, match=why):
            result = work(ingot)
            next(result)

    await in_thread(fake, run)
