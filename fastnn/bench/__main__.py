"""`python -m fastnn.bench`: the same as `fastnn bench`."""

import sys

from fastnn.bench import main

sys.exit(main())
