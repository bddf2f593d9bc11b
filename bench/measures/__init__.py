"""What is timed: each measure is a function that runs in a process of its own, and the clock runs only within it.

python -m bench.measures NAME '{"argument": ...}'    prints what the function returns, as JSON
"""
