"""`UartDevice`: an accelerator at the other end of a serial line, through `weft_hardware.serial_link`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words
from weft_hardware.isa import instruction_bytes
from weft_hardware.serial_link import (
    BAUD,
    CRC_BYTES,
    DELAYS,
    DONE,
    MAX_WORDS,
    READS,
    WORD_BYTES,
    Command,
    crc16,
)

from .device import Bytes, Device, Launch, MemoryUse, RunReport, check_launch
from .dram import Dram
from .engine import DRAIN_LIMIT, TIMEOUT, WRONG_BITSTREAM, Engine, TimedPort, check_timeout
from .errors import DeviceError

MEMORY_BYTES = 32 << 20

WATCHDOG = 50_000_000

READ_SECONDS = 0.1
"""How long the line is listened to before an answer counts as missing; longer than `serial_link.SILENCE_SECONDS`."""

ATTEMPTS = 4
"""How often a request is sent before the line counts as dead."""


class SerialPort(Protocol):
    """What is used of pyserial's ``Serial``, opened with ``timeout=READ_SECONDS``."""

    def write(self, data: bytes, /) -> int | None: ...

    def read(self, size: int = 1, /) -> bytes:
        """At most so many bytes; fewer after `READ_SECONDS`."""
        ...

    def close(self) -> None: ...


class SerialLink:
    """Requests and their answers; a damaged or missing answer is asked for again.

    Parameters
    ----------
    port : SerialPort
    name : str
        What errors call it.

    Attributes
    ----------
    repeated : int
        Requests that had to be sent again.
    """

    def __init__(self, port: SerialPort, name: str) -> None:
        self._port, self._name = port, name
        self._sequence = 0
        self.repeated = 0

    def close(self) -> None:
        self._port.close()

    def request(self, command: Command, address: int = 0, words: Bytes | None = None, count: int = 0) -> Bytes:
        """Send a request until it is answered; returns the words of the answer.

        Parameters
        ----------
        words : uint8 array
            What a write carries, whole words.
        count : int
            Words that a read asks for.

        Raises
        ------
        DeviceError
            If the line stays silent, or answers nonsense.
        """
        payload = b"" if words is None else words.tobytes()
        count = count or len(payload) // WORD_BYTES
        self._sequence = (self._sequence + 1) % 256
        frame = bytes([command, self._sequence, count]) + address.to_bytes(4, "little") + payload
        frame += crc16(frame).to_bytes(CRC_BYTES, "little")
        nbytes = count * WORD_BYTES if command in READS else 0
        what = "nothing"
        for attempt in range(ATTEMPTS):
            if attempt:
                self.repeated += 1
                self._settle()
            try:
                self._port.write(frame)
                answer = self._receive(1 + nbytes + CRC_BYTES)
            except OSError as error:  # pyserial's own errors among them: the cable was pulled
                raise DeviceError(f"serial port {self._name} failed ({error}); check its cable") from None
            if len(answer) == 1 + nbytes + CRC_BYTES and answer[0] == DONE and not _wrong(answer):
                return np.frombuffer(answer[1 : 1 + nbytes], np.uint8)
            what = f"{len(answer)} bytes, not {1 + nbytes + CRC_BYTES} with a good CRC" if answer else "nothing"
        raise DeviceError(
            f"serial port {self._name} answered {what} to {command.name} after {ATTEMPTS} attempts; check the board's "
            "power and bitstream, the port's name and the baud rate"
        )

    def _receive(self, nbytes: int) -> bytes:
        parts: list[bytes] = []
        missing = nbytes
        while missing and (part := self._port.read(missing)):
            parts.append(part)
            missing -= len(part)
            if parts[0][0] != DONE and nbytes - missing >= 1 + CRC_BYTES:
                break  # refused: nothing more comes
        return b"".join(parts)

    def _settle(self) -> None:
        """Until the line is silent for so long that the board has forgotten half a request."""
        while self._port.read(4096):
            pass


def _wrong(answer: bytes) -> bool:
    return crc16(answer[:-CRC_BYTES]) != int.from_bytes(answer[-CRC_BYTES:], "little")


class _LinkRegisters(TimedPort):
    """Registers over the line."""

    def __init__(self, link: SerialLink, timeout: float) -> None:
        super().__init__(timeout)
        self._link = link

    def read(self, offset: int) -> int:
        return int(self._link.request(Command.READ_REGISTER, offset, count=1)[:4].view("<u4")[0])

    def write(self, offset: int, value: int) -> None:
        self._link.request(Command.WRITE_REGISTER, offset, np.array([value], "<u8").view(np.uint8))

    def reset_hardware(self) -> None:
        self._link.request(Command.RESET)


