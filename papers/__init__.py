"""One readable file per paper. `python -m papers` lists them, `python -m papers NAME` runs one."""

import os
import sys

# The products of the small experiments gain little from a second BLAS thread, and on a busy
# machine waiting for it costs a factor of ten. Read when NumPy is imported.
if "--full" not in sys.argv:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
