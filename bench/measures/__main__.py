"""Runs one measure."""

import asyncio
import json
import sys

from bench.measures import exporting, hand_written, importing, small, watching

MEASURES = {
    measure.__name__: measure
    for measure in (
        hand_written.upsert,
        hand_written.copy,
        hand_written.copy_out,
        importing.import_file,
        importing.import_records,
        importing.import_parts,
        importing.commit,
        exporting.export_records,
        small.small_imports,
        small.written_records,
        watching.watch,
    )
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(MEASURES[sys.argv[1]](**json.loads(sys.argv[2])))))
