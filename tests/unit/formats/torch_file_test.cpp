#include "formats/torch_file.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "fuzz/zip_writer.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::fuzz::little_endian;
using ::rocket::fuzz::torch_file_of;
using ::rocket::fuzz::zip_of;
using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;

const std::filesystem::path kFolder = "tests/data/formats/torch";
const std::map<std::string, DType> kTypes = {
    {"float64", DType::f64}, {"float32", DType::f32}, {"float16", DType::f16}, {"bfloat16", DType::bf16},
    {"int64", DType::i64},   {"int32", DType::i32},   {"int16", DType::i16},   {"int8", DType::i8},
    {"uint8", DType::u8},    {"bool", DType::boolean}};

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<int>(b));
  return text;
}

// Opcodes, as short as the tests need them.
std::string text(const std::string& value) {
  return "X" + little_endian(value.size(), 4) + value;
}
std::string whole(std::int64_t value) {
  return "\x8a\x08" + little_endian(static_cast<std::uint64_t>(value), 8);
}
std::string wholes(const std::vector<std::int64_t>& values) {
  std::string items = "(";
  for (const std::int64_t value : values) items += whole(value);
  return items + "t";
}
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string storage(const std::string& type = "FloatStorage", const std::string& entry = "0",
                    std::int64_t elements = 24) {
  return "(" + text("storage") + global("torch", type) + text(entry) + text("cpu") + whole(elements) + "tQ";
}
std::string tensor(const std::string& stored, const std::string& offset, const std::string& shape,
                   const std::string& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + stored + offset + shape + strides + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}
std::string dict_of(const std::string& value, const std::string& key = text("w")) {
  return "\x80\x02}(" + key + value + "u.";
}

class TorchFileTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const std::string& bytes) {
    save_text(scratch_ / "x.bin", bytes);
    return scratch_ / "x.bin";
  }
  void expect_bad(const std::string& bytes, std::initializer_list<std::string> parts) {
    const auto path = save(bytes);
    expect_error([&] { TorchFile file(path); }, ExitCode::data, {path.string()});
    expect_error([&] { TorchFile file(path); }, ExitCode::data, parts);
  }
  void expect_bad_pickle(const std::string& pickle, std::initializer_list<std::string> parts) {
    SCOPED_TRACE(pickle);
    expect_bad(torch_file_of(pickle), parts);
  }
  void expect_bad_tensor(const std::string& value, std::initializer_list<std::string> parts) {
    expect_bad_pickle(dict_of(value), {"tensor 'w'"});
    expect_bad_pickle(dict_of(value), parts);
  }
  /// The good archive with `count` bytes at a place replaced.
  void expect_bad_bytes(std::size_t at, const std::string& bytes, std::initializer_list<std::string> parts) {
    SCOPED_TRACE(at);
    std::string file = good_;
    file.replace(at, bytes.size(), bytes);
    expect_bad(file, parts);
  }

  const std::string matrix_ = tensor(storage(), whole(0), wholes({4, 6}), wholes({6, 1}));
  const std::string good_ = torch_file_of(dict_of(matrix_));
  Scratch scratch_;
};

TEST_F(TorchFileTest, ReadsWhatTorchReads) {
  const json expected = json::parse(read_file(kFolder / "expected.json"));
  ASSERT_EQ(expected.size(), 3u);
  for (const auto& [name, tensors] : expected.items()) {
    const TorchFile file(kFolder / (name + ".bin"));
    EXPECT_EQ(file.tensors().size(), tensors.size());
    for (const auto& [key, about] : tensors.items()) {
      SCOPED_TRACE(name + ": " + key);
      const StoredTensor* found = file.find(key);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->dtype, kTypes.at(about["dtype"]));
      EXPECT_EQ(found->shape, about["shape"].get<std::vector<std::int64_t>>());
      EXPECT_EQ(hex(found->bytes), about["bytes"].get<std::string>());
    }
  }
}

