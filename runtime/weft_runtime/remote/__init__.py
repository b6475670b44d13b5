"""Devices of another process or machine over gRPC: the protocol, its client and its server; see docs/remote.md.

Importing this package imports nothing of gRPC; the ``remote`` extra brings what client and server need.
"""
