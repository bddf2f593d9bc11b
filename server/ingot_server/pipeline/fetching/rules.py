"""What may be read, and how patiently."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What the operator allows. By default: files on public hosts, by HTTP."""

    private_networks: bool = False
    """Whether hosts may be read that are not on the public internet: this machine, private and link-local networks."""
    folders: tuple[Path, ...] = ()
    """Where files of this machine may be read, with all that is below; none: nowhere."""
    s3_buckets: tuple[str, ...] = ()
    """For which buckets the server's own credentials may be used; none: for none."""
    s3_endpoint: str = ""
    """The address of the S3 service; Amazon's if empty. It may be private: it is the operator's choice."""
    bytes_max: int = 1 << 40
    stall_seconds: float = 60
    """No byte for so long is a fault."""
    tries: int = 5
    """After so many faults in a row, without a new byte in between, reading is given up; and in the time that as many
    silent tries take, `fetched.SLOWEST` bytes a second must come."""
    backoff_seconds: float = 0.5
    """How long to wait after the first fault; twice as long after each further one in a row."""
