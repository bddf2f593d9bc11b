"""What people load records into PostgreSQL with, each in an environment of its own below `build/bench`.

Each writes into typed columns of a table of its own, in the same PostgreSQL as Ingot, with a primary key where it is
the one that makes it; each at the best settings for this job that its documentation tells of.
"""
