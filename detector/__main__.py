"""`python -m detector` is `mda`."""

import sys

from detector import cli

sys.exit(cli.main())
