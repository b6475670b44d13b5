"""The calls of the protocol, on the server's event loop."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from importlib import metadata
from typing import Any, TypeVar

import grpc
import grpc.aio
from weft_hardware.errors import WeftError

from ..errors import ModuleError
from .convert import (
    infos_to_messages,
    launch_from_message,
    layer_to_message,
    memory_to_message,
    report_to_message,
    tensor_from_message,
    tensor_to_message,
)
from .credentials import has_token
from .errors import RemoteError, error_to_message, status_of
from .leases import Lease, Leases
from .limits import Limits
from .messages import ERROR_KEY, METHODS, PROTOCOL, SERVICE, Method, message
from .pool import Pool, Slot, Ticket, Want
from .residents import RunResult
from .sources import Wish
from .store import Store, Stored, load_module

MAX_SENTENCE = 3000
"""Characters of a status message: metadata must stay small."""

_NOT_A_MESSAGE = RemoteError("the request is no message of this protocol; use devices.proto", "INVALID_ARGUMENT")

Answer = TypeVar("Answer")
Context = Any


class Service:
    """What the server does for its clients.

    Parameters
    ----------
    pool : Pool
    limits : Limits
    token : str
        Empty if clients need none.
    allow_host_code : bool
        Whether uploaded modules may bring code for this CPU.
    """

    def __init__(self, pool: Pool, limits: Limits, token: str, *, allow_host_code: bool) -> None:
        self._pool = pool
        self._limits = limits
        self._token = token
        self._allow_host_code = allow_host_code
        self._store = Store(limits)
        self._leases = Leases(pool, limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._entered = self._uploading = 0
        self._stop = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """All calls, ready for a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE, {name: self._handler(method) for name, method in METHODS.items()}
        )

    async def drain(self) -> None:
        """Refuse what is new, and wait until every call on a device has ended and every lease is given back."""
        self._stop.set()
        await self._leases.end_all()
        while self._entered or self._tasks:
            await asyncio.sleep(0.02)

    # The calls -------------------------------------------------------------------------------------------------

    async def describe(self, request: Any, context: Context) -> Any:
        return message("DescribeReply")(
            protocol=PROTOCOL,
            version=_version(),
            devices=[await self._device_state(slot) for slot in self._pool.slots],
            limits=message("Limits")(
                message_bytes=self._limits.message_bytes,
                chunk_bytes=self._limits.chunk_bytes,
                memory_bytes=self._limits.memory_bytes,
                module_bytes=self._limits.module_bytes,
                launch_cycles=self._limits.launch_cycles,
            ),
            runs_host_code=self._allow_host_code,
        )

    async def lease(self, request: Any, context: Context) -> None:
        self._check_open()
        wish = self._wish(request)
        want = Want(request.config_digest, request.kind, wish.memory is not None)
        ticket = self._pool.enqueue(want, context.peer())
        most = self._limits.wait_seconds
        wait = request.wait_seconds if 0 < request.wait_seconds < most else most
        try:
            slot = await self._turn(ticket, wait, context)
        except BaseException:
            self._pool.withdraw(ticket)
            raise
        lease = self._leases.add(slot)
        try:
            await lease.open(wish)
            granted = message("Granted")(lease=lease.id, device=self._device_info(slot))
            await self._send(context, message("LeaseEvent")(granted=granted))
            reason = await self._leases.over(lease, context.done)
            await self._send(context, message("LeaseEvent")(taken_back=message("TakenBack")(reason=reason)))
        finally:
            self._leases.end(lease, "its client gave it back")
            self._start(self._give_back(lease))

    async def allocate(self, request: Any, context: Context) -> Any:
        address = await self._leases.call(request.lease, lambda tenant: tenant.allocate(request.nbytes))
        return message("AllocateReply")(address=address)

    async def free(self, request: Any, context: Context) -> Any:
        await self._leases.call(request.lease, lambda tenant: tenant.free(request.address))
        return message("FreeReply")()

    async def write(self, request: Any, context: Context) -> Any:
        await self._leases.call(request.lease, lambda tenant: tenant.write(request.address, request.data))
        return message("WriteReply")()

    async def read(self, request: Any, context: Context) -> Any:
        data = await self._leases.call(request.lease, lambda tenant: tenant.read(request.address, request.nbytes))
        return message("ReadReply")(data=data.tobytes())

    async def launch(self, request: Any, context: Context) -> Any:
        launch = launch_from_message(request)
        return report_to_message(await self._leases.call(request.lease, lambda tenant: tenant.launch(launch)))

    async def use_of_memory(self, request: Any, context: Context) -> Any:
        use = await self._leases.call(request.lease, lambda tenant: tenant.memory_use())
        return message("UseOfMemoryReply")(use=memory_to_message(use))

    async def upload(self, requests: Any, context: Context) -> Any:
        self._check_open()
        first = await self._receive(context)
        if first is None:
            raise RemoteError("upload ended before it began; send the module's name, size and chunks")
        self._store.check_name(first.name)
        if first.size > self._limits.module_bytes:
            raise RemoteError(
                f"module of {first.size} bytes is larger than the server's limit of {self._limits.module_bytes}; "
                "raise the server's --module-limit",
                "RESOURCE_EXHAUSTED",
            )
        content = await self._collected(first, context)
        module = await asyncio.to_thread(load_module, content, self._limits, allow_host_code=self._allow_host_code)
        self._pool.check(Want(module.content.config.digest))
        stored, replaced = self._store.add(first.name, content, module, replace=first.replace)
        if replaced is not None:
            self._unload(replaced)
        return _module_info(stored)

    async def list_modules(self, request: Any, context: Context) -> Any:
        return message("ListModulesReply")(modules=[_module_info(stored) for stored in self._store.all()])

    async def remove_module(self, request: Any, context: Context) -> Any:
        self._unload(self._store.remove(request.name))
        return message("RemoveModuleReply")()

    async def run(self, requests: Any, context: Context) -> None:
        request = first = await self._receive(context)
        while request is not None:
            self._check_open()
            result = await self._run_once(self._store.get(first.module), first.kind, request, context.peer())
            await self._send(context, _run_reply(self._store.get(first.module), result, profile=first.profile))
            request = await self._receive(context)

    # What they share -------------------------------------------------------------------------------------------

    async def _collected(self, first: Any, context: Context) -> bytes:
        """The file of an upload."""
        data, request = bytearray(), first
        try:
            while request is not None and len(data) <= first.size:
                data += request.chunk
                self._uploading += len(request.chunk)
                if self._uploading > 2 * self._limits.module_bytes:
                    raise RemoteError("the server takes no more uploads at a time; try again later", "UNAVAILABLE")
                request = await self._receive(context)
        finally:
            self._uploading -= len(data)
        if len(data) != first.size:
            raise RemoteError(f"upload of {first.size} bytes has {len(data)}; send it again", "INVALID_ARGUMENT")
        return bytes(data)

    async def _run_once(self, stored: Stored, kind: str, request: Any, client: str) -> RunResult:
        inputs = {tensor.name: tensor_from_message(tensor) for tensor in request.inputs}
        if len(inputs) != len(request.inputs):
            raise ModuleError("an input is given twice; give each once")
        ticket = self._pool.enqueue(Want(stored.module.content.config.digest, kind), client)
        try:
            slot = await self._turn(ticket, self._limits.wait_seconds)
        except BaseException:
            self._pool.withdraw(ticket)
            raise
        try:
            return await slot.call(slot.residents.run, stored.sha256, stored.module, inputs)
        finally:
            self._start(self._release(slot))

    async def _turn(self, ticket: Ticket, wait: float, context: Context | None = None) -> Slot:
        """Wait for a ticket's turn, and tell the client how many are ahead of it."""
        loop = asyncio.get_running_loop()
        deadline, told = loop.time() + wait, -1
        while not ticket.turn.done():
            self._check_open()
            if loop.time() > deadline:
                raise RemoteError(
                    f"no device was free within {wait:g} s ({self._pool.ahead(ticket)} clients are ahead); "
                    "try again later, or wait longer",
                    "DEADLINE_EXCEEDED",
                )
            if context is not None and told != (told := self._pool.ahead(ticket)):
                await self._send(context, message("LeaseEvent")(queued=message("Queued")(ahead=told)))
            await asyncio.wait([ticket.turn], timeout=min(0.25, max(0.0, deadline - loop.time()) + 0.001))
        return ticket.turn.result()

    async def _give_back(self, lease: Lease) -> None:
        """Clean up after a lease, behind whatever its device still does, and let the next one in."""
        try:
            await lease.slot.call(lease.clear)
        except Exception as error:
            lease.slot.failure = str(error)
            _log(f"device {lease.slot.name} is out of service: it could not be cleaned after a client")
        self._pool.release(lease.slot)

    async def _release(self, slot: Slot) -> None:
        """Let the next client in behind whatever the device still does."""
        await slot.call(lambda: None)
        self._pool.release(slot)

    def _unload(self, stored: Stored) -> None:
        if any(other.sha256 == stored.sha256 for other in self._store.all()):
            return
        for slot in self._pool.slots:
            self._start(slot.call(slot.residents.drop, stored.sha256))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on though its call has ended."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_open(self) -> None:
        if self._stop.is_set():
            raise RemoteError("the server is stopping; try another one, or later", "UNAVAILABLE")

    def _wish(self, request: Any) -> Wish:
        memory = None
        if request.HasField("memory"):
            memory = (request.memory.base, request.memory.size)
            if not 0 < memory[1] <= self._limits.memory_bytes:
                raise RemoteError(
                    f"memory of {memory[1]} bytes is outside the server's limit of 1..{self._limits.memory_bytes}; "
                    "use a smaller image, or raise the server's --memory-limit",
                    "RESOURCE_EXHAUSTED",
                )
        if request.read_latency > self._limits.read_latency:
            raise RemoteError(
                f"read_latency = {request.read_latency} is more than the server's {self._limits.read_latency}; "
                "choose less",
                "INVALID_ARGUMENT",
            )
        most = self._limits.launch_cycles
        return Wish(memory, request.read_latency, min(request.max_cycles or most, most))

    async def _device_state(self, slot: Slot) -> Any:
        """What the device is and what is on it."""
        info = self._device_info(slot)
        if slot.holder is None and (use := await slot.call(slot.source.memory_use)) is not None:
            info.memory.CopyFrom(memory_to_message(use))
        return info

    def _device_info(self, slot: Slot) -> Any:
        source = slot.source
        return message("DeviceInfo")(
            name=slot.name,
            kind=source.kind,
            config_digest=source.config.digest,
            config_json=_json(source.config.to_dict()),
            in_use=slot.holder is not None,
            fresh=source.fresh,
        )

    async def _receive(self, context: Context) -> Any:
        """The next request of a stream, None at its end."""
        reading, stopping = asyncio.ensure_future(context.read()), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait(
                (reading, stopping), timeout=self._limits.stream_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if reading.done():
                request = reading.result()
                if request is None:
                    raise _NOT_A_MESSAGE
                return None if request is grpc.aio.EOF else request  # type: ignore[attr-defined]
        finally:
            reading.cancel()
            stopping.cancel()
        self._check_open()
        raise RemoteError(
            f"nothing came for {self._limits.stream_seconds:g} s; open another stream", "DEADLINE_EXCEEDED"
        )

    async def _send(self, context: Context, reply: Any) -> None:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
        writing = asyncio.ensure_future(context.write(reply))
        try:
            await asyncio.wait([writing], timeout=self._limits.stream_seconds)
            if writing.done():
                return writing.result()
        finally:
            writing.cancel()
        raise RemoteError(
            f"a reply was not taken for {self._limits.stream_seconds:g} s; open another stream", "DEADLINE_EXCEEDED"
        )

    # Around every call -----------------------------------------------------------------------------------------

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        function = getattr(self, _snake(method.name))
        make = getattr(grpc, f"{method.kind}_rpc_method_handler")
        return make(self._guarded(function), method.decode, method.encode)

    def _guarded(self, function: Callable[[Any, Context], Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
        """The call with its token checked, and its failure as one sentence."""

        async def call(request: Any, context: Context) -> Answer:
            self._entered += 1
            try:
                self._check_token(context)
                if request is None:
                    raise _NOT_A_MESSAGE
                return await function(request, context)
            except WeftError as error:
                failure: WeftError = error
            except (asyncio.CancelledError, grpc.aio.BaseError):
                raise  # the client has gone
            except Exception as error:
                _log(traceback.format_exc())
                failure = RemoteError(
                    f"the server failed ({type(error).__name__}: {error}); its log tells where, please report it",
                    "INTERNAL",
                )
            finally:
                self._entered -= 1
            sentence = str(failure)
            if len(sentence) > MAX_SENTENCE:
                sentence = sentence[: MAX_SENTENCE - 1] + "…"
            details = ((ERROR_KEY, error_to_message(failure).SerializeToString()),)
            await context.abort(grpc.StatusCode[status_of(failure)], sentence, details)
            raise AssertionError("abort raises")

        return call

    def _check_token(self, context: Context) -> None:
        if self._token and not has_token(context.invocation_metadata() or (), self._token):
            raise RemoteError(
                "the token is wrong or missing; use the server's credentials, as in "
                "grpc://host:port?credentials=FOLDER",
                "UNAUTHENTICATED",
            )


def _run_reply(stored: Stored, result: RunResult, *, profile: bool) -> Any:
    cycles = [layer.cycles for layer in result.layers if layer.cycles is not None]
    reply = message("RunReply")(
        outputs=[
            tensor_to_message(tensor.name, values)
            for tensor, values in zip(stored.module.content.outputs, result.outputs, strict=True)
        ],
        layers=[layer_to_message(layer) for layer in result.layers] if profile else [],
        seconds=result.seconds,
    )
    if cycles:
        reply.cycles = sum(cycles)
    return reply


def _module_info(stored: Stored) -> Any:
    content = stored.module.content
    return message("ModuleInfo")(
        name=stored.name,
        sha256=stored.sha256,
        config_digest=content.config.digest,
        inputs=infos_to_messages(content.inputs),
        outputs=infos_to_messages(content.outputs),
        macs=stored.module.macs,
    )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _version() -> str:
    try:
        return metadata.version("weft")
    except metadata.PackageNotFoundError:
        return "unknown"


def _json(values: dict[str, Any]) -> str:
    import json

    return json.dumps(values, sort_keys=True)


def _log(text: str) -> None:
    print(f"weft serve: {text}", file=sys.stderr, flush=True)
