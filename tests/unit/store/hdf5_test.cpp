#include "store/hdf5.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <thread>

#include "base/files.h"
#include "base/hash.h"
#include "store/seal.h"
#include "unit/base/full_disk.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;
using testing::FullDisk;
using testing::Scratch;

template <class T>
std::vector<T> extremes() {
  using Limits = std::numeric_limits<T>;
  return {Limits::lowest(), Limits::max(), T(0), T(1), Limits::denorm_min(), T(7)};
}

template <class T>
class Hdf5Types : public ::testing::Test {};
using Types = ::testing::Types<float, double, std::int32_t, std::int64_t, std::uint8_t>;
TYPED_TEST_SUITE(Hdf5Types, Types);

TYPED_TEST(Hdf5Types, EveryValueComesBack) {
  const Scratch scratch;
  const auto values = extremes<TypeParam>();
  H5Writer writer(scratch / "x.h5");
  writer.write("flat", values);
  writer.write("a/table", values, {2, 3});
  writer.commit();
  const H5Reader reader(scratch / "x.h5");
  EXPECT_EQ(reader.read<TypeParam>("flat"), values);
  EXPECT_EQ(reader.read<TypeParam>("a/table", {2, 3}), values);
  EXPECT_THAT(reader.shape("a/table"), ElementsAre(2, 3));
  EXPECT_THAT(reader.read_rows<TypeParam>("a/table", 1, 1), ElementsAre(values[3], values[4], values[5]));
  EXPECT_EQ(scratch.files(), 1);
}

TEST(Hdf5Halves, AreReadAsFloat) {
  const Scratch scratch;
  // 1, -2, the smallest and the largest number, infinity: as IEEE 754 has them.
  const std::vector<Float16> halves{{0x3c00}, {0xc000}, {0x0001}, {0x7bff}, {0x7c00}, {0x0000}};
  const std::vector<float> values{1, -2, 5.9604645e-8f, 65504, std::numeric_limits<float>::infinity(), 0};
  H5Writer part(scratch / "part.h5");
  part.write("x", halves, {3, 2});
  part.commit();
  H5Writer whole(scratch / "whole.h5");
  const std::vector<VirtualPart> parts{{"part.h5", "x", 0, 3}};
  whole.write_virtual<Float16>("x", {3, 2}, parts);
  whole.commit();
  EXPECT_EQ(H5Reader(scratch / "part.h5").read<float>("x", {3, 2}), values);
  EXPECT_EQ(H5Reader(scratch / "whole.h5").read<float>("x", {3, 2}), values);
  EXPECT_THAT(H5Reader(scratch / "whole.h5").read_rows<float>("x", 1, 1), ElementsAre(values[2], values[3]));
}

TYPED_TEST(Hdf5Types, ALengthOfZeroIsFine) {
  const Scratch scratch;
  H5Writer writer(scratch / "x.h5");
  writer.write("none", std::vector<TypeParam>());
  writer.write("wide", std::vector<TypeParam>(), {0, 5});
  writer.write("thin", std::vector<TypeParam>(), {5, 0});
  writer.write_virtual<TypeParam>("virtual", {0, 5}, {});
  writer.commit();
  const H5Reader reader(scratch / "x.h5");
  EXPECT_TRUE(reader.read<TypeParam>("none").empty());
  EXPECT_TRUE(reader.read<TypeParam>("wide", {0, 5}).empty());
  EXPECT_TRUE(reader.read_rows<TypeParam>("wide", 0, 0).empty());
  EXPECT_TRUE(reader.read_rows<TypeParam>("thin", 2, 3).empty());
  EXPECT_TRUE(reader.read<TypeParam>("virtual", {-1, 5}).empty());
}

