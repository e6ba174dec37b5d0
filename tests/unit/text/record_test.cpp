#include "text/record.h"

#include <gmock/gmock.h>
#include <zstd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "formats/json_value.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::Scratch;
using ::testing::ElementsAre;

const std::string kData = "tests/data/formats/";

class RecordTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const std::string& text, const std::string& name = "x.jsonl") {
    rocket::testing::save_text(scratch_ / name, text);
    return scratch_ / name;
  }
  std::vector<Record> read(const std::string& text, const FieldNames& fields = {}) {
    return read_records(save(text), fields);
  }
  void expect_bad(const std::string& text, std::int64_t line, std::initializer_list<std::string> parts,
                  const FieldNames& fields = {}) {
    SCOPED_TRACE(text.substr(0, 200));
    const auto path = save(text);
    const auto place = fmt::format("{}:{}: ", path.string(), line);
    expect_error([&] { read_records(path, fields); }, ExitCode::data, {place});
    expect_error([&] { read_records(path, fields); }, ExitCode::data, parts);
  }
  Scratch scratch_;
};

void expect_reference(const std::vector<Record>& records) {
  const json expected = json::parse(read_file(kData + "records_expected.json"));
  ASSERT_EQ(records.size(), expected.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& r = records[i];
    const json& e = expected[i];
    const auto text = [&](const char* key) {
      return e.contains(key) && e[key].is_string() ? e[key].get<std::string>() : "";
    };
    EXPECT_EQ(r.instruction, text("instruction"));
    EXPECT_EQ(r.input, text("input"));
    EXPECT_EQ(r.output, text("output"));
    EXPECT_EQ(r.rationale.value_or(""), text("rationale"));
    EXPECT_EQ(r.answer.value_or(""), text("answer"));
    EXPECT_EQ(r.tests, e.value("tests", std::vector<std::string>()));
  }
}

TEST_F(RecordTest, GivesTheWholeObjectAndWritesItAsItStands) {
  const std::string text =
      R"({"id":-1.50e+3,"q":"a\n\u001f\u2028","none":null,"more":{"list":[1,true,[]],"o":{}}})";
  RecordReader reader(save(text), {{"instruction", "q"}});
  ASSERT_TRUE(reader.advance());
  JsonValue whole;
  EXPECT_EQ(reader.read(whole).instruction, "a\n\x1f\u2028");
  EXPECT_EQ(to_json(whole), R"({"id":-1.50e+3,"q":"a\n\u001f)"
                            "\u2028"
                            R"(","none":null,"more":{"list":[1,true,[]],"o":{}}})");
}

TEST_F(RecordTest, SetsAFieldWhereTheReaderLooksForIt) {
  const auto set = [](const std::string& object, const std::string& theirs) {
    JsonValue value = parse_json_value(object, "x");
    set_field(value, {{"rationale", theirs}}, "rationale", "r");
    return to_json(value);
  };
  EXPECT_EQ(set(R"({"a":1})", "why"), R"({"a":1,"why":"r"})");
  EXPECT_EQ(set(R"({"why":null,"a":1})", "why"), R"({"why":"r","a":1})");
  EXPECT_EQ(set(R"({"a":{"b":""}})", "a.b"), R"({"a":{"b":"r"}})");
  EXPECT_EQ(set(R"({"a":{"c":1}})", "a.b"), R"({"a":{"c":1,"b":"r"}})");
  EXPECT_EQ(set(R"({"a":[{"b":"x"}]})", "a.0.b"), R"({"a":[{"b":"r"}]})");
  EXPECT_EQ(set(R"({"a":"x"})", "a.b"), R"({"a":"x","a.b":"r"})");
  EXPECT_EQ(set(R"({"a":[]})", "a.0"), R"({"a":[],"a.0":"r"})");
}

TEST_F(RecordTest, ReadsWhatPythonWroteInEveryForm) {
  for (const char* name : {"records.jsonl", "records_crlf.jsonl", "records_array.json", "records.jsonl.gz"}) {
    SCOPED_TRACE(name);
    expect_reference(read_records(kData + name, {}));
  }
}

