"""The compiler's passes on `qgraph`, one a file; `pipeline.py` orders them."""
