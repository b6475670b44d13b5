"""A board behind a serial line that answers `weft_hardware.serial_link` in Python, and misbehaves on request."""

from __future__ import annotations

from weft_hardware.serial_link import (
    CRC_BYTES,
    DELAYS,
    DONE,
    HEADER_BYTES,
    MAX_WORDS,
    READS,
    REFUSED,
    WORD_BYTES,
    WRITES,
    Command,
    crc16,
)


class FakeBoard:
    """A serial port with memory and registers at its other end.

    Parameters
    ----------
    registers : dict of int to int
        By offset.
    delays : tuple of int
        SDRAM read delays at which its memory works.

    Attributes
    ----------
    done : list of Command
        What was carried out.
    lose, spoil : set of int
        Requests, by their number from 0, whose answer is lost, or has a wrong byte.
    silent : bool
        It answers nothing any more.
    """

    def __init__(self, registers: dict[int, int], delays: tuple[int, ...] = tuple(DELAYS)) -> None:
        self.registers, self.delays = registers, delays
        self.memory = bytearray(32 << 20)
        self.done: list[Command] = []
        self.lose: set[int] = set()
        self.spoil: set[int] = set()
        self.silent = self.closed = False
        self.requests = 0
        self._delay, self._last = 4, -1
        self._answer = b""

    def write(self, data: bytes) -> int:
        frame, crc = data[:-CRC_BYTES], int.from_bytes(data[-CRC_BYTES:], "little")
        number, self.requests = self.requests, self.requests + 1
        answer = self._serve(frame) if crc16(frame) == crc else bytes([REFUSED])
        answer += crc16(answer).to_bytes(CRC_BYTES, "little")
        if number in self.spoil:
            answer = bytes([answer[0] ^ 1]) + answer[1:]
        if not self.silent and number not in self.lose:
            self._answer += answer
        return len(data)

    def _serve(self, frame: bytes) -> bytes:
        kind, sequence, count = frame[:3]
        address, words = int.from_bytes(frame[3:HEADER_BYTES], "little"), frame[HEADER_BYTES:]
        if kind not in list(Command) or count > MAX_WORDS or (kind in WRITES and len(words) != count * WORD_BYTES):
            return bytes([REFUSED])
        command = Command(kind)
        if command in WRITES:
            if sequence == self._last:
                return bytes([DONE])
            self._last = sequence
        self.done.append(command)
        value = int.from_bytes(words[:WORD_BYTES], "little")
        if command is Command.RESET:
            self._last = -1
        elif command is Command.SET_DELAY:
            self._delay = value
        elif command is Command.WRITE_REGISTER:
            self.registers[address] = value
        elif command is Command.WRITE_MEMORY:
            self.memory[address : address + len(words)] = words
        answer = b""
        if command is Command.READ_REGISTER:
            answer = self.registers.get(address, 0).to_bytes(WORD_BYTES, "little")
        elif command is Command.READ_MEMORY:
            answer = bytes(self.memory[address : address + count * WORD_BYTES])
            if self._delay not in self.delays:
                answer = b"\xff\xff" + answer[:-2]
        assert (command in READS) == bool(answer)
        return bytes([DONE]) + answer

    def read(self, size: int = 1) -> bytes:
        part, self._answer = self._answer[:size], self._answer[size:]
        return part

    def close(self) -> None:
        self.closed = True
