"""Damages files of every kind that a stranger may send, and counts what their readers make of them.

    python -m repose_jax.experiments.bench.fuzz_readers --minutes 10 --seed 0

Each reader gets whole files that this script writes, damaged by random bytes, cuts, repetitions and
numbers and words that are known to hurt; of archives the members are damaged, too, and of folders a
file of theirs. A damaged file that reaches a line of the reader that none reached before is kept and
damaged further. A reader has to end in a value or in a `UserError` of one line, within 20 seconds of
CPU; everything else is a fault, and its file is written to --faults. Exit code 1 where there is one.
Ctrl-C ends it with what was counted until then.
What was found: `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
import zipfile

import repose_jax.data
from repose_jax.common.errors import UserError
from repose_jax.experiments.bench.fuzz_corpus import READERS, Reader, unzip

_SLOWEST_S = 20
_SLOWEST_WALL_S = 600  # of one that waits; a busy machine is not its fault
_PACKAGE = str(pathlib.Path(repose_jax.data.__path__[0]).parent)
_HURTING = [
    b"-1", b"0", b"1e400", b"-1e400", b"NaN", b"Infinity", b"null", b"true", b"99999999999999999999",
    b"9" * 400, b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"[]", b"{}", b'""', b"\x00", b"\xff\xfe",
    b"\xef\xbb\xbf", "\u202e".encode(), b"?",
    b"\r\n", b",", b":", b"nan", b"../../etc/passwd", b"2**31", b"\x80\x04"]


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A file with one to six changes; members of archives are changed inside of it, half the time."""
    if content[:2] == b"PK" and rng.random() < 0.5:
        return _damaged_inside(content, rng)
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.choice((1, 2, 4, 8, 40)))
        kind = rng.randrange(8)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place:end] = rng.randbytes(end - place)
        elif kind == 2:
            data[place:end] = rng.choice(_HURTING)
        elif kind == 3:
            data[place:place] = rng.choice(_HURTING)
        elif kind == 4:
            del data[place:end]
        elif kind == 5:
            data[place:place] = data[place:end] * rng.choice((1, 2, 100))
        elif kind == 6:
            del data[place:]
        else:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            data[place:] = other[cut:]
        if rng.random() < 0.3:  # a whole number or word in place of another
            starts = [i for i in range(1, len(data)) if data[i - 1] in b" ,:[=" and data[i] not in b" "]
            if starts:
                start = stop = rng.choice(starts)
                while stop < len(data) and data[stop] not in b",:]}\n ":
                    stop += 1
                data[start:stop] = rng.choice(_HURTING)
        del data[1_000_000:]
    return bytes(data)


def _damaged_inside(content: bytes, rng: random.Random) -> bytes:
    """An archive with a change in one member, or seldom without it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # one that was damaged before
        return content[:-1]
    which = rng.randrange(len(members)) if members else 0
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for number, (name, member) in enumerate(members):
            if number == which and rng.random() < 0.05:
                continue
            if number == which:
                member = damaged(member, [member], rng) if member[:2] != b"PK" else member[:-1]
            archive.writestr(name, member)
    return file.getvalue()


class TooSlow(BaseException):
    """A reader took longer than it may."""


@dataclasses.dataclass
class Outcome:
    """What became of a reader's files."""

    inputs: int = 0
    read: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    slowest: float = 0.0
    kept: int = 0
    stopped: bool = False
    lines: set = dataclasses.field(default_factory=set)
    faults: dict[str, bytes] = dataclasses.field(default_factory=dict)


