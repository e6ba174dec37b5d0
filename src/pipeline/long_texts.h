// Texts that are longer than what an encoder reads at once: which they are, how many each file has, and what
// is said of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/text_embedder.h"
#include "pipeline/corpus_data.h"

namespace rocket {

/// The word of encoder.long.
LongTexts long_texts_setting(const std::string& word);

/// As NearWalk::take wants it: 0 of a text that the encoder reads in one go, else 64 bits of the text's hash.
std::int64_t long_text_number(bool is_long, std::string_view text);

/// How many texts of each file there are, and how many of them are long.
class LongTextCount {
 public:
  LongTextCount() = default;
  /// Of all records of these files, by the numbers of their texts.
  LongTextCount(std::span<const RecordsOfFile> files, std::span<const std::int64_t> long_texts);

  void add(const std::string& file, bool is_long);

  std::int64_t texts() const;
  std::int64_t long_ones() const;
  /// "32 of 40 texts are longer than the encoder reads at once (256 tokens): a.jsonl 30 of 36, b.jsonl 2 of
  /// 4; their ends are not read (encoder.long: cut)". Empty where none is long. `setting` is what chooses
  /// another way.
  std::string describe(const EncoderTokenizer& tokenizer, std::string_view setting = "encoder.long") const;
  /// "a.jsonl 30 of 36, b.jsonl 2 of 4"; the files with long texts.
  std::string by_file() const;

 private:
  struct File {
    std::string name;
    std::int64_t texts = 0, long_ones = 0;
  };
  std::vector<File> files_;
};

}  // namespace rocket
