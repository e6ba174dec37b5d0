"""Folders that `datasets` saves, and Arrow files of pyarrow, with what they hold as JSON: writes tests/data/formats/arrow.

    PYTHONPATH=.deps/harness .deps/oracle/bin/python tests/parity/make_arrow_reference.py
"""
import json
import pathlib
import shutil

import datasets
import pyarrow as pa

datasets.arrow_dataset.generate_fingerprint = lambda dataset: "0"  # the same files each time
OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "formats" / "arrow"


def chat(i):
    return [{"role": "user", "content": f"Frage {i} \u2013 \u00fcber"}, {"role": "assistant", "content": f"out {i}"}]


def rows(count):
    return [{"instruction": f"Frage {i} \u2013 \u00fcber\n\u65e5\u672c", "input": None if i % 3 == 0 else f"in {i}", "output": f"out {i}",
             "answer": i, "tests": [f"assert {i}"] * (i % 3), "score": float(i)} for i in range(count)]


def expected(r):
    return {"instruction": r["instruction"], "input": r["input"] or "", "output": r["output"], "answer": str(r["answer"]), "tests": r["tests"]}


def save(name, dataset, records, **options):
    dataset.save_to_disk(OUT / name, **options)
    write_json(f"{name}.json", records)


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=0), encoding="utf-8")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    plain = rows(25)
    save("plain", datasets.Dataset.from_list(plain), [expected(r) for r in plain], num_shards=2)
    order = [7, 3, 11, 0]
    save("chosen", datasets.Dataset.from_list(plain).select(order), [expected(plain[i]) for i in order])
    chats = [{"messages": chat(i), "day": i} for i in range(6)]
    turns = [{"instruction": c["messages"][0]["content"], "input": "", "output": c["messages"][1]["content"]} for c in chats]
    features = datasets.Features({"messages": [{"role": datasets.Value("string"), "content": datasets.Value("large_string")}],
                                  "day": datasets.Value("int32")})
    save("chats", datasets.Dataset.from_list(chats, features=features), turns)
    mixed = [{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                           {"role": "assistant", "content": "c"}]}, {"messages": chat(1)}]
    save("mixed", datasets.Dataset.from_list(mixed, on_mixed_types="use_json"),
         [{"instruction": "ab", "input": "", "output": "c"}, turns[1]])
    datasets.DatasetDict({name: datasets.Dataset.from_list(plain[:2]) for name in ("train", "test")}).save_to_disk(OUT / "splits")
    table = pa.Table.from_pylist(plain)
    table = table.set_column(2, "output", table["output"].dictionary_encode())
    for name, writer, codec in (("file.arrow", pa.ipc.new_file, "zstd"), ("stream_lz4.arrow", pa.ipc.new_stream, "lz4")):
        with writer(str(OUT / name), table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as out:
            out.write_table(table, max_chunksize=10)
        write_json(name.replace(".arrow", ".json"), [expected(r) for r in plain])
    for path in OUT.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
