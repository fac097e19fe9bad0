"""Say in one line that this Python is too old, before anything else fails for that reason."""

import sys

if sys.version_info < (3, 11):
    sys.exit("Roost needs Python 3.11 or newer; this is %d.%d. Name another with PYTHON=…" % sys.version_info[:2])
