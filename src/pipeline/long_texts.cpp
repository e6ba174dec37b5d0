#include "pipeline/long_texts.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace rocket {

namespace {

std::string_view what_is_read(LongTexts long_texts) {
  switch (long_texts) {
    case LongTexts::cut:
      return "their ends are not read";
    case LongTexts::head_tail:
      return "their middles are not read";
    case LongTexts::windows:
      return "they are read in windows, whose vectors are averaged";
  }
  fail_internal("no such way with long texts");
}

std::string_view word_of(LongTexts long_texts) {
  return long_texts == LongTexts::cut ? "cut" : long_texts == LongTexts::head_tail ? "head_tail" : "windows";
}

}  // namespace

LongTexts long_texts_setting(const std::string& word) {
  for (const LongTexts way : {LongTexts::cut, LongTexts::head_tail, LongTexts::windows}) {
    if (word == word_of(way)) return way;
  }
  fail_internal("encoder.long: '{}' has no meaning here", word);
}

std::int64_t long_text_number(bool is_long, std::string_view text) {
  if (!is_long) return 0;
  const auto hash = hash128(std::as_bytes(std::span(text.data(), text.size()))).low;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(hash >> 1));
}

LongTextCount::LongTextCount(std::span<const RecordsOfFile> files, std::span<const std::int64_t> long_texts) {
  auto number = long_texts.begin();
  for (const RecordsOfFile& file : files) {
    for (std::int64_t i = 0; i < file.records; ++i) add(file.file, *number++ != 0);
  }
}

void LongTextCount::add(const std::string& file, bool is_long) {
  // Records come file by file, so the last one is nearly always the right one.
  auto found = std::find_if(files_.rbegin(), files_.rend(), [&](const File& f) { return f.name == file; });
  if (found == files_.rend()) {
    files_.push_back({file});
    found = files_.rbegin();
  }
  ++found->texts;
  found->long_ones += is_long;
}

std::int64_t LongTextCount::texts() const {
  std::int64_t sum = 0;
  for (const File& file : files_) sum += file.texts;
  return sum;
}

std::int64_t LongTextCount::long_ones() const {
  std::int64_t sum = 0;
  for (const File& file : files_) sum += file.long_ones;
  return sum;
}

std::string LongTextCount::by_file() const {
  constexpr std::int64_t most_named = 12;
  std::string text;
  std::int64_t named = 0, more = 0;
  for (const File& file : files_) {
    if (file.long_ones == 0) continue;
    if (named == most_named) {
      ++more;
      continue;
    }
    text += fmt::format("{}{} {} of {}", named++ ? ", " : "", file.name, file.long_ones, file.texts);
  }
  return more > 0 ? text + fmt::format(", and {} more files", more) : text;
}

std::string LongTextCount::describe(const EncoderTokenizer& tokenizer, std::string_view setting) const {
  if (long_ones() == 0) return "";
  return fmt::format("{} of {} texts are longer than the encoder reads at once ({} tokens): {}; {} ({}: {})",
                     long_ones(), texts(), tokenizer.length(), by_file(),
                     what_is_read(tokenizer.long_texts()), setting, word_of(tokenizer.long_texts()));
}

}  // namespace rocket