TEST_F(TorchFileTest, TakesWhatTheTestsMakeByHand) {
  const TorchFile file(save(good_));
  EXPECT_EQ(file.find("w")->bytes.size(), 96u);
  EXPECT_EQ(file.find("w")->bytes[95], std::byte{95});
  // A tuple, an attribute of the dict, numbers of all widths, and a comment behind the archive.
  const std::string pickle = std::string("\x80\x02}(", 4) + text("w") + matrix_ + "u}" + text("_metadata") +
                             std::string("(K\1M\2\3J\4\0\0\0G\x3f\xf0\0\0\0\0\0\0\x88\x89N]tsb.", 28);
  std::string archive = torch_file_of(pickle);
  archive.replace(archive.size() - 2, 2, little_endian(5, 2));
  EXPECT_EQ(TorchFile(save(archive + "hello")).tensors().size(), 1u);
}

TEST_F(TorchFileTest, RefusesTheFilesThatItCannotRead) {
  const auto refuse = [&](const std::string& name, std::initializer_list<std::string> parts) {
    expect_error([&] { TorchFile file(kFolder / name); }, ExitCode::data, parts);
  };
  refuse("object.bin", {"object.bin: data.pkl", "\"torch.nn.modules.linear Linear\"", "nothing was run"});
  refuse("float8.bin", {"\"torch._utils _rebuild_tensor_v3\"", "float8"});
  refuse("none.bin", {"none.bin"});
  expect_bad(std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46", 8), {"before PyTorch 1.6", "torch.save("});
  expect_bad("", {"an empty file"});
  expect_bad("GGUF", {"found a GGUF model"});
}

TEST_F(TorchFileTest, RefusesTheFileCutAtEveryByte) {
  const std::string whole_file = read_file(kFolder / "state_dict.bin");
  for (std::size_t n = 0; n < whole_file.size(); ++n) {
    const auto path = save(whole_file.substr(0, n));
    EXPECT_THROW(TorchFile{path}, Error) << n;
  }
}

TEST_F(TorchFileTest, RefusesEveryBrokenFieldOfTheArchive) {
  const std::size_t end = good_.size() - 22;
  const auto directory = static_cast<std::size_t>(good_.find("PK\1\2"));
  const std::string wide(8, '\xff');
  expect_bad_bytes(end, "PK\5\7", {"its directory is missing"});
  expect_bad_bytes(end + 4, "\1", {"several files"});
  expect_bad_bytes(end + 10, "\3", {"more than the 3 entries"});
  expect_bad_bytes(end + 10, "\5", {"does not fit"});
  expect_bad_bytes(end + 10, "\xff\x7f", {"does not fit"});
  expect_bad_bytes(end + 10, "\xff\xff", {"zip64"});
  expect_bad_bytes(end + 12, wide.substr(0, 3), {"does not fit"});
  expect_bad_bytes(end + 16, wide.substr(0, 3), {"does not fit"});
  expect_bad_bytes(end + 16, "\1", {"damaged"});
  expect_bad_bytes(directory, "PK\1\3", {"damaged at byte"});
  expect_bad_bytes(directory + 8, "\1", {"encrypted"});
  expect_bad_bytes(directory + 10, "\x08", {"compressed", "zip -0"});
  expect_bad_bytes(directory + 20, wide.substr(0, 3), {"compressed"});
  expect_bad_bytes(directory + 20, wide, {"zip64 sizes are missing"});
  expect_bad_bytes(directory + 20, std::string("\xff\xff\xff\0\xff\xff\xff\0", 8),
                   {"reach into the directory"});
  expect_bad_bytes(directory + 28, "\xff\xff", {"damaged or cut short"});
  expect_bad_bytes(directory + 30, "\xff\xff", {"damaged or cut short"});
  expect_bad_bytes(directory + 32, "\xff\xff", {"longer than it says"});
  expect_bad_bytes(directory + 42, "\1", {"no header of an entry"});
  expect_bad_bytes(directory + 42, wide.substr(0, 3), {"damaged or cut short"});
  expect_bad_bytes(directory + 46, "y", {"another name"});
  expect_bad_bytes(26, "\3", {"another name"});
  expect_bad_bytes(28, "\xff\xff", {"reach into the directory"});
}

TEST_F(TorchFileTest, RefusesArchivesThatAreNoTorchFile) {
  const std::string pickle = dict_of(matrix_);
  expect_bad(zip_of({}), {"no file of torch.save", "data.pkl"});
  expect_bad(zip_of({{"data.pkl", pickle}}), {"<folder>/data.pkl"});
  expect_bad(zip_of({{"a/b/data.pkl", pickle}}), {"<folder>/data.pkl"});
  expect_bad(zip_of({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}}), {"more than one"});
  expect_bad(zip_of({{"a/data.pkl", pickle}, {"a/data.pkl", pickle}}), {"there twice"});
  expect_bad(zip_of({{"a/data.pkl", pickle}, {"b/data/0", std::string(96, 'x')}}), {"'data/0' is not in"});
  expect_bad(zip_of({{"a/data.pkl", "}."}, {"a/byteorder", "big"}}), {"byteorder", "\"big\""});
  EXPECT_NO_THROW(TorchFile(save(zip_of({{"any name/", ""}, {"any name/data.pkl", "}."}}))));
}

TEST_F(TorchFileTest, Zip64) {
  std::string file = torch_file_of(dict_of(matrix_));
  const std::size_t end = file.size() - 22, directory = file.find("PK\1\2");
  const std::string record = "PK\6\6" + little_endian(44, 8) + little_endian(45, 4) + little_endian(0, 8) +
                             little_endian(4, 8) + little_endian(4, 8) + little_endian(end - directory, 8) +
                             little_endian(directory, 8);
  const std::string locator = "PK\6\7" + little_endian(0, 4) + little_endian(end, 8) + little_endian(1, 4);
  const std::string narrow = "PK\5\6" + little_endian(0, 4) + std::string(12, '\xff') + little_endian(0, 2);
  const std::string front = file.substr(0, end);
  EXPECT_EQ(TorchFile(save(front + record + locator + narrow)).tensors().size(), 1u);
  for (const std::size_t field : {0, 16, 20, 32, 40, 48}) {
    SCOPED_TRACE(field);
    std::string broken = record;
    broken[field] ^= 1;
    expect_bad(front + broken + locator + narrow, {"directory"});
    broken[field + 3] ^= 0x70;
    expect_bad(front + broken + locator + narrow, {"directory"});
  }
  expect_bad(front + record + narrow, {"zip64 part of its directory is missing"});
  expect_bad(
      front + record + "PK\6\7" + little_endian(0, 4) + std::string(8, '\xff') + little_endian(1, 4) + narrow,
      {"zip64 directory"});
}

TEST_F(TorchFileTest, RefusesEveryOtherOpcode) {
  const std::string known(
      "(.N\x88\x89JKM\x8aGX\x8c\x8d)t\x85\x86\x87]ae}suhjqr\x94"
      "c\x93RbQ\x80\x95");
  for (int code = 0; code < 256; ++code) {
    if (known.find(static_cast<char>(code)) != std::string::npos) continue;
    expect_bad_pickle(std::string("\x80\x02") + static_cast<char>(code) + "x\ny\n.",
                      {"data.pkl: byte 2", fmt::format("0x{:02x}", code), "not run"});
  }
  expect_bad_pickle("(cos\nsystem\noX", {"\"os system\"", "nothing was run"});
  expect_bad_pickle("(ios\nsystem\n", {"INST"});
  expect_bad_pickle("}\x81.", {"NEWOBJ (0x81)"});
  expect_bad_pickle("}\x91.", {"FROZENSET (0x91)"});
}

TEST_F(TorchFileTest, RefusesGlobalsThatTensorsDoNotNeed) {
  expect_bad_pickle(global("os", "system") + "(" + text("true") + "tR.",
                    {"\"os system\"", "nothing was run"});
  expect_bad_pickle(text("posix") + text("system") + "\x93.", {"\"posix system\""});
  expect_bad_pickle(global("builtins", "eval") + ".", {"\"builtins eval\""});
  expect_bad_pickle(global("torch", "load") + ".", {"\"torch load\""});
  expect_bad_pickle(std::string("c\xff\nx\n."), {"UTF-8"});
}

TEST_F(TorchFileTest, RefusesPicklesThatMakeNoSense) {
  expect_bad_pickle("", {"cut short"});
  expect_bad_pickle("\x80\x06.", {"protocol 6"});
  expect_bad_pickle(".", {"0 values are left"});
  expect_bad_pickle("}}.", {"2 values are left"});
  expect_bad_pickle("}(.", {"1 values are left"});
  expect_bad_pickle("t", {"no mark"});
  expect_bad_pickle("\x85", {"stack is empty"});
  expect_bad_pickle("N(\x85", {"stack is empty"});
  expect_bad_pickle("q\1", {"stack is empty"});
  expect_bad_pickle("h\1", {"memo 1 was never written"});
  expect_bad_pickle(std::string("j\1\0\0\0", 5), {"memo 1 was never written"});
  expect_bad_pickle("NNa", {"expected a list, got None"});
  expect_bad_pickle("NNNs", {"expected a dict, got None"});
  expect_bad_pickle("}(Nu", {"a key without a value"});
  expect_bad_pickle("N)R", {"expected a call", "None"});
  expect_bad_pickle(global("torch", "FloatStorage") + "NR", {"expected a call"});
  expect_bad_pickle(global("collections", "OrderedDict") + "N\x85R", {"OrderedDict made from 1"});
  expect_bad_pickle("}Nb", {"attributes"});
  expect_bad_pickle("N}b", {"expected an OrderedDict, got None"});
  expect_bad_pickle("NN\x93", {"name of a global"});
  expect_bad_pickle(
      "X\xff\xff\xff\xff"
      "abc",
      {"cut short"});
  expect_bad_pickle("X\2", {"cut short"});
  expect_bad_pickle(std::string("X\1\0\0\0\xff", 6), {"UTF-8"});
  expect_bad_pickle(
      "\x8a\x09"
      "123456789",
      {"whole number of 9 bytes"});
  expect_bad_pickle("cos", {"cut short"});
}

TEST_F(TorchFileTest, RefusesWhatIsNoDictOfTensors) {
  expect_bad_pickle("N.", {"expected a dict of tensors, got None"});
  expect_bad_pickle("].", {"got a list"});
  expect_bad_pickle(matrix_ + ".", {"got a call (torch._utils _rebuild_tensor_v2)"});
  expect_bad_pickle(dict_of(matrix_, "K\1"), {"expected the name of a tensor, got a whole number"});
  expect_bad_tensor("N", {"expected a tensor, got None"});
  expect_bad_tensor("}", {"expected a tensor, got a dict"});
  expect_bad_tensor(storage(), {"expected a tensor, got a persistent id"});
  expect_bad_pickle("}(" + text("w") + matrix_ + text("w") + matrix_ + "u.", {"tensor 'w'", "there twice"});
  const std::string parameter = global("torch._utils", "_rebuild_parameter");
  expect_bad_tensor(parameter + ")R", {"_rebuild_parameter with 0 arguments"});
  expect_bad_tensor(parameter + "N\x88N\x87R", {"expected a tensor, got None"});
}

TEST_F(TorchFileTest, RefusesEveryBrokenFieldOfATensor) {
  const std::string zero = whole(0), shape = wholes({4, 6}), strides = wholes({6, 1});
  expect_bad_tensor(global("torch._utils", "_rebuild_tensor_v2") + "(" + storage() + zero + "tR",
                    {"2 arguments"});
  expect_bad_tensor(tensor("N", zero, shape, strides), {"expected a storage, got None"});
  expect_bad_tensor(tensor("NQ", zero, shape, strides), {"expected a storage"});
  expect_bad_tensor(tensor(text("storage") + "Q", zero, shape, strides), {"expected a storage"});
  expect_bad_tensor(tensor("(NNNNNtQ", zero, shape, strides), {"expected a storage"});
  expect_bad_tensor(tensor("(" + text("storage") + "NNNNtQ", zero, shape, strides), {"expected a storage"});
  expect_bad_tensor(tensor("(" + text("storage") + "N" + text("0") + "NNtQ", zero, shape, strides),
                    {"expected the type of a storage, got None"});
  expect_bad_tensor(tensor(storage("FloatStorage", "7"), zero, shape, strides),
                    {"'data/7' is not in the archive"});
  expect_bad_tensor(tensor(storage("FloatStorage", "../byteorder"), zero, shape, strides),
                    {"not in the archive"});
  expect_bad_tensor(tensor(storage("FloatStorage", "0", 23), zero, shape, strides),
                    {"23 values of F32 has 96"});
  expect_bad_tensor(tensor(storage("FloatStorage", "0", 25), zero, shape, strides), {"25 values"});
  expect_bad_tensor(tensor(storage("FloatStorage", "0", -1), zero, shape, strides), {"from 0, got -1"});
  expect_bad_tensor(tensor(storage("HalfStorage"), zero, shape, strides), {"24 values of F16 has 96"});
  expect_bad_tensor(tensor(storage(), "N", shape, strides),
                    {"its offset: expected a whole number from 0, got None"});
  expect_bad_tensor(tensor(storage(), whole(-1), shape, strides), {"its offset", "got -1"});
  expect_bad_tensor(tensor(storage(), whole(1), shape, strides), {"beyond its storage of 24"});
  expect_bad_tensor(tensor(storage(), whole(INT64_MAX), shape, strides), {"beyond its storage"});
  expect_bad_tensor(tensor(storage(), zero, "N", strides), {"its shape: expected a tuple, got None"});
  expect_bad_tensor(tensor(storage(), zero, "N\x85", strides), {"its shape: expected a whole number"});
  expect_bad_tensor(tensor(storage(), zero, wholes({4, -6}), strides), {"got -6"});
  expect_bad_tensor(tensor(storage(), zero, wholes({5, 6}), strides), {"beyond its storage"});
  expect_bad_tensor(tensor(storage(), zero, wholes({24}), strides), {"1 sides and 2 strides"});
  expect_bad_tensor(tensor(storage(), zero, shape, "N"), {"its strides: expected a tuple"});
  expect_bad_tensor(tensor(storage(), zero, shape, wholes({6, -1})), {"its strides", "got -1"});
  expect_bad_tensor(tensor(storage(), zero, shape, wholes({7, 1})), {"beyond its storage"});
  expect_bad_tensor(tensor(storage(), zero, shape, wholes({INT64_MAX, 1})), {"beyond its storage"});
  expect_bad_tensor(tensor(storage(), zero, wholes({1LL << 40, 1LL << 40}), wholes({0, 0})),
                    {"more elements"});
  expect_bad_tensor(tensor(storage(), zero, wholes({1LL << 61, 0}), wholes({0, 0})), {"more elements"});
}

TEST_F(TorchFileTest, BoundsWhatItCopies) {
  EXPECT_NO_THROW(
      TorchFile(save(torch_file_of(dict_of(tensor(storage(), whole(3), wholes({3, 2}), wholes({0, 1})))))));
  expect_bad_tensor(tensor(storage(), whole(0), wholes({1 << 20}), wholes({0})), {"more than 4 times"});
  std::string many = "}(";
  for (int i = 0; i < 20; ++i)
    many += text(std::to_string(i)) + tensor(storage(), whole(0), wholes({500}), wholes({0}));
  expect_bad_pickle(many + "u.", {"more than 4 times"});
}

}  // namespace
}  // namespace rocket