// tests/parity/make_packed_reference.py
TEST_F(RecordTest, ReadsWhatOtherProgramsPacked) {
  for (const char* name : {"padded.jsonl.gz", "long.jsonl.zst", "skippable.jsonl.zst", "streams.jsonl.bz2",
                           "streams.jsonl.xz"}) {
    SCOPED_TRACE(name);
    const std::string packed = read_file(kData + "packed/" + name);
    expect_reference(read_records(kData + "packed/" + name, {}));
    expect_reference(read_records(save(packed, "named_otherwise"), {}));
    const std::string suffix = std::filesystem::path(name).extension();
    for (std::size_t n = 0; n < packed.size(); n += 7) {  // cut in the padding it may be whole
      const auto cut = save(packed.substr(0, n), "cut.jsonl" + suffix);
      try {
        expect_reference(read_records(cut, {}));
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      }
    }
    std::string damaged = packed;
    damaged[packed.size() / 3] ^= 0x10;
    EXPECT_THROW(read_records(save(damaged, "damaged" + suffix), {}), Error);
    EXPECT_THROW(read_records(save(packed + "xyz1", "more" + suffix), {}), Error);
    expect_error([&] { read_records(save("{}", "x" + suffix), {}); }, ExitCode::data, {"ends in " + suffix});
  }
}

TEST_F(RecordTest, AnArrayIsReadUnderThePackedNameOfLines) {
  const std::string array = R"([{"instruction":"a"}, {"instruction":"b"}])";
  std::string frame(ZSTD_compressBound(array.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), array.data(), array.size(), 3));
  EXPECT_EQ(read_records(save(frame, "x.jsonl.zst"), {}).size(), 2u);
}

TEST_F(RecordTest, ReadsZstdOfSeveralFrames) {
  const std::string text = read_file(kData + "records.jsonl");
  std::string packed;
  for (const std::string& piece : {text.substr(0, 70), text.substr(70)}) {
    std::string frame(ZSTD_compressBound(piece.size()), '\0');
    frame.resize(ZSTD_compress(frame.data(), frame.size(), piece.data(), piece.size(), 3));
    packed += frame;
  }
  expect_reference(read_records(save(packed, "x.jsonl.zst"), {}));
  expect_reference(read_records(save(packed, "named_otherwise"), {}));
  for (std::size_t n = 1; n < packed.size(); ++n) {
    const auto cut = save(packed.substr(0, n), "cut.zst");
    std::size_t read = 0;
    try {
      read = read_records(cut, {}).size();
      EXPECT_EQ(read, 0u) << n;  // only the cut between the frames is a whole file, and ends inside record 1
      ADD_FAILURE() << "no Error at " << n;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
}

TEST_F(RecordTest, RefusesDamagedAndMislabelledFiles) {
  const std::string gzip = read_file(kData + "records.jsonl.gz");
  for (std::size_t n = 0; n < gzip.size(); ++n)
    EXPECT_THROW(read_records(save(gzip.substr(0, n), "cut.gz"), {}), Error) << n;
  std::string damaged = gzip;
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  expect_error([&] { read_records(save(damaged, "d.gz"), {}); }, ExitCode::data, {"d.gz", "damaged gzip"});
  expect_error([&] { read_records(save(gzip + "xyz", "t.gz"), {}); }, ExitCode::data,
               {"t.gz", "damaged gzip"});
  expect_error([&] { read_records(save("{}", "x.gz"), {}); }, ExitCode::data, {"ends in .gz"});
  expect_error([&] { read_records(save("{}", "x.zst"), {}); }, ExitCode::data, {"ends in .zst"});
  expect_error([&] { read_records(save("PAR1\x15", "x.json"), {}); }, ExitCode::data, {"x.json", "Parquet"});
  expect_error([&] { read_records(save("x", "x.parquet"), {}); }, ExitCode::data, {"x.parquet", "Parquet"});
  expect_error([&] { read_records(scratch_ / "none", {}); }, ExitCode::data, {"none", "does not exist"});
  expect_error([&] { read_records(scratch_.folder(), {}); }, ExitCode::data, {"is a folder"});
}

TEST_F(RecordTest, CountsLinesFromOneAndSkipsBlankOnes) {
  const auto records = read("\n{\"instruction\":\"a\"}\r\n \t\r\n\n{\"instruction\":\"b\"}");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].line, 2);
  EXPECT_EQ(records[1].line, 5);
  EXPECT_EQ(records[1].file, (scratch_ / "x.jsonl").string());
  EXPECT_TRUE(read("").empty());
  EXPECT_TRUE(read("\n\n").empty());
}

