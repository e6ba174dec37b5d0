#include "formats/file_kind.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "formats/json_problem.h"
#include "formats/json_reader.h"
#include "formats/json_value.h"
#include "formats/tensors.h"
#include "formats/torch_file.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;
using ::testing::HasSubstr;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

std::string tar_archive() {
  std::string block(512, '\0');
  block.replace(0, 7, "a.jsonl");
  return block.replace(257, 8,
                       std::string("ustar\0"
                                   "00",
                                   8));
}

struct Sample {
  std::string front, kind;
};

// The first bytes that Python's bz2, lzma, zipfile, pickle, codecs, torch.save, numpy.savez and pyarrow
// wrote.
const Sample kSamples[] = {
    {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"},
    {"<!doctype html><html>", "HTML page"},
    {"../../blobs/0a1b2c", "a link where links were not kept"},
    {"\n  <HTML lang=en>", "HTML page"},
    {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML document"},
    {bytes_of("fffe20007b00220061002200"), "UTF-16"},
    {bytes_of("7b002200610022003a0031007d00"), "UTF-16"},
    {bytes_of("007b002200610022003a0031007d"), "UTF-16"},
    {bytes_of("fffe00007b0000002200000061000000"), "UTF-32"},
    {bytes_of("425a6839314159265359bac64ddb0000"), "bzip2"},
    {bytes_of("fd377a585a000004e6d6b4460200"), "packed with xz"},
    {bytes_of("5d00008000ffffffffffffffff003d9f"), "lzma"},
    {bytes_of("504b030414000000000005347e5d43bfa6a3020000000200000007000000612e6a736f6e6c7b7d"),
     "a ZIP archive: unpack"},
    {bytes_of("504b0506000000000000000000000000000000000000"), "empty ZIP"},
    {bytes_of("377abcaf271c00040000000000000000"), "7z"},
    {tar_archive(), "tar archive"},
    {bytes_of("80027d710058010000006171014b01732e"), "pickle"},
    {bytes_of("80035d71007d710158010000006171024b0173612e"), "pickle"},
    {bytes_of("8004950a000000000000007d948c0161944b01732e"), "pickle"},
    {bytes_of("8005950d000000000000005d947d948c0161944b0173612e"), "pickle"},
    {std::string("SQLite format 3\0\x10\0\1\1", 20), "SQLite"},
    {bytes_of("ffffffff70000000100000000000"
              "0a000c000600050008000a00"),
     "an Arrow file"},
    {bytes_of("4152524f57310000ffffffff70000000"), "an Arrow file"},
    {"PAR1\x15\x04", "a Parquet file"},
    {bytes_of("1f8b0800"), "packed with gzip"},
    {bytes_of("532a4d180400000000000000"), "packed with zstd"},
    {std::string(64, '\0'), "zero bytes only"},
    {std::string("\x40\0\0\0\0\0\0\0{\"__metadata__\"", 23), "a safetensors file"},
};

TEST(FileKind, NamesWhatOtherProgramsWrite) {
  for (const Sample& sample : kSamples) EXPECT_THAT(file_kind(sample.front), HasSubstr(sample.kind));
}

TEST(FileKind, LeavesTextsAlone) {
  for (const char* text :
       {"", "{", "[", "{\"a\": \"DUCK\"}", " \n{\"a\":\"<html>\"}", "\xef\xbb\xbf{\"a\":1}", "a,b\n",
        "#version: 0.2\n", "caf\xc3\xa9", "[PAD]\n[UNK]\n", "{\"\xd0\xb0\":1}"})
    EXPECT_EQ(file_kind(text), "") << text;
  EXPECT_EQ(file_kind("{\"a\":\"" + std::string(251, 'x') + "ustar\"}"), "");
}

TEST(FileKind, EveryReaderOfAModelNamesIt) {
  Scratch scratch;
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.kind);
    save_text(scratch / "x", sample.front);
    expect_error([&] { JsonObject::read(scratch / "x"); }, ExitCode::data,
                 {"x: expected JSON, found", sample.kind});
    if (sample.kind != "a safetensors file")
      expect_error([&] { SafeTensors(scratch / "x"); }, ExitCode::data,
                   {"x: expected safetensors, found", sample.kind});
    if (!sample.front.starts_with("PK"))
      expect_error([&] { TorchFile(scratch / "x"); }, ExitCode::data,
                   {"x: expected a file of torch.save, found", sample.kind});
  }
  save_text(scratch / "x", "");
  expect_error([&] { JsonObject::read(scratch / "x"); }, ExitCode::data, {"x: ", "empty"});
  expect_error([&] { SafeTensors(scratch / "x"); }, ExitCode::data, {"x: ", "empty"});
  expect_error([&] { TorchFile(scratch / "x"); }, ExitCode::data, {"x: ", "empty"});
}

