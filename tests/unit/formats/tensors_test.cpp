#include "formats/tensors.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;

constexpr const char* kTypes = "tests/data/formats/types.safetensors";

std::string file_of(const std::string& header, const std::string& data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<int>(b));
  return text;
}

class TensorsTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const std::string& bytes, const std::string& name = "x.safetensors") {
    save_text(scratch_ / name, bytes);
    return scratch_ / name;
  }
  void expect_bad(const std::string& bytes, std::initializer_list<std::string> parts) {
    const auto path = save(bytes);
    SCOPED_TRACE(bytes.substr(0, 200));
    expect_error([&] { SafeTensors file(path); }, ExitCode::data, {path.string()});
    expect_error([&] { SafeTensors file(path); }, ExitCode::data, parts);
  }
  /// A file with one tensor whose entry is `entry`, and four bytes of data.
  void expect_bad_entry(const std::string& entry, std::initializer_list<std::string> parts) {
    expect_bad(file_of(R"({"w":)" + entry + "}", "abcd"), {"tensor 'w'"});
    expect_bad(file_of(R"({"w":)" + entry + "}", "abcd"), parts);
  }
  Scratch scratch_;
};

TEST_F(TensorsTest, ReadsEveryTypeAsTheLibraryWroteIt) {
  const SafeTensors file(kTypes);
  const json expected = json::parse(read_file("tests/data/formats/types.json"));
  ASSERT_EQ(file.tensors().size(), expected.size());
  for (const auto& [name, tensor] : expected.items()) {
    const StoredTensor* found = file.find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->name, name);
    EXPECT_EQ(found->shape, tensor["shape"].get<std::vector<std::int64_t>>()) << name;
    EXPECT_EQ(hex(found->bytes), tensor["bytes"].get<std::string>()) << name;
  }
  EXPECT_EQ(file.find("bf16")->dtype, DType::bf16);
  EXPECT_EQ(file.find("boolean")->dtype, DType::boolean);
  EXPECT_EQ(file.metadata().at("who"), "\u00e9");
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(TensorsTest, WritesTheBytesThatTheLibraryAccepts) {
  const SafeTensors file(kTypes);
  std::vector<StoredTensor> tensors = file.tensors();
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  write_safetensors(scratch_ / "out.safetensors", tensors, {{"made by", "rocket"}});
  EXPECT_EQ(read_file(scratch_ / "out.safetensors"), read_file("tests/data/formats/written.safetensors"));
  EXPECT_EQ(scratch_.files(), 1);
}

TEST_F(TensorsTest, RefusesToWriteWhatNobodyCouldRead) {
  const SafeTensors file(kTypes);
  const StoredTensor tensor = *file.find("f32");
  StoredTensor wrong = tensor;
  wrong.shape = {4};
  EXPECT_THROW(write_safetensors(scratch_ / "a", std::vector{tensor, tensor}), Error);
  EXPECT_THROW(write_safetensors(scratch_ / "a", std::vector{wrong}), Error);
  EXPECT_EQ(scratch_.files(), 0);
}

TEST_F(TensorsTest, RefusesTheFileCutAtEveryByte) {
  const std::string whole = read_file(kTypes);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto path = save(whole.substr(0, n));
    EXPECT_THROW(SafeTensors{path}, Error) << n;
  }
}