TEST_F(RecordTest, LinesAcrossChunksAreWhole) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += json({{"instruction", std::string(static_cast<std::size_t>(i) * 7001, 'x')},
                  {"output", std::to_string(i)}})
                .dump() +
            "\r\n";
  const auto records = read(text);
  ASSERT_EQ(records.size(), 40u);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].instruction.size(), i * 7001);
    EXPECT_EQ(records[i].output, std::to_string(i));
    EXPECT_EQ(records[i].line, static_cast<std::int64_t>(i) + 1);
  }
}

TEST_F(RecordTest, ArraysKnowTheLineOfEachElement) {
  const auto file =
      save("\n [\n{\"instruction\":\"a]\\\"}\"\n,\"x\":[1,{\"y\":\"}\"}]} ,\n\n{\"instruction\":\"b\"}]\n",
           "x.json");
  const auto records = read_records(file, {});
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].instruction, "a]\"}");
  EXPECT_EQ(records[0].line, 3);
  EXPECT_EQ(records[1].line, 6);
  EXPECT_TRUE(read_records(save("[ ]", "x.json"), {}).empty());
  EXPECT_EQ(read_records(save("{\"instruction\":\"a\"}\n{\"instruction\":\"b\"}", "x.json"), {}).size(), 2u);
}

TEST_F(RecordTest, RefusesBrokenArrays) {
  const auto expect = [&](const std::string& text, const std::string& part) {
    SCOPED_TRACE(text);
    expect_error([&] { read_records(save(text, "x.json"), {}); }, ExitCode::data, {"x.json:", part});
  };
  const std::string one = R"({"instruction":"a"})";
  expect("[", "");
  expect("[" + one, "cut short");
  expect("[" + one + ",", "");
  expect("[" + one + ",]", "no valid JSON");
  expect("[," + one + "]", "no valid JSON");
  expect("[" + one + "\n" + one + "]", "no valid JSON");
  expect("[" + one + "] x", "behind the end");
  expect("[1]", "expected an object, got a number");
  expect("[\"a", "cut short");
  expect("[" + one + "\n,{]", "x.json:2");
}

TEST_F(RecordTest, RefusesWhatIsNoRecord) {
  const std::string good = "{\"instruction\":\"a\"}\n";
  expect_bad(good + "{", 2, {"no valid JSON"});
  expect_bad(good + "\n{\"instruction\":\"a\"} x", 3, {"no valid JSON"});
  expect_bad("[1]", 1, {"expected an object, got a list"});
  expect_bad("7", 1, {"expected an object, got a number"});
  expect_bad(R"({"instruction":"a","x":nan})", 1, {"no valid JSON"});
  expect_bad(R"({"instruction":"a","instruction":"b"})", 1, {"'instruction' stands twice"});
  expect_bad("{\"instruction\":\"\xff\"}", 1, {"no valid JSON"});
  expect_bad("{\"instruction\":\"\xc0\xaf\"}", 1, {"no valid JSON"});
  expect_bad("{\"instruction\":\"\xed\xa0\x80\"}", 1, {"no valid JSON"});
  expect_bad(R"({"instruction":"\ud800"})", 1, {"no valid JSON"});
  expect_bad("{\"instruction\":\"a\tb\"}", 1, {"no valid JSON"});
  expect_bad(good + "\xef\xbb\xbf" + good, 2, {"no valid JSON"});
  expect_bad("{\"instruction\":\"a\"}\f", 1, {"no valid JSON"});
  expect_bad(R"({"instruction":)" + std::string(1000, '[') + std::string(1000, ']') + "}", 1, {"levels"});
}