TEST(Hdf5, StringsAndAttributesKeepTheirBytes) {
  const Scratch scratch;
  const std::vector<std::string> texts{"",           "h\u00e9", "\u6f22\u5b57\n\t", std::string(100000, 'x'),
                                       "\U0001F680", "z"};
  H5Writer writer(scratch / "x.h5");
  writer.write_strings("text", texts, {2, 3});
  writer.write_strings("none", {}, {0, 3});
  writer.attribute("fingerprint", "\u00fc-123");
  writer.attribute("blank", "");
  writer.commit();
  const H5Reader reader(scratch / "x.h5");
  EXPECT_EQ(reader.read_strings("text"), texts);
  EXPECT_TRUE(reader.read_strings("none").empty());
  EXPECT_EQ(reader.attribute("fingerprint"), "\u00fc-123");
  EXPECT_EQ(reader.attribute("blank"), "");
  EXPECT_EQ(reader.attribute("absent"), "");
}

TEST(Hdf5, NanAndInfinityComeBack) {
  const Scratch scratch;
  H5Writer writer(scratch / "x.h5");
  writer.write("x", std::vector<double>{std::nan(""), INFINITY, -0.0});
  writer.commit();
  const auto back = H5Reader(scratch / "x.h5").read<double>("x");
  EXPECT_TRUE(std::isnan(back[0]));
  EXPECT_EQ(back[1], INFINITY);
  EXPECT_TRUE(std::signbit(back[2]));
}

void write_small(const std::filesystem::path& path) {
  H5Writer writer(path);
  writer.write("x", std::vector<float>{1, 2, 3});
  const std::vector<std::string> texts{"a", "b"};
  writer.write_strings("s", texts, {2});
  writer.attribute("a", "b");
  writer.commit();
}