def fuzz(reader: Reader, folder: pathlib.Path, seed: int, seconds: float, most: int) -> Outcome:
    """Damages and reads for some time, until so many files are read, or until Ctrl-C."""
    rng, outcome, corpus = random.Random(seed), Outcome(), reader.corpus()
    path = folder / (reader.suffix[1:] or "folder" if reader.suffix[0] == "/"
                     else f"file{reader.suffix}")
    began, worked, whole = time.monotonic(), time.process_time(), list(corpus)
    try:
        while outcome.inputs < most and (time.monotonic() - began < seconds or whole):
            if whole:
                content = whole.pop()
            elif reader.suffix == "/":
                content = _damaged_inside(rng.choice(corpus), rng)
            else:
                content = damaged(rng.choice(corpus), corpus, rng)
            if reader.suffix == "/":
                unzip(content, path)
            else:
                path.write_bytes(content)
            before, start = len(outcome.lines), time.process_time()
            fault = _read(reader, path, outcome)
            took = time.process_time() - start
            outcome.inputs += 1
            outcome.slowest = max(outcome.slowest, took)
            if fault is not None:
                outcome.faults.setdefault(fault, content)
            elif len(outcome.lines) > before and len(content) < 100_000 and took < 1:
                corpus.append(content)
                outcome.kept += 1
    except KeyboardInterrupt:  # what was counted so far stands
        outcome.stopped = True
    outcome.seconds, outcome.cpu = time.monotonic() - began, time.process_time() - worked
    return outcome


def _read(reader: Reader, path: pathlib.Path, outcome: Outcome) -> str | None:
    """Reads a file; returns what is wrong with how that ended, None where nothing is."""
    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        outcome.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    def ring(number, frame):
        raise TooSlow

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, ring)
    signal.setitimer(signal.ITIMER_PROF, _SLOWEST_S)
    signal.alarm(_SLOWEST_WALL_S)
    sys.settrace(trace)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            reader.read(path)
        outcome.read += 1
        return f"warning: {said[0].category.__name__} {str(said[0].message):.60}" if said else None
    except UserError as error:
        return None if len(str(error)) < 1000 and "\n" not in str(error) else "a long line"
    except (Exception, TooSlow) as error:
        frame = error.__traceback__
        while frame.tb_next and frame.tb_next.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.tb_next
        place = f"{pathlib.Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        return f"{type(error).__name__} at {place}: {str(error):.80}"
    finally:
        sys.settrace(None)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def executable_lines(name: str) -> set[int]:
    """Numbers of a file's lines that hold code of functions."""
    todo, found = [compile(pathlib.Path(name).read_text(), name, "exec")], set()
    module = todo[0]
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if isinstance(c, type(code))]
        if code is not module:
            found |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return found


def main() -> int:
    """Runs all readers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="over all readers")
    parser.add_argument("--most", type=int, default=10**9, help="files a reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose name holds this")
    parser.add_argument("--faults", type=pathlib.Path, help="folder for files at fault")
    options = parser.parse_args()
    chosen = {name: reader for name, reader in READERS.items() if options.only in name}
    total, faulty, seen = 0, 0, {}
    with tempfile.TemporaryDirectory() as place:
        for name, reader in chosen.items():
            outcome = fuzz(reader, pathlib.Path(place), options.seed,
                           60 * options.minutes / len(chosen), options.most)
            total, faulty = total + outcome.inputs, faulty + len(outcome.faults)
            for file, line in outcome.lines:
                seen.setdefault(file, set()).add(line)
            print(f"{name}: {outcome.inputs} files in {outcome.seconds:.0f} s ({outcome.cpu:.0f} of "
                  f"CPU), {outcome.read} read, "
                  f"the slowest {outcome.slowest:.2f} s, {outcome.kept} kept, "
                  f"{len(outcome.faults)} kinds of fault", flush=True)
            for number, (fault, content) in enumerate(outcome.faults.items()):
                print(f"  {fault}", flush=True)
                if options.faults:
                    options.faults.mkdir(parents=True, exist_ok=True)
                    stem = "".join(c if c.isalnum() else "-" for c in name)
                    (options.faults / f"{stem}-{number}").write_bytes(content)
            if outcome.stopped:
                print("stopped", flush=True)
                break
    for file, lines in sorted(seen.items()):
        known = executable_lines(file)
        if len(lines & known) > 10:
            print(f"  {os.path.relpath(file, _PACKAGE)}: {len(lines & known)} of {len(known)} lines")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} files, {faulty} kinds of fault, peak memory {peak:.0f} MB")
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