TEST_F(RecordTest, RefusesARecordCutAtEveryByte) {
  const std::string whole = R"({"instruction":"a","input":"b","output":"c","answer":1.5,"tests":["x"]})";
  EXPECT_EQ(read(whole).size(), 1u);
  for (std::size_t n = 1; n < whole.size(); ++n) expect_bad(whole.substr(0, n), 1, {"no valid JSON"});
}

TEST_F(RecordTest, RefusesEveryBrokenField) {
  expect_bad(R"({"question":"a","x":1})", 1, {"no key 'instruction'", "'question', 'x'"});
  expect_bad("{}", 1, {"no key 'instruction'", "there are: none"});
  expect_bad(R"({"instruction":null})", 1, {"no key 'instruction'"});
  for (const char* key : {"instruction", "input", "output", "rationale"})
    for (const char* value : {"true", "[]", "{}"}) {
      json record = {{"instruction", "a"}};
      record[key] = json::parse(value);
      expect_bad(record.dump(), 1, {std::string("key '") + key + "': expected a string, got"});
    }
  for (const char* value : {"[]", "{}"})
    expect_bad(R"({"instruction":"a","answer":)" + std::string(value) + "}", 1,
               {"'answer'", "a number or a boolean"});
  for (const char* value : {"\"x\"", "1", "{}", "[1]", "[null]"})
    expect_bad(R"({"instruction":"a","tests":)" + std::string(value) + "}", 1,
               {"'tests'", "a list of strings"});
}

// The right values are those of Python's json.JSONDecoder().raw_decode, applied again and again.
TEST_F(RecordTest, ObjectsMayStandOnManyLinesOrManyOnOne) {
  const std::string pretty =
      "{\n  \"instruction\": \"a }{\",\n\n  \"more\": [\n    {},\n    {\n    }\n  ],\n  \"output\":\n  "
      "\"b\"\n}";
  const std::string comma_first = "{ \"instruction\": \"c\"\n, \"output\": \"\\\"{\"\n}";
  const std::string plain = R"({"instruction":"d","output":"e"})";
  const auto records = read("\n" + pretty + "\r\n" + plain + "\n" + comma_first + plain + pretty + " " +
                            plain + "\n" + plain + plain + "\n" + plain);
  std::vector<std::string> instructions;
  std::vector<std::int64_t> lines;
  for (const Record& record : records) {
    instructions.push_back(record.instruction);
    lines.push_back(record.line);
  }
  EXPECT_THAT(instructions, ElementsAre("a }{", "d", "c", "d", "a }{", "d", "d", "d", "d"));
  EXPECT_THAT(lines, ElementsAre(2, 13, 14, 16, 16, 26, 27, 27, 28));
  EXPECT_EQ(records[0].output, "b");
  EXPECT_EQ(records[2].output, "\"{");
}

TEST_F(RecordTest, ABrokenObjectEndsWhereTheNextOneBegins) {
  const std::string good = "{\n\"instruction\": \"a\"\n}\n";
  for (const char* broken :
       {"{\n", "{\n\"x\": 1,\n", "{\n\"x\": {\n\"y\": 2\n}\n", "{\n\"x\": [\n1,\n2\n", "{\n\"x\n"}) {
    SCOPED_TRACE(broken);
    const auto file = save(good + broken + good);
    RecordReader reader(file, {});
    ASSERT_TRUE(reader.advance());
    EXPECT_EQ(reader.read().instruction, "a");
    ASSERT_TRUE(reader.advance());
    EXPECT_EQ(reader.line(), 4);
    expect_error([&] { reader.read(); }, ExitCode::data, {"x.jsonl:4: no valid JSON", "ends inside"});
    ASSERT_TRUE(reader.advance());
    EXPECT_EQ(reader.line(), 4 + std::ranges::count(std::string_view(broken), '\n'));
    EXPECT_EQ(reader.read().instruction, "a");
    EXPECT_FALSE(reader.advance());
  }
  expect_bad(good + "{\n\"instruction\": \"a\"\n},\n" + good, 4, {"more text behind the value"});
}