TEST_F(TensorsTest, RefusesBrokenHeaders) {
  expect_bad("", {"an empty file"});
  expect_bad(std::string(8, '\xff'), {"header of 18446744073709551615 bytes"});
  expect_bad(file_of("", ""), {"begin with '{'"});
  expect_bad(file_of(" {}", ""), {"begin with '{'"});
  expect_bad(file_of("{", ""), {"no valid JSON"});
  expect_bad(file_of("[]", ""), {"begin with '{'"});
  expect_bad(file_of("{}x", ""), {"no valid JSON"});
  expect_bad(file_of("{\"\xff\":1}", ""), {"no valid JSON"});
  expect_bad(file_of("{}", "a"), {"1 bytes behind the last tensor"});
  expect_bad(file_of(R"({"__metadata__":1})", ""), {"__metadata__", "expected an object"});
  expect_bad(file_of(R"({"__metadata__":{"a":1}})", ""), {"__metadata__", "'a'", "expected a string"});
  const std::string entry = R"("w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_bad(file_of("{" + entry + "," + entry + "}", ""), {"'w' stands twice"});
  expect_bad(file_of("{\"w\":" + std::string(100, '['), ""), {"levels"});
}

TEST_F(TensorsTest, RefusesHeadersLongerThanTheFormatAllows) {
  const std::string length("\x01\xe1\xf5\x05\0\0\0\0", 8);  // 100,000,001
  expect_bad(length + "{}", {"the format allows 100000000"});
  expect_bad(std::string("\3\0\0\0\0\0\0\0{}", 10), {"header of 3 bytes in a file of 10", "cut short"});
}

TEST_F(TensorsTest, RefusesEveryBrokenField) {
  expect_bad_entry("1", {"expected an object"});
  expect_bad_entry(R"({"shape":[4],"data_offsets":[0,4]})", {"'dtype' is missing"});
  expect_bad_entry(R"({"dtype":7,"shape":[4],"data_offsets":[0,4]})", {"'dtype': expected a string"});
  expect_bad_entry(R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})", {"'F8_E4M3' is not supported"});
  expect_bad_entry(R"({"dtype":"u8","shape":[4],"data_offsets":[0,4]})", {"'u8' is not supported"});
  expect_bad_entry(R"({"dtype":"U8","data_offsets":[0,4]})", {"'shape' is missing"});
  expect_bad_entry(R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})", {"'shape': expected a list"});
  expect_bad_entry(R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", {"whole numbers"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", {"whole numbers"});
  expect_bad_entry(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]})", {"whole numbers"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4]})", {"'data_offsets' is missing"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":4})", {"expected [begin, end]"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[4]})", {"expected [begin, end]"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})", {"expected [begin, end]"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":["0",4]})", {"expected [begin, end]"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[-4,0]})", {"expected [begin, end]"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})", {"expected [begin, end]"});
}

TEST_F(TensorsTest, RefusesShapesThatDoNotFitTheirBytes) {
  expect_bad_entry(R"({"dtype":"U8","shape":[3],"data_offsets":[0,4]})", {"need 3 bytes", "span 4"});
  expect_bad_entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0,4]})", {"need 16 bytes", "span 4"});
  expect_bad_entry(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})", {"cut short"});
  expect_bad_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[1,5]})", {"a gap"});
  // 2^32 x 2^32 is 0 and 2^62 x 4 + 4 is 4 modulo 2^64
  expect_bad_entry(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})",
                   {"more elements"});
  expect_bad_entry(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})",
                   {"more elements"});
  expect_bad_entry(R"({"dtype":"F32","shape":[2305843009213693952,0],"data_offsets":[0,4]})",
                   {"more elements"});
}

TEST_F(TensorsTest, RefusesGapsAndOverlaps) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + a +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}";
  };
  EXPECT_NO_THROW(SafeTensors{save(file_of(two("[2,4]", "[0,2]"), "abcd"))});
  expect_bad(file_of(two("[0,2]", "[1,3]"), "abc"), {"tensor 'b'", "an overlap"});
  expect_bad(file_of(two("[0,2]", "[0,2]"), "ab"), {"an overlap"});
  expect_bad(file_of(two("[0,2]", "[3,5]"), "abcde"), {"tensor 'b'", "a gap"});
  expect_bad(file_of(two("[0,2]", "[2,4]"), "abcde"), {"1 bytes behind"});
}

