"""`python -m hyperrestore`: the command line."""

import sys

from hyperrestore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