class UartDevice(Device):
    """An accelerator with its own SDRAM behind a serial line: the ULX3S board.

    Parameters
    ----------
    config : AcceleratorConfig
        What the bitstream was built for.
    port : str or SerialPort
        ``/dev/ttyUSB0``, any other name or URL that pyserial opens, or an open port.
    baud : int
    timeout : float
        Seconds that a launch may take.
    watchdog : int
        Cycles without progress of any unit after which the hardware stops a program; 0 for never.

    Raises
    ------
    DeviceError
        If pyserial is missing, the port cannot be opened, nobody answers, the SDRAM does not work, or the accelerator
        is of another configuration.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        port: str | SerialPort,
        baud: int = BAUD,
        timeout: float = TIMEOUT,
        watchdog: int = WATCHDOG,
    ) -> None:
        check_timeout(timeout)
        self.config = config
        self._dram = Dram.zeros(MEMORY_BYTES)  # for its bookkeeping; the bytes are on the board
        self._link = SerialLink(*((_open(port, baud), port) if isinstance(port, str) else (port, "in use")))
        try:
            self._link.request(Command.RESET)
            self.delay = self._calibrate()
            self._engine = Engine(
                config,
                _LinkRegisters(self._link, timeout),
                (0, MEMORY_BYTES),
                watchdog=watchdog,
                drain_limit=DRAIN_LIMIT,
                hint=WRONG_BITSTREAM,
            )
            self._engine.set_up()
        except BaseException:
            self._link.close()
            raise

    def close(self) -> None:
        self._link.close()

    @property
    def repeated(self) -> int:
        """Requests that had to be sent again because the line lost or changed something."""
        return self._link.repeated

    def allocate(self, nbytes: int) -> int:
        return self._dram.allocate(nbytes)

    def free(self, address: int) -> None:
        self._dram.free(address)

    def memory_use(self) -> MemoryUse:
        return self._dram.use()

    def write(self, address: int, data: Bytes) -> None:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        self._dram.view(address, raw.size)  # refuses what lies outside
        if not raw.size:
            return
        begin, end = address // WORD_BYTES * WORD_BYTES, -(-(address + raw.size) // WORD_BYTES) * WORD_BYTES
        whole = np.empty(end - begin, np.uint8)
        # Whole words travel: what a word holds beside the data is read first.
        if address != begin:
            whole[:WORD_BYTES] = self._read_words(begin, 1)
        if address + raw.size != end:
            whole[-WORD_BYTES:] = self._read_words(end - WORD_BYTES, 1)
        whole[address - begin : address - begin + raw.size] = raw
        for at in range(0, whole.size, MAX_WORDS * WORD_BYTES):
            self._link.request(Command.WRITE_MEMORY, begin + at, whole[at : at + MAX_WORDS * WORD_BYTES])

    def read(self, address: int, nbytes: int) -> Bytes:
        self._dram.view(address, nbytes)
        begin, end = address // WORD_BYTES * WORD_BYTES, -(-(address + nbytes) // WORD_BYTES) * WORD_BYTES
        step = MAX_WORDS * WORD_BYTES
        parts = [self._read_words(at, min(step, end - at) // WORD_BYTES) for at in range(begin, end, step)]
        whole = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
        return whole[address - begin : address - begin + nbytes].copy()

    def launch(self, launch: Launch) -> RunReport:
        check_launch(launch, self.config)
        nbytes = launch.insn_count * instruction_bytes(self.config)
        self._dram.view(launch.insn_address, nbytes)

        def program() -> Words:
            return as_words(self.read(launch.insn_address, nbytes), self.config)

        return self._engine.run(launch, program)

    def _read_words(self, address: int, count: int) -> Bytes:
        return self._link.request(Command.READ_MEMORY, address, count=count)

    def _calibrate(self) -> int:
        """Find and set the SDRAM's read delay: the middle one of those that bring back what was written."""
        pattern = np.random.default_rng(1).integers(0, 256, 16 * WORD_BYTES, np.uint8)
        places = (0, MEMORY_BYTES // 2 - 8 * WORD_BYTES, MEMORY_BYTES - pattern.size)
        good = []
        for delay in DELAYS:
            self._set_delay(delay)
            for place in places:
                self._link.request(Command.WRITE_MEMORY, place, pattern)
            if all(np.array_equal(self._read_words(place, 16), pattern) for place in places):
                good.append(delay)
        if not good:
            raise DeviceError(
                f"the board's SDRAM returned wrong data at every read delay ({DELAYS[0]}..{DELAYS[-1]} cycles); "
                "build the bitstream with a slower --clock"
            )
        self._set_delay(good[len(good) // 2])
        return good[len(good) // 2]

    def _set_delay(self, delay: int) -> None:
        self._link.request(Command.SET_DELAY, 0, np.array([delay], "<u8").view(np.uint8))


def _open(port: str, baud: int) -> SerialPort:
    try:
        import serial
    except ImportError:
        raise DeviceError(
            "the uart device needs the Python package 'pyserial', which is not installed; run: pip install 'weft[uart]'"
        ) from None
    try:
        return serial.serial_for_url(port, baudrate=baud, timeout=READ_SECONDS, exclusive=True)
    except (OSError, ValueError) as error:
        raise DeviceError(f"serial port {port!r} cannot be opened ({error}); check its name and your rights") from None
