"""Parts of .dev_scripts/benchmark.py."""
