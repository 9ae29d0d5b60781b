"""Reads plain data out of Python pickles without unpickling.

A pickle is a program for a small stack machine, and two of its instructions import and call any function the
file names. `parse_pickle` runs the data half of that machine only: containers, text, numbers and the few
fixed patterns by which NumPy writes arrays. The names in those patterns are compared as text; nothing is ever
imported or called, so a hostile file has nothing to reach. WESAD's `S2.pkl` (Python 2, protocol 2) and what
Python 3 writes of such data with protocols 2 to 5 is understood.

Instruction set: the comments of `pickletools.py` in the Python standard library.
"""

import mmap
import struct
from typing import Any

from mpcl_jax.data.io import pickle_values as values
from mpcl_jax.data.io.pickle_values import Cell, Refused
from mpcl_jax.types import DataFileError

MAX_STEPS = 1_000_000  # instructions of a file; WESAD has a few hundred

CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
LATIN1 = {b"U": "<B", b"T": "<i"}  # text of Python 2, and the content of its arrays
UTF8 = {b"\x8c": "<B", b"X": "<I", b"\x8d": "<Q"}
BYTES = {b"C": "<B", b"B": "<I", b"\x8e": "<Q", b"\x96": "<Q"}
INTEGERS = {b"\x8a": "<B", b"\x8b": "<i"}
TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
PUTS = {b"q": "<B", b"r": "<I"}
GETS = {b"h": "<B", b"j": "<I"}
REFUSED = {  # for the message only: whatever is not understood is refused
    **{b"i": "INST", b"o": "OBJ", b"\x81": "NEWOBJ", b"\x92": "NEWOBJ_EX", b"P": "PERSID", b"Q": "BINPERSID"},
    **{b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER"},
    **{b"\x8f": "EMPTY_SET", b"\x90": "ADDITEMS", b"\x91": "FROZENSET", b"0": "POP", b"1": "POP_MARK"},
    **{b"2": "DUP", b"p": "PUT", b"g": "GET", b"S": "STRING", b"V": "UNICODE", b"L": "LONG", b"F": "FLOAT"},
    **{b"l": "LIST", b"d": "DICT"},
}


class Mark:
    """What MARK puts on the stack."""


MARK = Mark()


def parse_pickle(path: Any) -> Any:
    """The plain data in the pickle at `path`: dict, list, tuple, str, bytes, numbers, None and NumPy arrays.

    Text of Python 2 becomes `str` (latin-1), as with `pickle.load(encoding="latin1")`. Arrays are views of the
    mapped file, so they can not be written to and cost no memory until they are read. Floats, integers and
    truth values only. The result holds no container twice, hence no cycles.

    Raises DataFileError naming the file, the instruction and its place for everything else.
    """
    try:
        with open(path, "rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise DataFileError(path, f"can not be opened ({error})") from error
    machine = Machine(content)
    try:
        return values.Plain().of(machine.run())
    except Refused as error:
        place = f"instruction {machine.opcode!r} at byte {machine.start:,}"
        raise DataFileError(path, f"no plain data pickle: {error} ({place})") from error


class Machine:
    """The stack machine: bytes in, one value out. Raises Refused."""

    def __init__(self, content: memoryview):
        """`content`: the whole file."""
        self.content, self.at, self.start, self.opcode = content, 0, 0, b""
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Executes up to STOP and returns the one value left."""
        for _ in range(MAX_STEPS):
            self.start = self.at
            self.opcode = bytes(self.take(1))
            if self.opcode == b".":
                value = self.pop()
                if self.stack:
                    raise Refused("more than one value")
                return value
            self.step(self.opcode)
        raise Refused(f"more than {MAX_STEPS:,} instructions")

    def take(self, count: int) -> memoryview:
        """The next `count` bytes; a claimed length is compared with the file before anything is made of it."""
        if not 0 <= count <= len(self.content) - self.at:
            left = len(self.content) - self.at
            raise Refused(f"claims {count:,} bytes where the file has {left:,} left")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, form: str) -> Any:
        """The next number, in a format of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the next line feed."""
        text, feed, _ = bytes(self.content[self.at : self.at + 256]).partition(b"\n")
        if not feed:
            raise Refused("a line of more than 255 characters, or one without end")
        self.at += len(text) + 1
        return text.decode("latin1")

    def pop(self) -> Any:
        """The top of the stack, taken off."""
        if not self.stack or self.stack[-1] is MARK:
            raise Refused("takes a value from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Everything above the last mark, taken off with the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise Refused("no mark on the stack")

    def top(self, kind: type) -> Any:
        """The top of the stack, which has to be of `kind`."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise Refused(f"no {kind.__name__} on the stack")
        return self.stack[-1]

    def put(self, place: int) -> None:
        """Remembers the top of the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise Refused("remembers a value of an empty stack")
        self.memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        """Puts a remembered value on the stack."""
        if place not in self.memo:
            raise Refused("recalls a value that was never remembered")
        self.stack.append(self.memo[place])

    def step(self, op: bytes) -> None:
        """Executes one instruction."""
        if op in CONSTANTS:
            self.stack.append(CONSTANTS[op])
        elif op in NUMBERS:
            self.stack.append(self.number(NUMBERS[op]))
        elif op in LATIN1:
            self.stack.append(values.payload(self.take(self.number(LATIN1[op])), text=True))
        elif op in UTF8:
            self.stack.append(values.unicode_text(self.take(self.number(UTF8[op]))))
        elif op in BYTES:
            self.stack.append(values.payload(self.take(self.number(BYTES[op])), text=False))
        elif op in INTEGERS:
            self.stack.append(values.integer(self.take(self.number(INTEGERS[op]))))
        elif op in PUTS:
            self.put(self.number(PUTS[op]))
        elif op in GETS:
            self.get(self.number(GETS[op]))
        elif op in TUPLES:
            self.stack.append(tuple([self.pop() for _ in range(TUPLES[op])][::-1]))
        else:
            self.rare_step(op)

    def rare_step(self, op: bytes) -> None:
        """The instructions that stand alone."""
        match op:
            case b"\x80":
                if self.number("<B") > 5:
                    raise Refused("a pickle protocol newer than 5")
            case b"\x95":
                self.number("<Q")  # the length of a frame is a hint for readers of streams
            case b"\x94":
                self.put(len(self.memo))
            case b"(":
                self.stack.append(MARK)
            case b"}":
                self.stack.append({})
            case b"]":
                self.stack.append([])
            case b"t":
                self.stack.append(tuple(self.pop_to_mark()))
            case b"I":
                self.stack.append(values.decimal(self.line()))
            case b"a":
                item = self.pop()
                self.top(list).append(item)
            case b"e":
                items = self.pop_to_mark()
                self.top(list).extend(items)
            case b"s":
                value, key = self.pop(), self.pop()
                values.fill(self.top(dict), [key, value])
            case b"u":
                items = self.pop_to_mark()
                values.fill(self.top(dict), items)
            case b"c":
                self.stack.append(values.global_name(self.line(), self.line()))
            case b"\x93":
                text, module = self.pop(), self.pop()
                self.stack.append(values.global_name(module, text))
            case b"R":
                args, function = self.pop(), self.pop()
                self.stack.append(values.reduced(function, args))
            case b"b":
                state = self.pop()
                values.build(self.top(Cell), state)
            case _:
                raise Refused(f"{REFUSED.get(op, 'an unknown instruction')} is not used for plain data")
