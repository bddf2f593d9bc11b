"""Hostile inputs for all that reads what callers send, and what must hold whatever they are.

    drafts      bytes and texts that look almost right
    targets     what reads them, and what must hold: no exception but the declared one, the same result however it is
                cut, and the same as a library says that judges it
    test_fuzz   a few of them in the suite, always the same ones, and all finds by name
    __main__    many of them, others each time, with an eye on processor time and memory: `make fuzz MINUTES=10`
    guided      the same targets, led by atheris into code that has not been reached, where it is installed

Of an input that breaks a promise hypothesis shows the smallest. It becomes a case in `test_fuzz`, and is fixed.
"""
