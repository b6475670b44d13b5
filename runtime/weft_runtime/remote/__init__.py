"""Devices of another process or machine over gRPC: the protocol, its client and its server; see docs/remote.md.

Importing this package imports nothing of gRPC; the ``remote`` extra brings what client and server need.
"""

import os

# gRPC's C core prints what goes wrong on stderr by itself, and reads this when it is loaded; here every failure is one
# sentence. Whoever wants both sets the variable.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
