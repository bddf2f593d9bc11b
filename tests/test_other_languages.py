"""What docs/other-languages.md promises to those who bring their own stubs."""

import asyncio
import shutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from ingot.v1 import import_pb2
from ingot.v1 import import_service_pb2 as im
from tests.calling import Caller
from tests.conftest import skip_without
from tests.faults.links import tcp_link, to_address
from tests.test_readme import ROOT, run_shell

ROWS = 100_000


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go example, built as the page says; protoc is that of grpcio-tools."""
    stubs = ROOT / ".venv-stubs/bin/python"
    skip_without(str(stubs), "make stubs")
    skip_without("go", "see https://go.dev")
    skip_without("protoc-gen-go", "go install google.golang.org/protobuf/cmd/protoc-gen-go@latest")
    skip_without("protoc-gen-go-grpc", "go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@latest")
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "protos", checkout / "protos")
    shutil.copytree(ROOT / "examples", checkout / "examples")
    shutil.rmtree(checkout / "examples/go/ingot", ignore_errors=True)
    protoc = checkout / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec {stubs} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    return checkout


def commands() -> str:
    page = (ROOT / "docs/other-languages.md").read_text()
    return page.partition("```bash\n")[2].partition("```")[0]


async def test_the_go_example_is_built_and_imports_as_the_page_says(caller: Caller, go_client: Path) -> None:
    said = await run_shell(
        f"export PATH={go_client}:$PATH; cd {go_client}; {commands()}",
        INGOT_ADDRESS=caller.address,
        INGOT_API_KEY=caller.key or "",
    )
    (job,) = (await caller.imports.ListImports(im.ListImportsRequest())).imports
    assert job.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert said.endswith(
        f"IMPORT_STATE_SUCCEEDED: {job.counts.received} received, {job.counts.created} created, 0 rejected\n"
    )


async def test_the_go_example_goes_on_when_the_connection_breaks(
    caller: Caller, go_client: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text("".join(f'{{"id":{row},"text":"{"x" * 100}"}}\n' for row in range(ROWS)) + "{}\n")
    async with tcp_link(to_address(caller.address)) as (link, address):
        link.cut_after(6_000_000)
        build = "protoc -I ../../protos --go_out=. --go-grpc_out=. ../../protos/ingot/v1/*.proto; go build -o example ."
        running = asyncio.create_task(
            run_shell(
                f"export PATH={go_client}:$PATH; cd {go_client}/examples/go; {build}; ./example things id {file}",
                INGOT_ADDRESS=address,
                INGOT_API_KEY=caller.key or "",
            )
        )
        said = await running
    assert "trying again" in said
    (job,) = (await caller.imports.ListImports(im.ListImportsRequest())).imports
    assert job.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert (job.counts.received, job.counts.created, job.counts.rejected) == (ROWS + 1, ROWS, 1)
    assert f"line {ROWS + 1}: RECORD_ERROR_CODE_EMPTY_RECORD: " in said


def test_every_file_says_where_its_code_goes_in_go_and_java() -> None:
    described = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "protos/ingot/v1/documented.binpb").read_bytes())
    ours = [file.options for file in described.file if file.package == "ingot.v1"]
    assert len(ours) == len(list((ROOT / "protos/ingot/v1").glob("*.proto")))
    assert {(of.go_package, of.java_package, of.java_multiple_files) for of in ours} == {
        ("ingot/v1;ingotv1", "ingot.v1", True)
    }
