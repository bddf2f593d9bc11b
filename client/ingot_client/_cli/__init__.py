"""The command line `ingot`: an interface for people, and for their scripts.

Data goes to stdout; bars and messages go to stderr. With `--json` every result is one JSON object on a line.

    0    all records were imported (of a staged import: would be), or the command did what it was asked
    1    the command failed
    2    it was called wrongly
    3    the import ended partially: some records were rejected
    4    the import failed or was cancelled
    130  interrupted

grpc and rich are imported within the commands, so that `--help` comes at once.
"""