struct Broken {
  const char *text, *reason;
};

const Broken kBroken[] = {
    {R"({"a":nan})", "nan is no value of JSON"},
    {R"({"a":-inf})", "-inf is no value"},
    {R"({"a":[1,-NaN]})", "-NaN is no value"},
    {R"({"a":None})", "None is Python"},
    {R"({"a":True})", "True is Python"},
    {R"({'a': 'b'})", "single quotes"},
    {R"({"a":"\ud83d a"})", "lone surrogate"},
    {R"({"a":"\ude00"})", "lone surrogate"},
    {"{\"a\":\"caf\xe9\"}", "no UTF-8 (0xe9 at byte"},
    {"caf\xe9", "no UTF-8 (0xe9 at byte"},
    {"\xef\xbb\xbf{\"a\":1}", "byte order mark"},
    {"{\"a\":1,\xef\xbb\xbf\"b\":1}", "byte order mark"},
    {"{", "the text ends inside the value"},
    {"{\"a\":1,", "the text ends inside the value"},
    {"{\"a\":\"b", "ends inside a string"},
    {"{\"a\":\"b\tc\"}", "a bare control character (0x09)"},
    {"{\"a\":1,}", "a comma before the closing"},
    {"{\"a\":1 // x\n}", "a comment"},
    {"{\"a\":1} x", "more text behind"},
    {"{\"a\":1}\r{\"a\":2}\r", "CR alone"},
    {"instruction,output", "looks like CSV"},
    {"\"instruction\",\"output\"", "looks like CSV"},
    {"Say a.\ta", "looks like TSV"},
    {"Entry not found", "it begins with `Entry not found`"},
    {"<<<<<<< HEAD", "merge conflict"},
    {"   ", "it is empty"},
};

TEST(JsonProblem, SaysWhy) {
  for (const Broken& broken : kBroken) {
    SCOPED_TRACE(broken.text);
    expect_error([&] { parse_json_value(broken.text, "x"); }, ExitCode::data,
                 {"x: no valid JSON at byte", broken.reason});
    if (!std::string_view(broken.text).starts_with("\xef\xbb\xbf"))  // of a whole file it is left out
      expect_error([&] { parse_json(broken.text, "x"); }, ExitCode::data, {"x: ", broken.reason});
  }
}

TEST(JsonReader, WhatIsNoNumberIsNoneWhereOneIsRead) {
  const auto parsed = parse_ordered_json(R"({"a":NaN,"b":[1,-Infinity],"c":"NaN"})", "x");
  EXPECT_EQ(parsed.dump(), R"({"a":"NaN","b":[1,"-Infinity"],"c":"NaN"})");
  const JsonObject object(parsed, "x");
  expect_error([&] { object.number("a", 0); }, ExitCode::data, {"key 'a': expected a number", "NaN"});
  expect_error([&] { object.integers("b", 0, 9); }, ExitCode::data, {"key 'b': expected a whole number"});
}

TEST(JsonProblem, CountsLinesOfAWholeFile) {
  expect_error([] { parse_json("{\n\"a\":\nNone}", "x"); }, ExitCode::data, {"(line 3): None is Python"});
}

}  // namespace
}  // namespace rocket