TEST_F(TensorsTest, SaysWhichFileIsMissing) {
  expect_error([&] { SafeTensors file(scratch_ / "none"); }, ExitCode::data, {(scratch_ / "none").string()});
}

const std::string kA = R"({"a":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}})";
const std::string kB = R"({"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";

class ModelWeightsTest : public TensorsTest {
 protected:
  void save_shards() {
    save(file_of(kA, "xy"), "1.safetensors");
    save(file_of(kB, "abcd"), "2.safetensors");
  }
  void expect_bad_index(const std::string& index, std::initializer_list<std::string> parts) {
    save(index, "model.safetensors.index.json");
    expect_error([&] { ModelWeights w(scratch_.folder()); }, ExitCode::data, parts);
  }
};

TEST_F(ModelWeightsTest, ReadsOneFile) {
  save(file_of(kA, "xy"), "model.safetensors");
  const ModelWeights weights(scratch_.folder());
  EXPECT_EQ(weights.names(), std::vector<std::string>{"a"});
  EXPECT_EQ(weights.parameters(), 2);
}

TEST_F(ModelWeightsTest, ReadsShardsAndCanBeMoved) {
  save_shards();
  save(R"({"metadata":{"total_size":6},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})",
       "model.safetensors.index.json");
  ModelWeights first(scratch_.folder());
  const StoredTensor* before = first.find("b");
  const ModelWeights weights = std::move(first);
  EXPECT_EQ(weights.find("b"), before);
  EXPECT_EQ(hex(weights.find("b")->bytes), "61626364");
  EXPECT_EQ(hex(weights.at("a", std::vector<std::int64_t>{2, 1}).bytes), "7879");
  EXPECT_EQ(weights.parameters(), 3);
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(ModelWeightsTest, NamesTensorAndShapes) {
  save(file_of(kA, "xy"), "model.safetensors");
  const ModelWeights weights(scratch_.folder());
  expect_error(
      [&] {
        weights.at("a", std::vector<std::int64_t>{1, 2});
      },
      ExitCode::data, {scratch_.folder().string() + ": tensor 'a': expected [1, 2], got [2, 1]"});
  expect_error([&] { weights.at("a", std::vector<std::int64_t>{2}); }, ExitCode::data, {"expected [2]"});
  expect_error([&] { weights.at("z", std::vector<std::int64_t>{2}); }, ExitCode::data,
               {"tensor 'z' is missing"});
}

TEST_F(ModelWeightsTest, RefusesBrokenIndexes) {
  save_shards();
  expect_bad_index("[]", {"weight_map"});
  expect_bad_index("{}", {"weight_map"});
  expect_bad_index(R"({"weight_map":{}})", {"weight_map"});
  expect_bad_index(R"({"weight_map":{"a":1}})", {"tensor 'a'", "got 1"});
  for (const char* name : {"../1.safetensors", "/etc/passwd", "", ".", "..", "x/1.safetensors"})
    expect_bad_index(R"({"weight_map":{"a":")" + std::string(name) + "\"}}", {"tensor 'a'", "same folder"});
  expect_bad_index(R"({"weight_map":{"a":"3.safetensors"}})", {"3.safetensors"});
  expect_bad_index(R"({"weight_map":{"a":"2.safetensors"}})", {"tensor 'a' is not in 2.safetensors"});
  expect_bad_index("{", {"model.safetensors.index.json", "no valid JSON"});
}

TEST_F(ModelWeightsTest, SaysThatThereAreNone) {
  expect_error([&] { ModelWeights w(scratch_.folder()); }, ExitCode::data, {"neither model.safetensors nor"});
  for (const char* pickled : {"pytorch_model.bin.index.json", "pytorch_model.bin"}) {
    save("x", pickled);
    expect_error([&] { ModelWeights w(scratch_.folder()); }, ExitCode::data,
                 {std::string("its weights are in ") + pickled, "safe_serialization=True"});
  }
}

}  // namespace
}  // namespace rocket
