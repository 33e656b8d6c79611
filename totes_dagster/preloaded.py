"""What a run imports, sooner or later: imported once, by the process that a code server forks its runs from.

Nothing here may start a thread, or open a connection or a file: a forked process would have half of it.
"""

import totes_dagster.definitions
