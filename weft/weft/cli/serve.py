"""``weft serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from weft_runtime.remote.server import ServerOptions
    from weft_runtime.remote.sources import Source


def serve_command(
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="KIND", help="functional, tsim, timing or a board; repeat it for a pool."),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", metavar="NAME|FILE", help="Of each --device in turn, or of all; vta without."),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option("--pool", metavar="FILE.toml", help="The devices in a file; see docs/remote.md."),
    ] = None,
    bitstream: Annotated[
        Path | None, typer.Option("--bitstream", metavar="FILE.bit", help="pynq: its .hwh lies beside it.")
    ] = None,
    port: Annotated[str, typer.Option("--port", metavar="TTY", help="uart: where the board is attached.")] = "",
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where clients come; port 0 is any free one.")
    ] = "127.0.0.1:7350",
    credentials: Annotated[
        Path | None,
        typer.Option("--credentials", metavar="FOLDER", help="Certificate, key and token; a must beyond loopback."),
    ] = None,
    make_credentials: Annotated[
        Path | None,
        typer.Option("--make-credentials", metavar="FOLDER", help="Write new ones into FOLDER, and serve nothing."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="--make-credentials: how clients will call this machine."),
    ] = None,
    allow_host_code: Annotated[
        bool,
        typer.Option("--allow-host-code", help="Run the host code of uploaded modules: trust whoever can upload."),
    ] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Lend simulators as a board is lent: one memory for all clients.")
    ] = False,
    read_latency: options.ReadLatency = 0,
    launch_cycles: Annotated[
        int, typer.Option("--launch-cycles", metavar="N", min=1, help="The most that one launch may take.")
    ] = 2_000_000_000,
    memory_limit: Annotated[
        int, typer.Option("--memory-limit", metavar="MIB", min=1, help="The most memory that one client gets.")
    ] = 1024,
    module_limit: Annotated[
        int, typer.Option("--module-limit", metavar="MIB", min=1, help="The largest module that is taken.")
    ] = 512,
    idle_limit: Annotated[
        float, typer.Option("--idle-limit", metavar="SECONDS", help="An idle device goes to who waits for it.")
    ] = 30.0,
    lease_limit: Annotated[
        float, typer.Option("--lease-limit", metavar="SECONDS", help="A busy one goes to who waits for it.")
    ] = 600.0,
) -> None:
    """Serve devices to other programs and machines: `--device grpc://HOST:PORT` opens one there.

    Ctrl-C lets running calls end and stops.
    """
    from weft.errors import UsageError
    from weft.extras import needs_extra

    if make_credentials is not None:
        with needs_extra("remote", "making credentials"):
            _make_credentials(make_credentials, name or [])
        return
    if pool is not None and (device or config or bitstream or port):
        raise UsageError("--pool says which devices to serve; leave out --device, --config, --bitstream and --port")
    with needs_extra("remote", "serving devices"):
        from weft_runtime.remote.address import parse_listen
        from weft_runtime.remote.credentials import load_credentials
        from weft_runtime.remote.limits import MIB, Limits
        from weft_runtime.remote.server import ServerOptions

    from weft.serving import from_file, from_options, open_sources

    from .output import build_progress

    host, number = parse_listen(listen)
    chosen = ServerOptions(
        host=host,
        port=number,
        credentials=load_credentials(credentials, key=True) if credentials is not None else None,
        limits=Limits(
            memory_bytes=memory_limit * MIB,
            module_bytes=module_limit * MIB,
            launch_cycles=launch_cycles,
            idle_seconds=idle_limit,
            lease_seconds=lease_limit,
        ),
        allow_host_code=allow_host_code,
        read_latency=read_latency,
    )
    entries = (
        from_file(pool) if pool is not None else from_options(device or [], config or [], str(bitstream or ""), port)
    )
    with build_progress() as progress:
        sources = open_sources(entries, progress, shared=shared)
    _serve(sources, chosen)


def _serve(sources: list[Source], chosen: ServerOptions) -> None:
    """Serve until Ctrl-C or SIGTERM; a second one ends it at once."""
    import asyncio
    import signal

    from weft_runtime.remote.address import Address
    from weft_runtime.remote.server import serve

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def begin_to_stop() -> None:
            print("stopping: running calls may end", flush=True)
            stop.set()
            for number in signals:
                loop.remove_signal_handler(number)

        def ready(address: Address) -> None:
            for source in sources:
                print(f"{source.kind}, configuration {source.config.digest[:8]}")
            print(f"serving on {address}; Ctrl-C stops", flush=True)

        for number in signals:
            loop.add_signal_handler(number, begin_to_stop)
        await serve(sources, chosen, ready, stop)
        print("stopped", flush=True)

    asyncio.run(main())


def _make_credentials(folder: Path, names: list[str]) -> None:
    import socket

    from weft_runtime.remote.credentials import KEY, make_credentials

    for path in make_credentials(folder, [*names, socket.gethostname()]):
        print(path)
    print(f"serve with --credentials {folder}; give clients everything in it but {KEY}")
