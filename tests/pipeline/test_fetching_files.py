"""Files of the server's own machine: below the folders that are allowed, whatever links lead out of them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot_server.pipeline.fetching import Fetcher, FetchFailed, FetchRules, ReferenceRefused
from tests.pipeline.hosting import read

CONTENT = b"".join(b"%07d\n" % number for number in range(80_000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that is allowed, with a file; a file that is not lies beside it."""
    folder = tmp_path / "allowed"
    (folder / "below").mkdir(parents=True)
    (folder / "below/contacts.csv").write_bytes(CONTENT)
    (tmp_path / "secret.csv").write_bytes(b"secret")
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not/secret.csv").write_bytes(b"secret")
    return folder


@pytest.fixture
async def fetcher(folder: Path) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(FetchRules(folders=(folder,), backoff_seconds=0.001))
    yield fetcher
    await fetcher.close()


async def test_a_file_comes_whole_in_pieces_of_limited_size(fetcher: Fetcher, folder: Path) -> None:
    async with fetcher.open(f"file://{folder}/below/contacts.csv") as file:
        pieces = [piece async for piece in file]
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) == 256 * 1024
    assert (file.size, file.offset, file.content_encoding) == (len(CONTENT), 0, "")


async def test_an_empty_file_is_empty(fetcher: Fetcher, folder: Path) -> None:
    (folder / "empty.csv").touch()
    file, content = await read(fetcher, f"FILE://localhost{folder}/empty.csv")
    assert (file.size, content) == (0, b"")


async def test_names_may_be_written_with_percent_signs(fetcher: Fetcher, folder: Path) -> None:
    (folder / "Kunden & Käufer?.csv").write_bytes(b"x")
    assert (await read(fetcher, f"file://{folder}/Kunden%20&%20K%C3%A4ufer%3F.csv"))[1] == b"x"
    assert (await read(fetcher, f"file://{folder}/Kunden & Käufer%3f.csv"))[1] == b"x"


@pytest.mark.parametrize("offset", [0, 1, 256 * 1024, len(CONTENT)])
async def test_reading_goes_on_in_another_process_at_the_offset(fetcher: Fetcher, folder: Path, offset: int) -> None:
    uri = f"file://{folder}/below/contacts.csv"
    async with fetcher.open(uri) as begun:
        pass
    file, content = await read(fetcher, uri, offset=offset, version=begun.version)
    assert (file.offset, content) == (offset, CONTENT[offset:])


async def test_a_file_that_is_written_while_it_is_read_is_refused(fetcher: Fetcher, folder: Path) -> None:
    async with fetcher.open(f"file://{folder}/below/contacts.csv") as file:
        with pytest.raises(FetchFailed, match="the file changed"):
            async for _ in file:
                with (folder / "below/contacts.csv").open("ab") as written:
                    written.write(b"more")


async def test_a_file_that_changed_since_it_was_begun_is_refused(fetcher: Fetcher, folder: Path) -> None:
    path = folder / "below/contacts.csv"
    async with fetcher.open(f"file://{path}") as begun:
        pass
    (folder / "new.csv").write_bytes(CONTENT)
    (folder / "new.csv").replace(path)
    with pytest.raises(FetchFailed, match="the file changed"):
        await read(fetcher, f"file://{path}", offset=8, version=begun.version)


async def test_links_within_the_folder_are_followed(fetcher: Fetcher, folder: Path) -> None:
    (folder / "today").symlink_to("below")
    (folder / "link.csv").symlink_to(folder / "today/contacts.csv")
    assert (await read(fetcher, f"file://{folder}/link.csv"))[1] == CONTENT


async def test_an_allowed_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    fetcher = Fetcher(FetchRules(folders=(link,)))
    for path in (link, folder):
        assert (await read(fetcher, f"file://{path}/below/contacts.csv"))[1] == CONTENT


async def test_links_out_of_the_folder_are_refused(fetcher: Fetcher, folder: Path, tmp_path: Path) -> None:
    (folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "out").symlink_to(tmp_path)
    for name in ("out.csv", "out/secret.csv"):
        with pytest.raises(ReferenceRefused, match="does not read files there"):
            await read(fetcher, f"file://{folder}/{name}")


async def test_a_link_that_is_put_in_place_between_looking_and_opening_is_not_followed(
    fetcher: Fetcher, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath
    path = folder / "below/contacts.csv"

    def look_then_replace(looked: str | Path, *, strict: bool = False) -> str:
        found = real(looked, strict=strict)
        if strict and not path.parent.is_symlink():
            path.parent.rename(tmp_path / "moved")
            path.parent.symlink_to(tmp_path / "moved")
        return found

    monkeypatch.setattr(os.path, "realpath", look_then_replace)
    with pytest.raises(FetchFailed, match="no such file"):
        await read(fetcher, f"file://{path}")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{folder}/../secret.csv", "`..`"),
        ("{folder}/%2e%2E/secret.csv", "`..`"),
        ("{folder}/a%00", "zero byte"),
        ("{folder}-not/secret.csv", "does not read files there"),
        ("/etc/passwd", "does not read files there"),
        ("/", "does not read files there"),
        ("/{folder}/below/contacts.csv", "does not read files there"),
        ("example.org/x", "without a host"),
        ("", "without a host"),
        ("{folder}/x?y", "a query"),
    ],
)
def test_what_is_not_below_the_folder_is_refused_before_anything_is_opened(
    fetcher: Fetcher, folder: Path, path: str, why: str
) -> None:
    with pytest.raises(ReferenceRefused) as refused:
        fetcher.check(f"file://{path.format(folder=folder)}")
    assert why in refused.value.message


async def test_only_regular_files_are_read(fetcher: Fetcher, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name in ("pipe", "below", ""):
        with pytest.raises(ReferenceRefused, match="not a regular file"):
            await read(fetcher, f"file://{folder}/{name}")


async def test_a_file_that_is_not_there_is_told_and_not_tried_again(fetcher: Fetcher, folder: Path) -> None:
    (folder / "round").symlink_to("round")
    for name, why in (("no.csv", "no such file"), ("below/contacts.csv/x", "no such file"), ("round", "links")):
        with pytest.raises(FetchFailed, match=why):
            await read(fetcher, f"file://{folder}/{name}")


async def test_no_file_stays_open(fetcher: Fetcher, folder: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with fetcher.open(f"file://{folder}/below/contacts.csv") as file:
        await anext(aiter(file))
    with pytest.raises(ReferenceRefused):
        await read(fetcher, f"file://{folder}/below")
    assert set(os.listdir("/proc/self/fd")) == before
