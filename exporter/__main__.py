"""`python -m exporter` is `mda-exporter`."""

import sys

from exporter import cli

sys.exit(cli.main())
