"""The synchronous client: the asynchronous one, run in a background thread.

Each method is made from its asynchronous original, with the same parameters and the same documentation.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import GenericAlias, TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast, get_args

from ingot_client import _own_thread
from ingot_client._async_client import AsyncClient
from ingot_client._paging import Pages
from ingot_client._settings import PemFile

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


def _waiting(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    """A method that returns what the asynchronous one does."""

    def call(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _own_thread.run(method(client._client, *args, **kwargs))

    return functools.update_wrapper(call, method)


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    """A method that returns an iterator over the asynchronous one's."""

    def call(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return _iterate(method(client._client, *args, **kwargs))

    return _shown_as_iterator(functools.update_wrapper(call, method))


def _listing(
    method: Callable[Concatenate[AsyncClient, P], Pages[T]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    """A method that returns an iterator over all pages."""

    def call(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return (item for page in _iterate(method(client._client, *args, **kwargs).pages()) for item in page)

    return _shown_as_iterator(functools.update_wrapper(call, method))


def _shown_as_iterator(call: C) -> C:
    """The method, for which `help` would otherwise show what the asynchronous original returns."""
    signature = inspect.signature(call)
    item = get_args(signature.return_annotation)[0]
    call.__signature__ = signature.replace(return_annotation=GenericAlias(Iterator, (item,)))  # type: ignore[attr-defined]
    return call


def _iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
    end = object()

    async def following() -> T | object:
        return await anext(items, end)

    try:
        while (item := _own_thread.run(following())) is not end:
            yield cast(T, item)
    finally:
        # Without waiting: the reader may have dropped the iterator, and then this runs wherever garbage is collected.
        _own_thread.run_later(items.aclose())


class Client:
    """Talks to an Ingot server. Safe to use from several threads.

    Lists and streams are iterators: `for job in ingot.list_imports(): …`.
    """

    import_records = _waiting(AsyncClient.import_records)
    import_file = _waiting(AsyncClient.import_file)
    import_reference = _waiting(AsyncClient.import_reference)
    import_mended = _waiting(AsyncClient.import_mended)

    create_import = _waiting(AsyncClient.create_import)
    get_import = _waiting(AsyncClient.get_import)
    list_imports = _listing(AsyncClient.list_imports)
    watch = _iterating(AsyncClient.watch)
    finish = _waiting(AsyncClient.finish)
    commit = _waiting(AsyncClient.commit)
    cancel = _waiting(AsyncClient.cancel)
    retry = _waiting(AsyncClient.retry)
    delete = _waiting(AsyncClient.delete)
    list_errors = _listing(AsyncClient.list_errors)
    export_errors = _waiting(AsyncClient.export_errors)
    export_rejects = _waiting(AsyncClient.export_rejects)

    upload_records = _waiting(AsyncClient.upload_records)
    upload_file = _waiting(AsyncClient.upload_file)
    reference_batch = _waiting(AsyncClient.reference_batch)
    get_batch = _waiting(AsyncClient.get_batch)
    list_batches = _listing(AsyncClient.list_batches)

    write_records = _waiting(AsyncClient.write_records)
    get_record = _waiting(AsyncClient.get_record)
    list_records = _listing(AsyncClient.list_records)
    export_records = _waiting(AsyncClient.export_records)
    delete_records = _waiting(AsyncClient.delete_records)

    create_table = _waiting(AsyncClient.create_table)
    get_table = _waiting(AsyncClient.get_table)
    list_tables = _listing(AsyncClient.list_tables)
    update_table = _waiting(AsyncClient.update_table)
    delete_table = _waiting(AsyncClient.delete_table)
    list_kinds = _listing(AsyncClient.list_kinds)
    block_values = _waiting(AsyncClient.block_values)
    unblock_values = _waiting(AsyncClient.unblock_values)
    list_blocked_values = _listing(AsyncClient.list_blocked_values)

    close = _waiting(AsyncClient.close)

    def __init__(
        self,
        address: str | None = None,
        api_key: str | None = None,
        *,
        tls: bool | None = None,
        root_certificates: PemFile | None = None,
        certificate: tuple[PemFile, PemFile] | None = None,
        timeout: float = 30.0,
        retry_timeout: float = 300.0,
    ) -> None:
        self._client = AsyncClient(
            address,
            api_key,
            tls=tls,
            root_certificates=root_certificates,
            certificate=certificate,
            timeout=timeout,
            retry_timeout=retry_timeout,
        )

    __init__.__doc__ = AsyncClient.__init__.__doc__

    @property
    def address(self) -> str:
        """The server's address."""
        return self._client.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