TEST_F(RecordTest, WhatIsNoNumberMayStandWhereNobodyReadsIt) {
  const auto records = read(
      R"({"instruction":"NaN","n":[1,-2.5e+3,NaN,{"Infinity":-Infinity}],"output":"\"Infinity","answer":7,"m":Infinity})");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].instruction, "NaN");
  EXPECT_EQ(records[0].output, "\"Infinity");
  EXPECT_EQ(records[0].answer, "7");
  const std::string object = R"({"a":[0,NaN,-1.5,-Infinity],"b":"NaN","c":Infinity})";
  EXPECT_EQ(to_json(parse_json_value(object, "x")), object);
  for (const char* key : {"instruction", "input", "output", "rationale", "answer", "system"})
    for (const char* value : {"NaN", "Infinity", "-Infinity"}) {
      const std::string front = std::string(key) == "instruction" ? "" : R"("instruction":"a",)";
      expect_bad(fmt::format(R"({{{}"{}":{}}})", front, key, value), 1,
                 {fmt::format("key '{}': {} is no value of JSON", key, value), "write null"});
    }
  expect_bad(R"({"messages":[{"role":"user","content":NaN}]})", 1, {"message 1: 'content': NaN is no value"});
  expect_bad(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":NaN}]})", 1,
      {"'weight': expected true, false, 1 or 0"});
  expect_bad(R"({"instruction":"a","x":-NaN})", 1, {"-NaN is no value of JSON"});
  expect_bad(R"({"instruction":"a","x":NaN,"y":None})", 1, {"None is Python"});
}

TEST_F(RecordTest, NumbersAreReadAsTheTextThatIsWritten) {
  const auto records = read(
      R"({"instruction":1.50,"input":-2,"output":42,"rationale":1e3,"system":7})"
      "\n"
      R"({"conversations":[{"from":"human","value":3},{"from":"gpt","value":4.0}],"history":[[5,"six"]]})");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].instruction, "7\n\n1.50");
  EXPECT_EQ(records[0].input, "-2");
  EXPECT_EQ(records[0].output, "42");
  EXPECT_EQ(records[0].rationale, "1e3");
  EXPECT_EQ(records[1].instruction, "User: 5\n\nAssistant: six\n\nUser: 3");
  EXPECT_EQ(records[1].output, "4.0");
}

TEST_F(RecordTest, AChatStandsBesideAnEmptyOne) {
  const std::string chat = R"([{"role":"user","content":"q"},{"role":"assistant","content":"a"}])";
  for (const std::string empty : {"null", "[]"})
    for (const auto& [full, other] : std::vector<std::pair<std::string, std::string>>{
             {"messages", "conversations"}, {"conversations", "messages"}}) {
      const auto records = read(fmt::format(R"({{"{}":{},"{}":{}}})", other, empty, full, chat));
      ASSERT_EQ(records.size(), 1u);
      EXPECT_EQ(records[0].instruction, "q");
      EXPECT_EQ(records[0].output, "a");
    }
  expect_bad(fmt::format(R"({{"messages":{},"conversations":{}}})", chat, chat), 1, {"both 'messages'"});
}

TEST_F(RecordTest, AbsentNullAndEmpty) {
  const auto records = read(
      "{\"instruction\":\"\"}\n"
      R"({"instruction":"a","input":null,"output":null,"rationale":null,"answer":null,"tests":null})"
      "\n"
      R"({"instruction":"a","input":"","output":"","rationale":"","answer":"","tests":[]})");
  ASSERT_EQ(records.size(), 3u);
  for (const Record& r : records) {
    EXPECT_EQ(r.input, "");
    EXPECT_FALSE(r.rationale);
    EXPECT_TRUE(r.tests.empty());
  }
  EXPECT_FALSE(records[0].has_output);
  EXPECT_FALSE(records[1].has_output);
  EXPECT_TRUE(records[2].has_output);
  EXPECT_FALSE(records[1].answer);
  EXPECT_EQ(records[2].answer, "");
}

TEST_F(RecordTest, TargetIsTheRationaleIfThereIsOne) {
  const auto records = read(
      "{\"instruction\":\"a\",\"output\":\"o\",\"rationale\":\"r\"}\n"
      "{\"instruction\":\"a\",\"output\":\"o\",\"rationale\":\"\"}");
  EXPECT_EQ(records[0].target(), "r");
  EXPECT_EQ(records[1].target(), "o");
}

