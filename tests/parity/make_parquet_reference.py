"""References for the Parquet reader: files of tests/data/formats/parquet, with what they hold as JSON.

Needs nothing but pyarrow, which `tools/build --parquet` brings:

    PYTHONPATH=.deps/python python3 tests/parity/make_parquet_reference.py
"""
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "formats" / "parquet"
TURN = pa.struct([("role", pa.string()), ("content", pa.string())])


def record(i):
    return {"instruction": f"Frage {i} \u2013 \u00fcber\n\u65e5\u672c", "input": None if i % 3 == 0 else f"in {i}", "output": f"out {i}" * (i % 5),
            "rationale": None if i % 2 else f"because {i}", "answer": f"{i}"}


def write(name, table, expected, **options):
    pq.write_table(table, OUT / f"{name}.parquet", **options)
    (OUT / f"{name}.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0), encoding="utf-8")


def expected(r):
    return {"instruction": r["instruction"], "input": r["input"] or "", "output": r["output"], "rationale": r["rationale"] or "",
            "answer": r["answer"]}


def plain():
    rows = [record(i) for i in range(50)]
    columns = {key: [r[key] for r in rows] for key in rows[0]}
    columns["unread"] = [[float(i)] * 8 for i in range(50)]
    table = pa.table(columns)
    all_of = [expected(r) for r in rows]
    for codec in ("none", "snappy", "zstd", "gzip", "brotli", "lz4"):
        write(f"plain_{codec}", table, all_of, compression=codec, row_group_size=17)
    large = table.set_column(0, "instruction", table["instruction"].cast(pa.large_string()))
    coded = large.set_column(2, "output", table["output"].dictionary_encode()).set_column(1, "input", table["input"].cast(pa.binary()))
    write("other_types", coded.append_column("tests", pa.array([[f"assert {i}"] for i in range(50)], pa.large_list(pa.string()))),
          [{**e, "tests": [f"assert {i}"]} for i, e in enumerate(all_of)], data_page_version="2.0", use_dictionary=False,
          column_encoding={"instruction": "DELTA_BYTE_ARRAY", "answer": "DELTA_LENGTH_BYTE_ARRAY"})
    write("empty", table.slice(0, 0), [])


def answers():
    instruction = ["a", "b", "c"]
    columns = {"ints": pa.array([1, -2, 3], pa.int16()), "unsigned": pa.array([1, 2, 2**64 - 1], pa.uint64()),
               "doubles": pa.array([1.5, -0.25, 1e30]), "bools": pa.array([True, False, True]),
               "decimals": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.00"), decimal.Decimal("0.25")]),
               "missing": pa.array([1.0, float("nan"), None])}
    pq.write_table(pa.table({"instruction": instruction, "output": instruction, **columns, "day": pa.array([1, 2, 3], pa.date32())}),
                   OUT / "answers.parquet")


def chats():
    rows, all_of = [], []
    for i in range(40):
        turns = [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}]
        if i % 4 == 0:
            turns.insert(0, {"role": "system", "content": "s"})
        if i % 3 == 0:
            turns += [{"role": "user", "content": "more"}, {"role": "assistant", "content": None}]
        rows.append(turns)
        all_of.append({"instruction": ("s\n\n" if i % 4 == 0 else "") + f"q{i}", "input": "", "output": f"a{i}", "rationale": "",
                       "answer": ""})
    table = pa.table({"id": list(range(40)), "messages": pa.array(rows, pa.list_(TURN))})
    write("chats", table, all_of, row_group_size=7)
    share = [[{"from": {"user": "human", "assistant": "gpt"}.get(t["role"], t["role"]), "value": t["content"]} for t in turns] for turns in rows]
    write("share_gpt", pa.table({"conversations": pa.array(share), "score": [0.5] * 40}), all_of)
    nested = pa.table({"data": pa.array([{"turns": turns, "n": 1} for turns in rows])})
    write("nested", nested, all_of)
    # As `datasets` writes lists of mixed content: each turn is a text of the extension type arrow.json.
    parts = [[{**turn, "content": [{"type": "text", "text": turn["content"]}]} if j == 0 else turn for j, turn in enumerate(turns)]
             for turns in rows[:5]]
    texts = pa.array([[json.dumps(turn) for turn in turns] for turns in parts])
    marked = pa.ListArray.from_arrays(texts.offsets, pa.ExtensionArray.from_storage(pa.json_(), texts.values))
    write("json_text", pa.table({"messages": marked}), all_of[:5])


def broken():
    good = {"instruction": ["a", None, "c", "d", "e"], "output": ["1", "2", None, "4", "5"]}
    raw = pa.array([b"a", b"b", b"c", b"\xff\xfe", b"e"], pa.binary())
    pq.write_table(pa.table({**good, "input": raw}), OUT / "broken.parquet")
    pq.write_table(pa.table({"text": ["a"], "score": [1]}), OUT / "no_columns.parquet")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for make in (plain, answers, chats, broken):
        make()
