"""The records of tests/data/formats/records.jsonl as other programs pack them: writes tests/data/formats/packed.

Usage: python tests/parity/make_packed_reference.py        (needs the programs zstd and pzstd)
"""
import bz2
import gzip
import lzma
import pathlib
import subprocess

FORMATS = pathlib.Path(__file__).resolve().parents[1] / "data" / "formats"
OUT = FORMATS / "packed"


def packed_by(command, data):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def main():
    text = (FORMATS / "records.jsonl").read_bytes()
    front, back = text[:70], text[70:]
    files = {
        "padded.jsonl.gz": gzip.compress(front, mtime=0) + bytes(5) + gzip.compress(back, mtime=0) + bytes(512),
        "streams.jsonl.bz2": bz2.compress(front) + bz2.compress(back),
        "streams.jsonl.xz": lzma.compress(front) + bytes(4) + lzma.compress(back, check=lzma.CHECK_SHA256) + bytes(8),
        # From a pipe the size is unknown, and the window is as long as it may be.
        "long.jsonl.zst": packed_by(["zstd", "--long=31", "--ultra", "-22", "-c"], text),
        "skippable.jsonl.zst": packed_by(["pzstd", "-c", "-p", "2"], front) + packed_by(["pzstd", "-c"], back),
    }
    OUT.mkdir(exist_ok=True)
    for name, data in files.items():
        (OUT / name).write_bytes(data)


if __name__ == "__main__":
    main()
