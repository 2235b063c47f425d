"""`python -m repose_jax.cli` is `repose`."""

import sys

from repose_jax.cli import main

sys.exit(main())
