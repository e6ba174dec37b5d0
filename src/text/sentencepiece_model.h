// SentencePiece's .model files: a protobuf message, of which these fields matter here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

struct SentencePiece {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  std::string text;
  float score = 0;
  Type type = Type::normal;
};

struct SentencePieceModel {
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };
  std::vector<SentencePiece> pieces;  // ids are places; no text is there twice, none is empty
  Kind kind = Kind::unigram;
  std::string precompiled_charsmap;  // normalisation rules; empty: none
};

/// Throws data (65) naming the file and the field that is broken.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file);

}  // namespace rocket
