"""Calls that are given up: the ones after which servers are known to keep what they should let go."""

import asyncio
from contextlib import suppress
from itertools import count

import grpc
from grpc import aio

from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import record_service_pb2 as rs
from tests.calling import Caller, Upload, records
from tests.faults.storm.world import World


class Churn:
    """Gives up calls of every sort, at the server that is measured."""

    def __init__(self, world: World) -> None:
        self.calls = 0
        """How many were given up."""
        self._world = world

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        server = self._world.replicas[0].running
        assert server is not None
        rows = records([{"id": row} for row in range(100)]).records
        async with Caller(server.address, self._world.key) as caller:
            import_id = await caller.create("churn")
            await caller.upload([Upload(import_id=import_id, batch_id="b", records=rows)])
            for number in count():
                upload = caller.batches.UploadBatch(iter([Upload(import_id=import_id, batch_id="b", records=rows)]))
                watch = caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))
                export = caller.records.ExportRecords(rs.ExportRecordsRequest(table="churn"))
                late = caller.imports.GetImport(pb.GetImportRequest(import_id=import_id), timeout=0.001)
                # Each time at another moment of the calls.
                await asyncio.sleep(number % 40 / 1_000)
                for call in (upload, watch, export, late):
                    call.cancel()
                    with suppress(aio.AioRpcError, asyncio.CancelledError, grpc.RpcError):
                        await call.code()
                self.calls += 4
                await asyncio.sleep(0.05)
