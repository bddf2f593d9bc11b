"""Lists that the server gives in pages."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Pages(Generic[T]):
    """A list, fetched page by page while it is read: `async for item in …`, or `async for page in ….pages()`."""

    def __init__(self, fetch: Callable[[str], Awaitable[tuple[Sequence[T], str]]]) -> None:
        """`fetch` gets a page token and gives the page's items and the next token; the empty token is both ends."""
        self._fetch = fetch

    async def pages(self) -> AsyncGenerator[Sequence[T], None]:
        """The pages, as large as the server makes them."""
        token = ""
        while True:
            items, token = await self._fetch(token)
            yield items
            if not token:
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item
