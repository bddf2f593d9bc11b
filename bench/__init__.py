"""Measures Ingot beside what people would use instead of it, in one run on one machine.

    records     the generated data
    server      Ingot as it is shipped, on a data folder of its own
    measures/   what runs in a process of its own and is timed there: one module for each thing that is measured
    cases       which measures make up a case, and in which order
    results     medians, ratios, `results.json`
    reporting   the table, the bars, the section in docs/performance.md

    python -m bench --help

All paths write into the same PostgreSQL, the one that Ingot brings along, with durability on. The cases take turns, so
that what else the machine does meets them all; before each the write-ahead log begins anew and its tables are empty.
"""