TEST_F(RecordTest, AnswersKeepTheirSpelling) {
  for (const char* answer :
       {"18", "1.50", "-3", "1e5", "0.1", "123456789012345678901234567890", "true", "false"}) {
    const auto records = read(R"({"instruction":"a","answer":)" + std::string(answer) + "}");
    EXPECT_EQ(records[0].answer, answer);
  }
}

TEST_F(RecordTest, FieldsTakeOtherNamesAndPaths) {
  const FieldNames fields = {{"instruction", "q.text"}, {"output", "choices.1"}, {"answer", "a.b"}};
  const auto records =
      read(R"({"q":{"text":"Q"},"choices":["x","y"],"a.b":"dotted","a":{"b":"nested"},"input":"i"})", fields);
  EXPECT_EQ(records[0].instruction, "Q");
  EXPECT_EQ(records[0].output, "y");
  EXPECT_EQ(records[0].answer, "dotted");
  EXPECT_EQ(records[0].input, "i");
  expect_bad(R"({"q":"x"})", 1, {"instruction: no key 'q.text'", "'q'"}, fields);
  expect_bad(R"({"q":{"text":"Q"},"choices":["x",true]})", 1, {"output: key 'choices.1': expected a string"},
             fields);
  EXPECT_FALSE(read(R"({"q":{"text":"Q"},"choices":["x"]})", fields)[0].has_output);
}

// LLaMA-Factory's alpaca form: pairs in front of the instruction, a system text in front of all.
TEST_F(RecordTest, SystemAndHistoryStandInFrontOfTheInstruction) {
  const auto one = [&](const std::string& text, const FieldNames& fields = {}) {
    return read(text, fields).at(0);
  };
  const Record record = one(
      R"({"instruction":"And lead?","input":"","output":"No.","history":[["Which floats?","Lithium."]],"system":"Be brief."})");
  EXPECT_EQ(record.instruction, "Be brief.\n\nUser: Which floats?\n\nAssistant: Lithium.\n\nUser: And lead?");
  EXPECT_EQ(record.system_bytes, 11u);
  EXPECT_EQ(record.instruction.substr(record.context_bytes), "And lead?");
  EXPECT_EQ(one(R"({"system_prompt":"s","question":"q","response":"a"})", {{"instruction", "question"}})
                .instruction,
            "s\n\nq");
  EXPECT_EQ(one(R"({"instruction":"q","sys":"s"})", {{"system", "sys"}}).instruction, "s\n\nq");
  EXPECT_EQ(one(R"({"instruction":"q","system":"s","system_prompt":"s"})").instruction, "s\n\nq");
  for (const char* none : {R"("history":[],"system":"")", R"("history":null,"system":null)"})
    EXPECT_EQ(one(R"({"instruction":"q",)" + std::string(none) + "}").instruction, "q");
  EXPECT_EQ(
      one(R"({"instruction":"q","history":5,"system":[]})", {{"system", ""}, {"history", ""}}).instruction,
      "q");
  const std::string turns = R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])";
  EXPECT_EQ(one(R"({"instruction":"q","history":)" + turns + "}").instruction,
            "User: a\n\nAssistant: b\n\nUser: q");
  EXPECT_EQ(one(R"({"history":[["a","b"]],"messages":[{"role":"user","content":"q"}]})").instruction,
            "User: a\n\nAssistant: b\n\nUser: q");
  expect_bad(R"({"instruction":"q","system":"s","system_prompt":"t"})", 1,
             {"'system_prompt'", "another system text"});
  expect_bad(R"({"instruction":"q","system":["s"]})", 1, {"key 'system': expected a string, got a list"});
  expect_bad(R"({"instruction":"q","history":"a"})", 1, {"history: key 'history'", "got a string"});
  expect_bad(R"({"instruction":"q","history":[["a"]]})", 1, {"item 1: expected a pair"});
  expect_bad(R"({"instruction":"q","history":[["a",null]]})", 1, {"item 1: expected a pair"});
  expect_bad(R"({"instruction":"q","history":[{"role":"user","content":"a"}]})", 1, {"no answer"});
  expect_bad(R"({"instruction":"q","history":[{"role":"assistant","content":"a"}]})", 1, {"in turn"});
}

