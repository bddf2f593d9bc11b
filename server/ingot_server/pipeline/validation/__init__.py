"""Reads the values of records by the rules of their table: what its kind says, and what the table declares beside it.

The rules are compiled once. Each record is then decoded, every field is read as its type and put under its own name,
and all that is wrong is collected. Nothing here needs the database: what does, is in `mapping`.
"""

from ingot_server.pipeline.validation.read_records import ReadRecords
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.validation.rules import merged_fields
from ingot_server.pipeline.validation.validator import Validator, validator

__all__ = ["ReadRecords", "Row", "Validator", "merged_fields", "validator"]
