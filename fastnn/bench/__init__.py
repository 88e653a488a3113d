"""The benchmarks behind `fastnn bench`; imported by nothing else.

`harness` verifies and times a case, `machine` says what it runs on and holds the threads, `report` and `picture` show the results.
The cases are in one file for each area; `cases.py` collects them.
"""

from fastnn.bench.command import main as main