TEST_F(RecordTest, ARecordToTrainOnHasAnOutputThatIsNotBlank) {
  for (const char* output : {"", " ", "\\n\\t", "\u00a0"})
    for (const Record& record : read(R"({"instruction":"q","output":")" + std::string(output) + "\"}"))
      expect_error([&] { require_output(record); }, ExitCode::data,
                   {"x.jsonl:1: the output is", "nothing to learn"});
}

TEST_F(RecordTest, AFileOfAnotherKindIsNamedHoweverItIsPacked) {
  const std::string page = "<!doctype html><html>", packed_page = [&] {
    std::string frame(ZSTD_compressBound(page.size()), '\0');
    frame.resize(ZSTD_compress(frame.data(), frame.size(), page.data(), page.size(), 3));
    return frame;
  }();
  expect_error([&] { read_records(save(page), {}); }, ExitCode::data,
               {"x.jsonl: expected JSON or JSONL, found an HTML page"});
  expect_error([&] { read_records(save(packed_page, "x.jsonl.zst"), {}); }, ExitCode::data,
               {"found an HTML page"});
  expect_error([&] { read_records(save(page, "x.parquet"), {}); }, ExitCode::data,
               {"expected Parquet, found an HTML page"});
  expect_error([&] { read_records(save(page, "x.jsonl.gz"), {}); }, ExitCode::data,
               {"ends in .gz, found an HTML page"});
  expect_error([&] { read_records(save("", "x.jsonl.gz"), {}); }, ExitCode::data,
               {"ends in .gz, found an empty file"});
}

TEST_F(RecordTest, AnArrayOfObjectsIsReadUnderAnyName) {
  const std::string array = "[{\"instruction\":\"a\"},\n {\"instruction\":\"b\"}]\n";
  EXPECT_EQ(read(array).size(), 2u);
  EXPECT_EQ(read("[\n" + array.substr(1)).size(), 2u);
  expect_bad(array + "{\"instruction\":\"c\"}", 3, {"behind the end of the array"});
  expect_bad("[1]\n[2]", 1, {"expected an object, got a list"});
}

TEST_F(RecordTest, StopsAtAnExceptionOfTheUser) {
  const auto path = save("{\"instruction\":\"a\"}\n{\"instruction\":\"b\"}\nbroken");
  int seen = 0;
  EXPECT_THROW(for_each_record(path, {}, [&](Record&&) { throw ++seen; }), int);
  EXPECT_EQ(seen, 1);
}

class GlobTest : public RecordTest {
 protected:
  std::vector<std::string> names(const std::vector<std::string>& patterns) {
    std::vector<std::string> full, found;
    for (const std::string& pattern : patterns) full.push_back((scratch_ / pattern).string());
    for (const auto& path : expand_globs(full)) found.push_back(path.filename().string());
    return found;
  }
};

TEST_F(GlobTest, KeepsTheOrderOfPatternsAndSortsWithinOne) {
  for (const char* name : {"b1", "B2", "a10", "a9", "a[x]"}) save("", name);
  make_folders(scratch_ / "a-folder");
  using Names = std::vector<std::string>;
  EXPECT_EQ(names({"b1", "a*"}), (Names{"b1", "a10", "a9", "a[x]"}));
  EXPECT_EQ(names({"[bB]?"}), (Names{"B2", "b1"}));
  EXPECT_EQ(names({"a[x]"}), Names{"a[x]"});
  EXPECT_TRUE(names({}).empty());
}

TEST_F(GlobTest, NamesThePatternThatMatchesNothing) {
  save("", "a");
  make_folders(scratch_ / "only/folders");
  const std::pair<const char*, const char*> cases[] = {{"b", "does not exist"},
                                                       {"b*", "matches no file"},
                                                       {"only/*", "matches folders only"},
                                                       {"only", "is a folder"}};
  for (const auto& [pattern, what] : cases)
    expect_error([&] { names({"a", pattern}); }, ExitCode::config, {(scratch_ / pattern).string(), what});
}

}  // namespace
}  // namespace rocket