// HDF5 can store the second in which a data set was made.
TEST(Hdf5, TheSameContentsAreTheSameBytesAtAnyTime) {
  const Scratch scratch;
  write_small(scratch / "one.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  write_small(scratch / "two.h5");
  EXPECT_EQ(read_file(scratch / "one.h5"), read_file(scratch / "two.h5"));
}

TEST(Hdf5, NothingIsThereBeforeCommit) {
  const Scratch scratch;
  {
    H5Writer writer(scratch / "x.h5");
    writer.write("x", std::vector<float>{1});
  }
  EXPECT_EQ(scratch.files(), 0);
}

TEST(Hdf5, AFullDiskLeavesTheOldFileAndNothingElse) {
  const Scratch scratch;
  write_small(scratch / "x.h5");
  {
    const FullDisk full(20000);
    H5Writer writer(scratch / "x.h5");
    writer.write("big", std::vector<double>(100000));
    expect_error([&] { writer.commit(); }, ExitCode::storage, {"x.h5", "File too large"});
  }
  EXPECT_EQ(H5Reader(scratch / "x.h5").read<float>("x").size(), 3u);
  EXPECT_EQ(scratch.files(), 1);
}

TEST(Hdf5, AFolderThatIsNotThereIsAStorageError) {
  const Scratch scratch;
  expect_error([&] { H5Writer(scratch / "no/x.h5"); }, ExitCode::storage, {"no/x.h5", "No such file"});
}

TEST(Hdf5, WritingWhatDoesNotFitItsShapeIsOurBug) {
  const Scratch scratch;
  H5Writer writer(scratch / "x.h5");
  expect_error([&] { writer.write("x", std::vector<float>{1, 2}, {3}); }, ExitCode::internal, {"'x'", "[3]"});
  expect_error([&] { writer.write("x", std::vector<float>{1}, {-1}); }, ExitCode::internal, {"'x'"});
  writer.write("y", std::vector<float>{1});
  expect_error([&] { writer.write("y", std::vector<float>{1}); }, ExitCode::internal, {"'y'"});
  const std::vector<std::string> texts{std::string("a\0b", 3)};
  expect_error([&] { writer.write_strings("s", texts, {1}); }, ExitCode::internal, {"'s'", "U+0000"});
}

TEST(Hdf5, ReadsWidenButNeverNarrow) {
  const Scratch scratch;
  H5Writer writer(scratch / "x.h5");
  writer.write("u8", std::vector<std::uint8_t>{255});
  writer.write("i32", std::vector<std::int32_t>{-5});
  writer.write("i64", std::vector<std::int64_t>{-5});
  writer.write("f32", std::vector<float>{0.5});
  writer.write("f64", std::vector<double>{0.5});
  writer.commit();
  const H5Reader reader(scratch / "x.h5");
  EXPECT_THAT(reader.read<std::int64_t>("u8"), ElementsAre(255));
  EXPECT_THAT(reader.read<std::int64_t>("i32"), ElementsAre(-5));
  EXPECT_THAT(reader.read<double>("f32"), ElementsAre(0.5));
  const auto refused = [&](auto read, const char* wanted, const char* found) {
    expect_error(read, ExitCode::data, {"x.h5", std::string("expected ") + wanted + ", got " + found});
  };
  refused([&] { reader.read<std::int32_t>("i64"); }, "int32", "int64");
  refused([&] { reader.read<std::uint8_t>("i32"); }, "uint8", "int32");
  refused([&] { reader.read<float>("f64"); }, "float32", "float64");
  refused([&] { reader.read<float>("i32"); }, "float32", "int32");
  refused([&] { reader.read<std::int64_t>("f32"); }, "int64", "float32");
  refused([&] { reader.read_strings("f32"); }, "string", "float32");
}

TEST(Hdf5, WhatIsMissingOrOfAnotherShapeIsNamed) {
  const Scratch scratch;
  write_small(scratch / "x.h5");
  const H5Reader reader(scratch / "x.h5");
  EXPECT_TRUE(reader.has("x"));
  EXPECT_FALSE(reader.has("y"));
  EXPECT_FALSE(reader.has("no/y"));
  EXPECT_FALSE(reader.has(""));
  expect_error([&] { reader.shape("y"); }, ExitCode::data, {"x.h5", "'y'"});
  expect_error([&] { reader.read<float>("x", {2}); }, ExitCode::data,
               {"x.h5", "'x'", "expected shape [2], got [3]"});
  expect_error(
      [&] {
        reader.read<float>("x", {3, -1});
      },
      ExitCode::data, {"expected shape [3, -1], got [3]"});
  EXPECT_EQ(reader.read<float>("x", {-1}).size(), 3u);
  for (const auto& [first, count] : {std::pair{-1, 1}, {0, 4}, {3, 1}, {4, 0}, {0, -1}}) {
    expect_error([&] { reader.read_rows<float>("x", first, count); }, ExitCode::data, {"x.h5", "'x'"});
  }
  expect_error([&] { reader.read<float>("s"); }, ExitCode::data, {"expected float32, got string"});
}

TEST(Hdf5, FilesThatAreNoneAreRefused) {
  const Scratch scratch;
  expect_error([&] { H5Reader(scratch / "absent.h5"); }, ExitCode::data, {"absent.h5", "No such file"});
  write_file(scratch / "text.h5", "not HDF5 at all");
  expect_error([&] { H5Reader(scratch / "text.h5"); }, ExitCode::data, {"text.h5", "signature"});
  write_file(scratch / "empty.h5", "");
  expect_error([&] { H5Reader(scratch / "empty.h5"); }, ExitCode::data, {"empty.h5"});
  expect_error([&] { H5Reader(scratch.folder()); }, ExitCode::data, {"Is a directory"});
}

// A file cut at any length is refused, at the latest when its values are read.
TEST(Hdf5, TruncatedFilesAreRefused) {
  const Scratch scratch;
  {
    H5Writer writer(scratch / "x.h5");
    std::vector<double> values(2000);
    std::iota(values.begin(), values.end(), 1);
    writer.write("x", values);
    writer.commit();
  }
  const std::string whole = read_file(scratch / "x.h5");
  for (std::size_t length = 0; length < whole.size() - kSealSize; length += 97) {
    write_file(scratch / "cut.h5", std::string_view(whole).substr(0, length));
    EXPECT_THROW(H5Reader(scratch / "cut.h5").read<double>("x"), Error) << length;
  }
}

TEST(Hdf5Seal, FitsWhatWasCommittedAndNothingElse) {
  const Scratch scratch;
  const fs::path file = scratch / "x.h5";
  H5Writer writer(file);
  writer.write("x", std::vector<double>{1, 2, 3});
  writer.commit();
  check_seal(file);
  const std::string whole = read_file(file);
  EXPECT_EQ(stored_seal(file), hash_text(whole.substr(0, whole.size() - kSealSize)));
  const auto refuses = [&](const std::string& bytes) {
    write_file(file, bytes);
    EXPECT_THROW(check_seal(file), Error);
  };
  for (const std::size_t at :
       {std::size_t{0}, whole.size() / 2, whole.size() - kSealSize, whole.size() - 1}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    refuses(changed);
  }
  refuses(whole + "x");
  refuses(whole.substr(0, whole.size() - 1));
  EXPECT_EQ(stored_seal(file), "");
  refuses(whole.substr(0, kSealSize / 2));
  EXPECT_EQ(stored_seal(file), "");
  refuses("");
  EXPECT_EQ(stored_seal(file), "");
}

// Three parts of 2, 1 and 3 rows in a folder below, values 0..17.
void write_parts(const Scratch& scratch) {
  make_folders(scratch / "parts");
  float next = 0;
  std::vector<VirtualPart> parts;
  std::int64_t row = 0;
  for (const std::int64_t rows : {2, 1, 3}) {
    const std::string name = "parts/" + std::to_string(parts.size()) + ".h5";
    std::vector<float> values(static_cast<std::size_t>(rows * 3));
    std::iota(values.begin(), values.end(), next);
    next += static_cast<float>(values.size());
    H5Writer writer(scratch / name);
    writer.write("block", values, {rows, 3});
    writer.commit();
    parts.push_back({name, "block", row, rows});
    row += rows;
  }
  H5Writer writer(scratch / "whole.h5");
  writer.write_virtual<float>("x", {6, 3}, parts);
  writer.commit();
}

TEST(Hdf5Virtual, IsReadFromItsPartsFromAnyFolder) {
  const Scratch scratch;
  write_parts(scratch);
  std::vector<float> all(18);
  std::iota(all.begin(), all.end(), 0.0f);
  const H5Reader reader(scratch / "whole.h5");
  EXPECT_EQ(reader.read<float>("x", {6, 3}), all);
  const auto before = std::filesystem::current_path();
  for (const auto& folder : {scratch / "parts", scratch.folder()}) {
    std::filesystem::current_path(folder);
    EXPECT_EQ(H5Reader(std::filesystem::relative(scratch / "whole.h5")).read<float>("x"), all);
  }
  std::filesystem::current_path(before);
}

TEST(Hdf5Virtual, RowsAreReadAcrossParts) {
  const Scratch scratch;
  write_parts(scratch);
  const H5Reader reader(scratch / "whole.h5");
  EXPECT_THAT(reader.read_rows<float>("x", 1, 3), ElementsAre(3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(reader.read_rows<double>("x", 5, 1), ElementsAre(15, 16, 17));
}

TEST(Hdf5Virtual, AMissingPartIsAnErrorButOnlyForItsRows) {
  const Scratch scratch;
  write_parts(scratch);
  remove_tree(scratch / "parts/1.h5");
  const H5Reader reader(scratch / "whole.h5");
  expect_error([&] { reader.read<float>("x"); }, ExitCode::data, {"parts/1.h5", "No such file"});
  EXPECT_THAT(reader.read_rows<float>("x", 3, 1), ElementsAre(9, 10, 11));
}

TEST(Hdf5Virtual, NamesItsParts) {
  const Scratch scratch;
  write_parts(scratch);
  const auto parts = H5Reader(scratch / "whole.h5").parts("x");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[1].file, "parts/1.h5");
  EXPECT_EQ(parts[1].dataset, "block");
  EXPECT_EQ(parts[2].first_row, 3);
  EXPECT_EQ(parts[2].rows, 3);
  EXPECT_TRUE(H5Reader(scratch / "parts/1.h5").parts("block").empty());
}

TEST(Hdf5Virtual, APartOfAnotherShapeOrTypeIsAnError) {
  const Scratch scratch;
  write_parts(scratch);
  const auto replace = [&](const auto& values, const Shape& shape) {
    H5Writer writer(scratch / "parts/1.h5");
    writer.write("block", values, shape);
    writer.commit();
  };
  const H5Reader reader(scratch / "whole.h5");
  replace(std::vector<float>(6), {2, 3});
  expect_error([&] { reader.read<float>("x"); }, ExitCode::data,
               {"1.h5", "'block'", "expected shape [1, 3], got [2, 3]"});
  replace(std::vector<double>(3), {1, 3});
  expect_error([&] { reader.read<float>("x"); }, ExitCode::data, {"1.h5", "expected float32, got float64"});
}

TEST(Hdf5Virtual, PartsMustFollowEachOther) {
  const Scratch scratch;
  H5Writer writer(scratch / "x.h5");
  const auto refused = [&](const std::vector<VirtualPart>& parts) {
    expect_error([&] { writer.write_virtual<float>("x", {4, 2}, parts); }, ExitCode::internal, {"'x'"});
  };
  refused({{"a.h5", "x", 0, 3}});
  refused({{"a.h5", "x", 0, 2}, {"b.h5", "x", 1, 2}});
  refused({{"a.h5", "x", 0, 5}});
  refused({{"a.h5", "x", 0, 4}, {"b.h5", "x", 4, 0}});
  refused({{"a%b.h5", "x", 0, 4}});
  refused({});
}

// More parts than this process may open files at once; HDF5's own reading would give fill values here.
TEST(Hdf5Virtual, ManyPartsNeedFewOpenFiles) {
  const Scratch scratch;
  std::vector<VirtualPart> parts;
  for (int i = 0; i < 100; ++i) {
    H5Writer writer(scratch / std::to_string(i));
    writer.write("x", std::vector<std::int64_t>{i + 1});
    writer.commit();
    parts.push_back({std::to_string(i), "x", i, 1});
  }
  H5Writer writer(scratch / "x.h5");
  writer.write_virtual<std::int64_t>("x", {100}, parts);
  writer.commit();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{40, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  const auto all = H5Reader(scratch / "x.h5").read<std::int64_t>("x");
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), std::int64_t{0}), 5050);
}

