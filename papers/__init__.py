"""One readable file per paper. `python -m papers` lists them, `python -m papers NAME` runs one."""