template <class T>
void expect_h5py_table(const H5Reader& reader, const std::string& name) {
  EXPECT_THAT(reader.read<T>(name, {3, 4}), ElementsAre(0, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0)) << name;
}

// tests/parity/make_h5py_reference.py
TEST(Hdf5FromH5py, IsReadAlike) {
  const H5Reader reader("tests/data/store/h5py.h5");
  expect_h5py_table<float>(reader, "float32");
  expect_h5py_table<double>(reader, "float64");
  expect_h5py_table<std::int32_t>(reader, "int32");
  expect_h5py_table<std::int64_t>(reader, "int64");
  expect_h5py_table<std::uint8_t>(reader, "uint8");
  EXPECT_THAT(reader.read<std::int32_t>("big_endian"), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(reader.read<float>("float16"), ElementsAre(0.5f, -2.0f));
  EXPECT_THAT(reader.read<double>("scalar", {}), ElementsAre(2.5));
  EXPECT_THAT(reader.read_strings("text"), ElementsAre("(base)", "h\u00f6me", ""));
  EXPECT_EQ(reader.attribute("fingerprint"), "\u00e4b");
}

TEST(Hdf5FromH5py, WhatRocketDoesNotWriteIsRefused) {
  const H5Reader reader("tests/data/store/h5py.h5");
  const auto refused = [](auto read, const std::string& name, const std::string& reason) {
    expect_error(read, ExitCode::data, {"h5py.h5", "'" + name + "'", reason});
  };
  refused([&] { reader.read<std::int64_t>("uint64"); }, "uint64", "expected int64, got uint64");
  refused([&] { reader.read<std::uint8_t>("bool"); }, "bool", "expected uint8, got another type");
  refused([&] { reader.read_strings("fixed_text"); }, "fixed_text", "fixed-length");
  refused([&] { reader.read<double>("empty"); }, "empty", "shape");
  refused([&] { reader.read<double>("chunked"); }, "chunked", "chunks");
  refused([&] { reader.read<double>("unwritten"); }, "unwritten", "1000");
  refused([&] { reader.read<float>("columns"); }, "columns", "whole rows");
  refused([&] { reader.attribute("number"); }, "number", "string");
}

TEST(Hdf5, VersionHasThreeNumbers) {
  EXPECT_THAT(hdf5_version(), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace rocket
